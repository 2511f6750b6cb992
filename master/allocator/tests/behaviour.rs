//! Who is offered what, and when.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of test functions"
)]

use std::{collections::BTreeSet, time::Duration};

use mesos_allocator::{
    AgentSpec, Allocator, AllocatorError, FrameworkSpec, OfferProposal, Options, Weight,
    parse_min_allocatable,
};
use mesos_types::{
    AgentId, FrameworkCapabilities, FrameworkId, Resource, Resources, Scalar, parse_resources,
};
use mesos_wire::v1::{FrameworkInfo, resource};

const AGENT: &str = "cpus:4;mem:1024;ports:[31000-32000]";

fn parse(text: &str) -> Resources {
    parse_resources(text, "*").unwrap()
}

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn spec(roles: &[&str]) -> FrameworkSpec {
    FrameworkSpec {
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        capabilities: FrameworkCapabilities {
            multi_role: true,
            ..Default::default()
        },
        ..Default::default()
    }
}

/// An allocator with short names, and what it has proposed.
struct Cluster {
    allocator: Allocator,
}

impl Cluster {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        Self {
            allocator: Allocator::new(options),
        }
    }

    fn framework(mut self, id: &str, roles: &[&str]) -> Self {
        self.allocator.add_framework(&id.into(), &spec(roles), true);
        self
    }

    fn agent(mut self, id: &str, total: &str) -> Self {
        self.allocator
            .add_agent(&id.into(), &AgentSpec::new(parse(total)), &[])
            .unwrap();
        self
    }

    fn run(&mut self, millis: u64) -> Vec<OfferProposal> {
        self.allocator.allocate(at(millis))
    }

    /// What a run proposes, one line each.
    fn shown(&mut self, millis: u64) -> Vec<String> {
        self.run(millis).iter().map(show).collect()
    }

    fn recover(&mut self, offer: &OfferProposal, refusal: Option<u64>, millis: u64) {
        self.recover_part(offer, &offer.resources, refusal, millis);
    }

    fn recover_part(
        &mut self,
        offer: &OfferProposal,
        part: &Resources,
        refusal: Option<u64>,
        millis: u64,
    ) {
        let (framework, agent) = (&offer.framework, &offer.agent);
        let refusal = refusal.map(at);
        self.allocator
            .recover(framework, agent, part, refusal, at(millis))
            .unwrap();
    }
}

fn show(offer: &OfferProposal) -> String {
    let cpus = offer.resources.cpus().unwrap_or(Scalar::ZERO);
    format!(
        "{} {} {} cpus={cpus}",
        offer.framework, offer.role, offer.agent
    )
}

#[test]
fn an_offer_holds_everything_and_is_allocated_to_the_role() {
    let mut cluster = Cluster::new().framework("f", &["eng"]).agent("a", AGENT);
    let offers = cluster.run(0);
    assert_eq!(offers.len(), 1);
    assert_eq!(offers[0].resources, parse(AGENT).allocated_to("eng"));
    assert_eq!(
        cluster.allocator.available(&"a".into()),
        Some(&Resources::new())
    );
    let held = cluster.allocator.held(&"a".into());
    assert_eq!(held, [("f".into(), offers[0].resources.clone())]);
    assert_eq!(cluster.run(10_000), []);
    assert_eq!(cluster.allocator.next_wakeup(), None);
}

#[test]
fn freed_resources_go_to_anyone_at_once() {
    let mut cluster = Cluster::new().framework("f", &["*"]).agent("a", AGENT);
    let offer = cluster.run(0).remove(0);
    cluster.recover(&offer, None, 1);
    assert_eq!(cluster.allocator.next_wakeup(), Some(Duration::ZERO));
    assert_eq!(cluster.shown(1), ["f * a cpus=4"]);
}

#[test]
fn declined_resources_go_to_others_at_once_and_back_after_the_interval() {
    let mut cluster = Cluster::new()
        .framework("f", &["*"])
        .framework("g", &["*"])
        .agent("a", AGENT);
    let offer = cluster.run(0).remove(0);
    assert_eq!(show(&offer), "f * a cpus=4");
    cluster.recover(&offer, Some(0), 100);
    let offer = cluster.run(100).remove(0);
    assert_eq!(show(&offer), "g * a cpus=4");
    cluster.recover(&offer, Some(0), 200);
    assert_eq!(cluster.run(200), []);
    assert_eq!(cluster.allocator.next_wakeup(), Some(at(1100)));
    assert_eq!(cluster.run(1099), []);
    assert_eq!(cluster.shown(1100), ["f * a cpus=4"]);
}

#[test]
fn a_client_that_declines_with_zero_is_asked_once_per_interval() {
    let mut cluster = Cluster::new().framework("f", &["*"]).agent("a", AGENT);
    let mut asked = 0;
    for millis in 0..10_000 {
        for offer in cluster.run(millis) {
            asked += 1;
            cluster.recover(&offer, Some(0), millis);
        }
    }
    assert_eq!(asked, 10);
}

#[test]
fn a_revive_ends_filter_and_throttle() {
    for refusal in [0, 5000, 1_000_000] {
        let mut cluster = Cluster::new().framework("f", &["*"]).agent("a", AGENT);
        let offer = cluster.run(0).remove(0);
        cluster.recover(&offer, Some(refusal), 0);
        assert_eq!(cluster.run(1), []);
        cluster.allocator.revive(&"f".into(), &[]).unwrap();
        assert_eq!(cluster.shown(2), ["f * a cpus=4"]);
    }
}

#[test]
fn a_filter_holds_for_its_time_and_at_least_the_interval() {
    for (refusal, end) in [(5000, 5000), (10, 1000)] {
        let mut cluster = Cluster::new().framework("f", &["*"]).agent("a", AGENT);
        let offer = cluster.run(0).remove(0);
        cluster.recover(&offer, Some(refusal), 0);
        assert_eq!(cluster.run(end - 1), []);
        assert_eq!(cluster.allocator.next_wakeup(), Some(at(end)));
        assert_eq!(cluster.shown(end), ["f * a cpus=4"]);
    }
}

#[test]
fn a_filter_yields_to_more_resources_but_not_to_less() {
    let mut cluster = Cluster::new().framework("f", &["*"]).agent("a", AGENT);
    let offer = cluster.run(0).remove(0);
    let task = parse("cpus:1;mem:32").allocated_to("*");
    let rest = &offer.resources - &task;
    // The task runs, the rest of the accepted offer is refused.
    cluster.recover_part(&offer, &rest, Some(5000), 0);
    assert_eq!(cluster.run(1), []);
    cluster.recover_part(&offer, &task, None, 2);
    assert_eq!(cluster.shown(2), ["f * a cpus=4"]);
    // Refused as a whole, and then less is there.
    cluster.recover(&offer, Some(5000), 3);
    let other = parse("cpus:1").allocated_to("*");
    cluster
        .allocator
        .charge(&"g".into(), &"a".into(), &other)
        .unwrap();
    assert_eq!(cluster.run(4), []);
    cluster
        .allocator
        .recover(&"g".into(), &"a".into(), &other, None, at(5))
        .unwrap();
    assert_eq!(cluster.run(5), []);
    assert_eq!(cluster.shown(5003), ["f * a cpus=4"]);
}

#[test]
fn resources_that_become_free_end_a_throttle() {
    let mut cluster = Cluster::new()
        .framework("f", &["*"])
        .framework("g", &["*"])
        .agent("a", AGENT);
    let first = cluster.run(0).remove(0);
    cluster.recover(&first, Some(0), 0);
    let second = cluster.run(0).remove(0);
    assert_eq!(show(&second), "g * a cpus=4");
    // All of it was in use by `g` meanwhile; to `f` it is free again, not unchanged.
    cluster.recover(&second, None, 10);
    assert_eq!(cluster.shown(10), ["f * a cpus=4"]);
}

#[test]
fn suppressed_roles_get_nothing_until_revived() {
    let mut cluster = Cluster::new().framework("f", &["x", "y"]);
    cluster
        .allocator
        .suppress(&"f".into(), &["x".to_owned()])
        .unwrap();
    let mut cluster = cluster.agent("a", AGENT);
    assert_eq!(cluster.shown(0), ["f y a cpus=4"]);
    cluster.allocator.suppress(&"f".into(), &[]).unwrap();
    let mut cluster = cluster.agent("b", AGENT);
    assert_eq!(cluster.run(0), []);
    cluster
        .allocator
        .revive(&"f".into(), &["x".to_owned()])
        .unwrap();
    assert_eq!(cluster.shown(0), ["f x b cpus=4"]);
    let unknown = cluster
        .allocator
        .revive(&"f".into(), &["x".to_owned(), "z".to_owned()]);
    let expected = AllocatorError::NotSubscribed {
        framework: "f".into(),
        role: "z".into(),
    };
    assert_eq!(unknown, Err(expected));
}

#[test]
fn a_spec_with_suppressed_roles_is_followed() {
    let mut cluster = Cluster::new().agent("a", AGENT);
    let mut quiet = spec(&["x"]);
    quiet.suppressed = BTreeSet::from(["x".to_owned()]);
    cluster.allocator.add_framework(&"f".into(), &quiet, true);
    assert_eq!(cluster.run(0), []);
    cluster
        .allocator
        .update_framework(&"f".into(), &spec(&["x"]))
        .unwrap();
    assert_eq!(cluster.shown(0), ["f x a cpus=4"]);
}

#[test]
fn reserved_resources_go_to_their_role_and_below_it() {
    let total = "cpus:1;mem:64;cpus(eng):2;mem(eng):64;cpus(ops):4;mem(ops):64";
    for (role, cpus) in [
        ("eng", 3.0),
        ("eng/web", 3.0),
        ("ops", 5.0),
        ("engine", 1.0),
        ("*", 1.0),
    ] {
        let mut cluster = Cluster::new().framework("f", &[role]).agent("a", total);
        let offers = cluster.run(0);
        assert_eq!(offers[0].resources.cpus().unwrap().as_f64(), cpus, "{role}");
    }
    let mut cluster = Cluster::new()
        .framework("e", &["eng"])
        .framework("o", &["ops"])
        .agent("a", total);
    assert_eq!(cluster.shown(0), ["e eng a cpus=3", "o ops a cpus=4"]);
}

#[test]
fn agents_with_gpus_are_kept_for_those_who_use_them() {
    let total = "cpus:4;mem:64;gpus:2";
    let mut cluster = Cluster::new().framework("f", &["*"]).agent("a", total);
    assert_eq!(cluster.run(0), []);
    let mut able = spec(&["*"]);
    able.capabilities.gpu_resources = true;
    cluster.allocator.add_framework(&"g".into(), &able, true);
    assert_eq!(cluster.shown(0), ["g * a cpus=4"]);

    let options = Options {
        filter_gpu_resources: false,
        ..Default::default()
    };
    let mut cluster = Cluster::with(options)
        .framework("f", &["*"])
        .agent("a", total);
    assert_eq!(cluster.shown(0), ["f * a cpus=4"]);
}

#[test]
fn crumbs_are_not_offered_unless_the_framework_asks_for_them() {
    let mut cluster = Cluster::new()
        .framework("f", &["x"])
        .agent("a", "mem:31;disk:1000");
    assert_eq!(cluster.run(0), []);
    let mut modest = spec(&["x"]);
    modest
        .min_allocatable
        .insert("x".to_owned(), parse_min_allocatable("mem:30").unwrap());
    cluster
        .allocator
        .update_framework(&"f".into(), &modest)
        .unwrap();
    assert_eq!(cluster.run(0).len(), 1);
}

#[test]
fn a_frameworks_own_words_are_understood() {
    let info = FrameworkInfo {
        roles: vec!["x".into(), "y".into()],
        capabilities: vec![mesos_wire::v1::framework_info::Capability {
            r#type: Some(mesos_wire::v1::framework_info::capability::Type::MultiRole.into()),
        }],
        ..Default::default()
    };
    assert_eq!(FrameworkSpec::from(&info).roles.len(), 2);
    let old = FrameworkInfo {
        capabilities: vec![],
        ..info
    };
    assert_eq!(
        FrameworkSpec::from(&old).roles,
        BTreeSet::from(["*".to_owned()])
    );
}

#[test]
fn equal_frameworks_share_agents_equally() {
    let mut cluster = Cluster::new().framework("f", &["x"]).framework("g", &["x"]);
    for n in 0..10 {
        cluster = cluster.agent(&format!("a{n}"), AGENT);
    }
    let offers = cluster.run(0);
    let of = |id: &str| offers.iter().filter(|o| o.framework.as_str() == id).count();
    assert_eq!((of("f"), of("g")), (5, 5));
}

#[test]
fn roles_share_equally_however_many_frameworks_they_have() {
    let mut cluster = Cluster::new()
        .framework("f1", &["x"])
        .framework("f2", &["x"])
        .framework("f3", &["x"])
        .framework("g", &["y"]);
    for n in 0..12 {
        cluster = cluster.agent(&format!("a{n:02}"), AGENT);
    }
    let offers = cluster.run(0);
    let of = |role: &str| offers.iter().filter(|o| &*o.role == role).count();
    assert_eq!((of("x"), of("y")), (6, 6));
    let held = cluster.allocator.held_by_role("x");
    assert_eq!(held.get("cpus").as_f64(), 24.0);
    assert_eq!(cluster.allocator.cluster_total().get("cpus").as_f64(), 48.0);
}

#[test]
fn weights_divide_the_cluster() {
    let weights = [("x".to_owned(), Weight::from_f64(3.0).unwrap())].into();
    let mut cluster = Cluster::with(Options {
        weights,
        ..Default::default()
    })
    .framework("f", &["x"])
    .framework("g", &["y"]);
    for n in 0..16 {
        cluster = cluster.agent(&format!("a{n:02}"), AGENT);
    }
    let offers = cluster.run(0);
    let of = |role: &str| offers.iter().filter(|o| &*o.role == role).count();
    assert_eq!((of("x"), of("y")), (12, 4));
}

#[test]
fn inactive_frameworks_and_agents_are_passed_over() {
    let mut cluster = Cluster::new().framework("f", &["*"]).agent("a", AGENT);
    let offer = cluster.run(0).remove(0);
    cluster.recover(&offer, Some(60_000), 0);
    cluster.allocator.deactivate_framework(&"f".into()).unwrap();
    let mut cluster = cluster.agent("b", AGENT);
    assert_eq!(cluster.run(1), []);
    // What it refused before it went is forgotten.
    cluster.allocator.activate_framework(&"f".into()).unwrap();
    cluster.allocator.deactivate_agent(&"b".into()).unwrap();
    assert_eq!(cluster.shown(2), ["f * a cpus=4"]);
    cluster.allocator.activate_agent(&"b".into()).unwrap();
    assert_eq!(cluster.shown(3), ["f * b cpus=4"]);
}

#[test]
fn what_a_removed_framework_held_is_free() {
    let mut cluster = Cluster::new().framework("f", &["x"]).agent("a", AGENT);
    let offer = cluster.run(0).remove(0);
    cluster.allocator.remove_framework(&"f".into()).unwrap();
    let mut cluster = cluster.framework("g", &["y"]);
    assert_eq!(cluster.shown(0), ["g y a cpus=4"]);
    let gone = cluster
        .allocator
        .recover(&"f".into(), &"a".into(), &offer.resources, None, at(0));
    assert_eq!(gone, Err(AllocatorError::UnknownFramework("f".into())));
    assert!(cluster.allocator.held_by_role("x").is_empty());
}

#[test]
fn a_framework_that_left_a_role_keeps_what_it_holds_there() {
    let mut cluster = Cluster::new().framework("f", &["x", "y"]).agent("a", AGENT);
    let offer = cluster.run(0).remove(0);
    assert_eq!(show(&offer), "f x a cpus=4");
    cluster
        .allocator
        .update_framework(&"f".into(), &spec(&["y"]))
        .unwrap();
    assert_eq!(
        cluster.allocator.held_by_role("x").get("cpus").as_f64(),
        4.0
    );
    cluster.recover(&offer, Some(5000), 0);
    assert!(cluster.allocator.held_by_role("x").is_empty());
    assert_eq!(cluster.shown(0), ["f y a cpus=4"]);
}

#[test]
fn frameworks_can_hold_resources_before_they_come() {
    let mut cluster = Cluster::new();
    let used = parse("cpus:1;mem:100").allocated_to("x");
    let (framework, agent): (FrameworkId, AgentId) = ("f".into(), "a".into());
    let in_use = [(framework.clone(), used.clone())];
    cluster
        .allocator
        .add_agent(&agent, &AgentSpec::new(parse(AGENT)), &in_use)
        .unwrap();
    assert_eq!(
        cluster.allocator.held_by_role("x").get("cpus").as_f64(),
        1.0
    );
    assert_eq!(cluster.allocator.held(&agent), in_use);
    let mut cluster = cluster.framework("f", &["x"]);
    assert_eq!(cluster.shown(0), ["f x a cpus=3"]);
    cluster
        .allocator
        .recover(&framework, &agent, &used, None, at(0))
        .unwrap();
    assert_eq!(cluster.shown(0), ["f x a cpus=1"]);
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut cluster = Cluster::new().framework("f", &["x"]).agent("a", AGENT);
    let offer = cluster.run(0).remove(0);
    let allocator = &mut cluster.allocator;
    let (framework, agent) = (&offer.framework, &offer.agent);
    let more = parse("cpus:5").allocated_to("x");
    let other = parse("cpus:1").allocated_to("y");
    let nobody = parse("cpus:1");
    for wrong in [&more, &other] {
        let answer = allocator.recover(framework, agent, wrong, None, at(0));
        assert!(
            matches!(answer, Err(AllocatorError::NotHeld { .. })),
            "{answer:?}"
        );
    }
    let answer = allocator.recover(framework, agent, &nobody, None, at(0));
    assert!(
        matches!(answer, Err(AllocatorError::NoRole { .. })),
        "{answer:?}"
    );
    let answer = allocator.add_agent(agent, &AgentSpec::new(parse(AGENT)), &[]);
    assert_eq!(answer, Err(AllocatorError::KnownAgent(agent.clone())));
    assert_eq!(
        allocator.held(agent),
        [(framework.clone(), offer.resources.clone())]
    );
    assert!(allocator.available(agent).unwrap().is_empty());
    allocator.remove_agent(agent).unwrap();
    let answer = allocator.recover(framework, agent, &offer.resources, None, at(0));
    assert_eq!(answer, Err(AllocatorError::UnknownAgent(agent.clone())));
    assert!(allocator.held_by_role("x").is_empty() && allocator.cluster_total().is_empty());
}

#[test]
fn an_agent_that_grows_is_offered_again_whatever_was_refused() {
    let mut cluster = Cluster::new().framework("f", &["*"]).agent("a", AGENT);
    let offer = cluster.run(0).remove(0);
    cluster.recover(&offer, Some(60_000), 0);
    assert_eq!(cluster.run(0), []);
    cluster
        .allocator
        .update_agent(&"a".into(), &parse("cpus:3;mem:1024"))
        .unwrap();
    assert_eq!(cluster.shown(0), ["f * a cpus=3"]);
}

#[test]
fn an_operation_converts_what_is_held_and_the_agents_total() {
    let mut cluster = Cluster::new().framework("f", &["x"]).agent("a", AGENT);
    let offer = cluster.run(0).remove(0);
    let plain = parse("cpus:1").allocated_to("x");
    let reserved = parse("cpus(x):1").allocated_to("x");
    let (framework, agent) = (offer.framework.clone(), offer.agent.clone());
    cluster
        .allocator
        .update_allocation(&framework, &agent, &plain, &reserved)
        .unwrap();
    let all = &(&offer.resources - &plain) + &reserved;
    assert_eq!(
        cluster.allocator.held(&agent),
        [(framework.clone(), all.clone())]
    );
    cluster
        .allocator
        .recover(&framework, &agent, &all, None, at(0))
        .unwrap();
    cluster.allocator.remove_framework(&framework).unwrap();
    let mut cluster = cluster.framework("g", &["y"]);
    assert_eq!(cluster.shown(0), ["g y a cpus=3"]);
}

#[test]
fn revocable_resources_go_to_those_who_can_lose_them() {
    let total = &parse("cpus:1;mem:64")
        + &parse("cpus:8").map(|r| r.with_meta(|meta| meta.revocable = true));
    let mut cluster = Cluster::new().framework("f", &["*"]);
    cluster
        .allocator
        .add_agent(&"a".into(), &AgentSpec::new(total.clone()), &[])
        .unwrap();
    let mut able = spec(&["*"]);
    able.capabilities.revocable_resources = true;
    cluster.allocator.add_framework(&"g".into(), &able, true);
    assert_eq!(cluster.shown(0), ["f * a cpus=1", "g * a cpus=8"]);
}

#[test]
fn a_shared_volume_is_offered_once_per_run_and_stays_available() {
    let persistence = resource::disk_info::Persistence {
        id: "v".into(),
        principal: None,
    };
    let disk = resource::DiskInfo {
        persistence: Some(persistence),
        ..Default::default()
    };
    let volume = parse("disk(x):100").map(|r| {
        r.with_meta(|meta| {
            meta.shared = true;
            meta.disk = Some(disk.clone());
        })
    });
    let total = &parse("cpus:2;mem:64;cpus(x):2") + &volume;
    let mut cluster = Cluster::new();
    cluster
        .allocator
        .add_agent(&"a".into(), &AgentSpec::new(total.clone()), &[])
        .unwrap();
    let mut able = spec(&["x"]);
    able.capabilities.shared_resources = true;
    cluster.allocator.add_framework(&"f".into(), &able, true);
    let offer = cluster.run(0).remove(0);
    assert_eq!(offer.resources, total.allocated_to("x"));
    assert_eq!(cluster.allocator.available(&"a".into()), Some(&volume));
    cluster.recover_part(&offer, &parse("cpus:1").allocated_to("x"), None, 0);
    let second = cluster.run(0).remove(0);
    assert!(second.resources.contains(&volume.allocated_to("x")));
    assert_eq!(
        cluster.allocator.held_by_role("x").get("disk").as_f64(),
        100.0
    );
    cluster.recover(&second, None, 0);
    assert_eq!(
        cluster.allocator.held_by_role("x").get("disk").as_f64(),
        100.0
    );
    let rest = &offer.resources - &parse("cpus:1").allocated_to("x");
    cluster.recover_part(&offer, &rest, None, 0);
    assert_eq!(cluster.allocator.available(&"a".into()), Some(&total));
}

#[test]
fn a_run_can_be_done_in_parts() {
    let mut cluster = Cluster::new().framework("f", &["*"]);
    for n in 0..5 {
        cluster = cluster.agent(&format!("a{n}"), AGENT);
    }
    assert_eq!(cluster.allocator.allocate_some(at(0), 3).len(), 3);
    assert_eq!(cluster.allocator.next_wakeup(), Some(Duration::ZERO));
    assert_eq!(cluster.allocator.allocate_some(at(0), 3).len(), 2);
    assert_eq!(cluster.allocator.next_wakeup(), None);
}

#[test]
fn names_in_errors_help() {
    let error = AllocatorError::NotHeld {
        framework: "f".into(),
        role: "x".into(),
        agent: "a".into(),
        resources: Resources::from(Resource::scalar("cpus", Scalar::from_thousandths(1500)))
            .to_string(),
    };
    let text = "framework f does not hold `cpus:1.5` for role `x` on agent a";
    assert_eq!(error.to_string(), text);
}
