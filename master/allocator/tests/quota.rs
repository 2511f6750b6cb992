//! Limits and guarantees of roles.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of test functions"
)]

use std::{collections::BTreeMap, time::Duration};

use mesos_allocator::{AgentSpec, Allocator, FrameworkSpec, OfferProposal, Options, Quota};
use mesos_types::{FrameworkCapabilities, Resources, Scalar, Value, parse_resources};

fn parse(text: &str) -> Resources {
    parse_resources(text, "*").unwrap()
}

fn quota(guarantees: &str, limits: &str) -> Quota {
    let limited = if limits.is_empty() {
        BTreeMap::new()
    } else {
        let amount = |pair: &str| {
            let (name, value) = pair.split_once(':').unwrap();
            let value = Scalar::from_f64(value.parse().unwrap()).unwrap();
            (name.to_owned(), value)
        };
        limits.split(';').map(amount).collect()
    };
    let guaranteed = if guarantees.is_empty() {
        Resources::new()
    } else {
        parse(guarantees)
    };
    Quota {
        guarantees: guaranteed.quantities(),
        limits: limited,
    }
}

fn spec(role: &str) -> FrameworkSpec {
    FrameworkSpec {
        roles: [role.to_owned()].into(),
        capabilities: FrameworkCapabilities {
            multi_role: true,
            ..Default::default()
        },
        ..Default::default()
    }
}

struct Cluster(Allocator);

impl Cluster {
    fn new() -> Self {
        Self(Allocator::new(Options::default()))
    }

    fn framework(mut self, id: &str, role: &str) -> Self {
        self.0.add_framework(&id.into(), &spec(role), true);
        self
    }

    fn agents(mut self, count: usize, total: &str) -> Self {
        let from = self.0.agent_count();
        for n in from..from + count {
            let id = format!("a{n}").into();
            self.0
                .add_agent(&id, &AgentSpec::new(parse(total)), &[])
                .unwrap();
        }
        self
    }

    fn quota(mut self, role: &str, guarantees: &str, limits: &str) -> Self {
        self.0.set_quota(role, quota(guarantees, limits));
        self
    }

    fn run(&mut self) -> Vec<OfferProposal> {
        self.0.allocate(Duration::ZERO)
    }

    /// Cpus and memory by framework that a run offers.
    fn offered(&mut self) -> BTreeMap<String, (f64, f64)> {
        let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for offer in self.run() {
            let sum = sums.entry(offer.framework.to_string()).or_default();
            sum.0 += offer.resources.cpus().unwrap_or_default().as_f64();
            sum.1 += offer.resources.mem().unwrap_or_default().as_f64();
        }
        sums
    }

    fn give_back(&mut self, offer: &OfferProposal, part: &Resources) {
        self.0
            .recover(&offer.framework, &offer.agent, part, None, Duration::ZERO)
            .unwrap();
    }
}

fn sums<const N: usize>(of: [(&str, f64, f64); N]) -> BTreeMap<String, (f64, f64)> {
    of.iter()
        .map(|(id, cpus, mem)| ((*id).to_owned(), (*cpus, *mem)))
        .collect()
}

#[test]
fn a_role_gets_no_more_than_its_limit() {
    let mut cluster = Cluster::new()
        .quota("x", "", "cpus:5;mem:250")
        .framework("f", "x")
        .agents(4, "cpus:2;mem:100");
    assert_eq!(cluster.offered(), sums([("f", 5.0, 250.0)]));
    assert_eq!(cluster.0.quota_consumed("x").get("cpus").as_f64(), 5.0);
    assert_eq!(cluster.run(), []);
    // The rest is for others.
    let mut cluster = cluster.framework("g", "y");
    assert_eq!(cluster.offered(), sums([("g", 3.0, 150.0)]));
}

#[test]
fn what_has_no_limit_is_not_limited_and_a_limit_of_nothing_is_one() {
    let mut cluster = Cluster::new()
        .quota("x", "", "cpus:0")
        .framework("f", "x")
        .agents(2, "cpus:2;mem:100;ports:[1-9]");
    let offers = cluster.run();
    assert_eq!(offers.len(), 2);
    for offer in offers {
        assert_eq!(
            offer.resources,
            parse("mem:100;ports:[1-9]").allocated_to("x")
        );
    }
}

#[test]
fn a_limit_binds_all_roles_below_it_together() {
    let mut cluster = Cluster::new()
        .quota("eng", "", "cpus:6")
        .framework("p", "eng/prod")
        .framework("d", "eng/dev/deep")
        .framework("e", "eng")
        .agents(10, "cpus:2;mem:100");
    let offered = cluster.offered();
    let cpus: f64 = offered.values().map(|(cpus, _)| cpus).sum();
    assert_eq!(cpus, 6.0, "{offered:?}");
    assert_eq!(cluster.0.quota_consumed("eng").get("cpus").as_f64(), 6.0);
    // Memory has no limit.
    let mem: f64 = offered.values().map(|(_, mem)| mem).sum();
    assert_eq!(mem, 1000.0);
}

#[test]
fn a_nested_limit_binds_within_its_parents() {
    let mut cluster = Cluster::new()
        .quota("eng", "", "cpus:6")
        .quota("eng/dev", "", "cpus:1")
        .framework("d", "eng/dev")
        .framework("p", "eng/prod")
        .agents(10, "cpus:2");
    assert_eq!(cluster.offered(), sums([("d", 1.0, 0.0), ("p", 5.0, 0.0)]));
}

#[test]
fn what_a_limited_role_gives_back_comes_back_from_any_agent() {
    let mut cluster = Cluster::new()
        .quota("x", "", "cpus:2;mem:1000")
        .framework("f", "x")
        .agents(3, "cpus:2;mem:100");
    let first = cluster.run().remove(0);
    assert_eq!(cluster.run(), []);
    // Only another agent has cpus then.
    cluster.0.deactivate_agent(&first.agent).unwrap();
    let cpus = first.resources.filter(|r| &*r.name == "cpus");
    cluster.give_back(&first, &cpus);
    assert_eq!(cluster.0.next_wakeup(), Some(Duration::ZERO));
    assert_eq!(cluster.offered(), sums([("f", 2.0, 0.0)]));
}

#[test]
fn a_raised_limit_is_used_at_once_and_a_lowered_one_keeps_what_is_held() {
    let mut cluster = Cluster::new()
        .quota("x", "", "cpus:2")
        .framework("f", "x")
        .agents(4, "cpus:2");
    assert_eq!(cluster.offered(), sums([("f", 2.0, 0.0)]));
    cluster.0.set_quota("x", quota("", "cpus:5"));
    assert_eq!(cluster.0.next_wakeup(), Some(Duration::ZERO));
    assert_eq!(cluster.offered(), sums([("f", 3.0, 0.0)]));
    cluster.0.set_quota("x", quota("", "cpus:1"));
    assert_eq!(cluster.offered(), sums([]));
    assert_eq!(cluster.0.quota_consumed("x").get("cpus").as_f64(), 5.0);
    cluster.0.set_quota("x", Quota::default());
    assert_eq!(cluster.0.quota("x"), None);
    assert_eq!(cluster.offered(), sums([("f", 3.0, 0.0)]));
}

#[test]
fn reservations_count_against_a_limit_whether_they_are_used_or_not() {
    let mut cluster = Cluster::new()
        .quota("x", "", "cpus:4")
        .framework("f", "x")
        .agents(1, "cpus(x):3;mem:100")
        .agents(3, "cpus:2;mem:100");
    assert_eq!(cluster.0.reserved("x").get("cpus").as_f64(), 3.0);
    assert_eq!(cluster.0.quota_consumed("x").get("cpus").as_f64(), 3.0);
    // Its own reservation is not held from it, and leaves it one more.
    assert_eq!(cluster.offered(), sums([("f", 4.0, 400.0)]));
    assert_eq!(cluster.0.quota_consumed("x").get("cpus").as_f64(), 4.0);
}

#[test]
fn what_is_reserved_above_a_role_is_limited_below() {
    let mut cluster = Cluster::new()
        .quota("eng", "", "cpus:4")
        .quota("eng/dev", "", "cpus:1")
        .framework("d", "eng/dev")
        .agents(1, "cpus(eng):4;mem:100");
    assert_eq!(cluster.offered(), sums([("d", 1.0, 100.0)]));
    assert_eq!(cluster.0.quota_consumed("eng").get("cpus").as_f64(), 4.0);
    let mut cluster = cluster.framework("p", "eng/prod");
    assert_eq!(cluster.offered(), sums([("p", 3.0, 0.0)]));
}

#[test]
fn revocable_resources_are_not_charged() {
    let mut allocator = Allocator::new(Options::default());
    allocator.set_quota("x", quota("", "cpus:1"));
    let mut able = spec("x");
    able.capabilities.revocable_resources = true;
    allocator.add_framework(&"f".into(), &able, true);
    let revocable = parse("cpus:8").map(|r| r.with_meta(|meta| meta.revocable = true));
    let total = &parse("cpus:2;mem:64") + &revocable;
    allocator
        .add_agent(&"a".into(), &AgentSpec::new(total), &[])
        .unwrap();
    let offers = allocator.allocate(Duration::ZERO);
    let expected = &parse("cpus:1;mem:64") + &revocable;
    assert_eq!(offers[0].resources, expected.allocated_to("x"));
    assert_eq!(allocator.quota_consumed("x").get("cpus").as_f64(), 1.0);
}

#[test]
fn a_guarantee_is_kept_free_for_its_role() {
    let mut cluster = Cluster::new()
        .quota("x", "cpus:3;mem:150", "")
        .framework("g", "y")
        .agents(4, "cpus:2;mem:100");
    assert_eq!(cluster.offered(), sums([("g", 5.0, 250.0)]));
    let mut cluster = cluster.framework("f", "x");
    assert_eq!(cluster.offered(), sums([("f", 3.0, 150.0)]));
    // What is freed then is for anyone.
    cluster.0.remove_framework(&"g".into()).unwrap();
    assert_eq!(cluster.offered(), sums([("f", 5.0, 250.0)]));
}

#[test]
fn a_role_whose_guarantee_is_not_met_comes_first() {
    let mut cluster = Cluster::new()
        .framework("a", "a")
        .framework("f", "x")
        .agents(1, "cpus:2;mem:100");
    let offers = cluster.run();
    assert_eq!(offers[0].framework.as_str(), "a");
    // It has a share already, and yet it is its turn.
    cluster.0.remove_framework(&"a".into()).unwrap();
    let mut cluster = cluster.agents(1, "cpus:2;mem:100");
    assert_eq!(cluster.offered(), sums([("f", 4.0, 200.0)]));
    cluster.0.set_quota("x", quota("cpus:5", ""));
    let mut cluster = cluster.framework("a", "a").agents(1, "cpus:2;mem:100");
    assert_eq!(cluster.offered(), sums([("f", 2.0, 100.0)]));
}

#[test]
fn guarantees_of_sub_roles_are_kept_from_their_siblings() {
    let mut cluster = Cluster::new()
        .quota("eng", "cpus:6", "cpus:6")
        .quota("eng/prod", "cpus:4", "")
        .framework("d", "eng/dev")
        .agents(5, "cpus:2");
    assert_eq!(cluster.offered(), sums([("d", 2.0, 0.0)]));
    let mut cluster = cluster.framework("o", "other");
    assert_eq!(cluster.offered(), sums([("o", 4.0, 0.0)]));
    let mut cluster = cluster.framework("p", "eng/prod");
    assert_eq!(cluster.offered(), sums([("p", 4.0, 0.0)]));
}

#[test]
fn headroom_is_only_what_can_be_offered() {
    // Free resources of an agent that is away, or that somebody reserved, meet no guarantee.
    let mut cluster = Cluster::new()
        .quota("x", "cpus:2", "")
        .agents(1, "cpus:2")
        .agents(1, "cpus(z):2")
        .agents(1, "cpus:2");
    cluster.0.deactivate_agent(&"a0".into()).unwrap();
    let mut cluster = cluster.framework("g", "y");
    assert_eq!(cluster.offered(), sums([]));
    cluster.0.activate_agent(&"a0".into()).unwrap();
    assert_eq!(cluster.offered(), sums([("g", 2.0, 0.0)]));
    // It is back.
    cluster.0.set_quota("x", Quota::default());
    assert_eq!(cluster.offered(), sums([("g", 2.0, 0.0)]));
}

#[test]
fn a_framework_that_holds_without_an_offer_counts() {
    let mut cluster = Cluster::new()
        .quota("x", "", "cpus:3")
        .framework("f", "x")
        .agents(2, "cpus:4;mem:64");
    let used = parse("cpus:2").allocated_to("x");
    cluster.0.charge(&"f".into(), &"a0".into(), &used).unwrap();
    assert_eq!(cluster.offered(), sums([("f", 1.0, 128.0)]));
}

#[test]
fn volumes_are_never_cut() {
    use mesos_wire::v1::resource::{DiskInfo, disk_info};
    let source = disk_info::Source {
        r#type: disk_info::source::Type::Mount.into(),
        ..Default::default()
    };
    let disk = DiskInfo {
        source: Some(source),
        ..Default::default()
    };
    let mount = parse("disk:100").map(|r| r.with_meta(|meta| meta.disk = Some(disk.clone())));
    let mut allocator = Allocator::new(Options::default());
    allocator.set_quota("x", quota("", "disk:50"));
    allocator.add_framework(&"f".into(), &spec("x"), true);
    let total = &parse("cpus:2;mem:64;disk:70") + &mount;
    allocator
        .add_agent(&"a".into(), &AgentSpec::new(total), &[])
        .unwrap();
    let offers = allocator.allocate(Duration::ZERO);
    let disks: Vec<_> = offers[0]
        .resources
        .distinct()
        .filter(|r| &*r.name == "disk")
        .collect();
    assert_eq!(disks.len(), 1);
    let fifty = Value::Scalar(Scalar::from_f64(50.0).unwrap());
    assert_eq!(disks[0].value, fifty);
    allocator.set_quota("x", quota("", "disk:170"));
    let offers = allocator.allocate(Duration::ZERO);
    assert_eq!(offers.len(), 0, "disk alone is worth no offer");
    let mut modest = spec("x");
    modest.min_allocatable.insert("x".to_owned(), Vec::new());
    allocator.update_framework(&"f".into(), &modest).unwrap();
    let offers = allocator.allocate(Duration::ZERO);
    assert_eq!(offers[0].resources.disk().unwrap().as_f64(), 120.0);
}

#[test]
fn after_a_failover_nothing_is_offered_before_enough_agents_are_back() {
    let at = Duration::from_secs;
    let deadline = at(600);
    let mut cluster = Cluster::new().framework("f", "x");
    cluster.0.hold(10, 0.8, deadline);
    // Nobody has a quota.
    assert!(!cluster.0.is_held(at(1)));
    let mut cluster = cluster.quota("y", "cpus:1", "").agents(7, "cpus:2");
    assert!(cluster.0.is_held(at(1)));
    assert_eq!(cluster.0.allocate(at(1)), []);
    assert_eq!(cluster.0.next_wakeup(), Some(deadline));
    let mut cluster = cluster.agents(1, "cpus:2");
    assert_eq!(cluster.0.next_wakeup(), Some(Duration::ZERO));
    let offers = cluster.0.allocate(at(2));
    assert_eq!(offers.len(), 8);
    // It ends once.
    for offer in &offers {
        cluster.0.remove_agent(&offer.agent).unwrap();
    }
    assert!(!cluster.0.is_held(at(3)));

    let mut cluster = Cluster::new()
        .framework("f", "x")
        .quota("y", "cpus:1", "")
        .agents(2, "cpus:2");
    cluster.0.hold(10, 0.8, deadline);
    assert_eq!(cluster.0.allocate(deadline - at(1)), []);
    assert_eq!(cluster.0.allocate(deadline).len(), 2);
}
