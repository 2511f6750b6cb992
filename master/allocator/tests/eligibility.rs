//! Which agents which frameworks may be offered, and whose turn it is.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of test functions"
)]

use std::{collections::BTreeMap, time::Duration};

use mesos_allocator::{
    AgentCapabilities, AgentSpec, Allocator, AllocatorError, FrameworkSpec, Options, Weight,
    policy_by_name,
};
use mesos_types::{FrameworkCapabilities, Resources, parse_resources};
use mesos_wire::v1::resource::{DiskInfo, disk_info::Persistence};

const AGENT: &str = "cpus:4;mem:1024";

fn parse(text: &str) -> Resources {
    parse_resources(text, "*").unwrap()
}

fn spec(role: &str, capabilities: FrameworkCapabilities) -> FrameworkSpec {
    FrameworkSpec {
        roles: [role.to_owned()].into(),
        capabilities,
        ..Default::default()
    }
}

fn multi_role() -> FrameworkCapabilities {
    FrameworkCapabilities {
        multi_role: true,
        ..Default::default()
    }
}

/// How many agents each framework is offered in one run.
fn offered(allocator: &mut Allocator) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for offer in allocator.allocate(Duration::ZERO) {
        *counts.entry(offer.framework.to_string()).or_default() += 1;
    }
    counts
}

fn add(allocator: &mut Allocator, id: &str, change: impl FnOnce(&mut AgentSpec)) {
    let mut spec = AgentSpec::new(parse(AGENT));
    change(&mut spec);
    allocator.add_agent(&id.into(), &spec, &[]).unwrap();
}

#[test]
fn agents_of_other_regions_are_for_those_who_know_of_regions() {
    let mut allocator = Allocator::new(Options {
        region: Some("here".to_owned()),
        ..Options::default()
    });
    allocator.add_framework(&"f".into(), &spec("*", multi_role()), true);
    add(&mut allocator, "near", |spec| {
        spec.region = Some("here".to_owned());
    });
    add(&mut allocator, "unknown", |_| {});
    add(&mut allocator, "far", |spec| {
        spec.region = Some("there".to_owned());
    });
    assert_eq!(offered(&mut allocator), [("f".to_owned(), 2)].into());
    let aware = FrameworkCapabilities {
        region_aware: true,
        ..multi_role()
    };
    allocator.add_framework(&"g".into(), &spec("*", aware), true);
    assert_eq!(offered(&mut allocator), [("g".to_owned(), 1)].into());
}

#[test]
fn old_agents_are_kept_from_what_they_do_not_understand() {
    let cases = [
        (AgentCapabilities::ALL, "a/b", multi_role(), true),
        (AgentCapabilities::default(), "*", multi_role(), false),
        (
            AgentCapabilities::default(),
            "*",
            FrameworkCapabilities::default(),
            true,
        ),
        (
            AgentCapabilities {
                hierarchical_role: false,
                ..AgentCapabilities::ALL
            },
            "a/b",
            multi_role(),
            false,
        ),
        (
            AgentCapabilities {
                hierarchical_role: false,
                ..AgentCapabilities::ALL
            },
            "a",
            multi_role(),
            true,
        ),
    ];
    for (capabilities, role, framework, expected) in cases {
        let mut allocator = Allocator::new(Options::default());
        add(&mut allocator, "a", |spec| spec.capabilities = capabilities);
        allocator.add_framework(&"f".into(), &spec(role, framework), true);
        let some = !offered(&mut allocator).is_empty();
        assert_eq!(some, expected, "{capabilities:?} {role} {framework:?}");
    }
}

#[test]
fn an_agent_that_learns_something_is_offered_at_once() {
    let mut allocator = Allocator::new(Options::default());
    add(&mut allocator, "a", |spec| {
        spec.capabilities = AgentCapabilities::default();
    });
    allocator.add_framework(&"f".into(), &spec("a/b", multi_role()), true);
    assert_eq!(offered(&mut allocator), [].into());
    let spec = AgentSpec::new(parse(AGENT));
    allocator.update_agent_spec(&"a".into(), &spec).unwrap();
    assert_eq!(offered(&mut allocator), [("f".to_owned(), 1)].into());
}

#[test]
fn only_agents_of_the_whitelist_are_offered() {
    let mut allocator = Allocator::new(Options::default());
    allocator.add_framework(&"f".into(), &spec("*", multi_role()), true);
    allocator.set_whitelist(Some([].into()));
    for host in ["h1", "h2"] {
        add(&mut allocator, host, |spec| spec.hostname = host.to_owned());
    }
    assert_eq!(offered(&mut allocator), [].into());
    allocator.set_whitelist(Some(["h2".to_owned()].into()));
    assert_eq!(offered(&mut allocator), [("f".to_owned(), 1)].into());
    allocator.set_whitelist(None);
    assert_eq!(offered(&mut allocator), [("f".to_owned(), 1)].into());
}

#[test]
fn weights_that_change_divide_what_comes_next() {
    let mut allocator = Allocator::new(Options::default());
    for (id, role) in [("f", "x"), ("g", "y")] {
        allocator.add_framework(&id.into(), &spec(role, multi_role()), true);
    }
    for n in 0..4 {
        add(&mut allocator, &format!("a{n}"), |_| {});
    }
    assert_eq!(
        offered(&mut allocator),
        [("f".to_owned(), 2), ("g".to_owned(), 2)].into()
    );
    let three = Weight::from_f64(3.0).unwrap();
    allocator.set_weights(&[("x".to_owned(), three)]);
    assert_eq!(allocator.weight("x"), three);
    for n in 4..16 {
        add(&mut allocator, &format!("a{n}"), |_| {});
    }
    assert_eq!(
        offered(&mut allocator),
        [("f".to_owned(), 10), ("g".to_owned(), 2)].into()
    );
    let shares: BTreeMap<_, _> = allocator.dominant_shares().into_iter().collect();
    assert_eq!((shares["x"], shares["y"]), (0.25, 0.25));
}

#[test]
fn reservations_count_in_the_share_though_nobody_holds_them() {
    let mut allocator = Allocator::new(Options::default());
    for n in 0..4 {
        add(&mut allocator, &format!("r{n}"), |spec| {
            spec.total = parse("cpus(x):4;mem(x):1024");
        });
    }
    for (id, role) in [("f", "x"), ("g", "y")] {
        allocator.add_framework(&id.into(), &spec(role, multi_role()), true);
    }
    for n in 0..4 {
        add(&mut allocator, &format!("a{n}"), |_| {});
    }
    // `x` gets what is its own, and nothing else before `y` has as much.
    assert_eq!(
        offered(&mut allocator),
        [("f".to_owned(), 4), ("g".to_owned(), 4)].into()
    );
}

#[test]
fn random_sorters_serve_everybody_and_the_same_seed_the_same() {
    let run = |seed| {
        let random = policy_by_name("random").unwrap();
        let mut allocator = Allocator::new(Options {
            role_sorter: random.clone(),
            framework_sorter: random,
            seed,
            weights: [("x".to_owned(), Weight::from_f64(3.0).unwrap())].into(),
            ..Options::default()
        });
        for (id, role) in [("f", "x"), ("g", "y"), ("h", "y")] {
            allocator.add_framework(&id.into(), &spec(role, multi_role()), true);
        }
        for n in 0..4000 {
            add(&mut allocator, &format!("a{n}"), |_| {});
        }
        let offers = allocator.allocate(Duration::ZERO);
        let order = |id: &str| offers.iter().filter(|o| o.framework.as_str() == id).count();
        let counts = [order("f"), order("g"), order("h")];
        let order: Vec<String> = offers.iter().map(|o| o.framework.to_string()).collect();
        (counts, order)
    };
    let ([f, g, h], order) = run(1);
    assert!(f.abs_diff(3000) < 200, "{f}");
    assert!(g.abs_diff(500) < 120 && h.abs_diff(500) < 120, "{g} {h}");
    assert_eq!(run(1).1, order);
    assert_ne!(run(2).1, order);
    assert!(policy_by_name("fifo").is_none() && policy_by_name("drf").is_some());
}

#[test]
fn an_operator_converts_what_is_free_only() {
    let mut allocator = Allocator::new(Options::default());
    add(&mut allocator, "a", |_| {});
    let (plain, reserved) = (parse("cpus:3"), parse("cpus(x):3"));
    allocator
        .update_available(&"a".into(), &plain, &reserved)
        .unwrap();
    assert_eq!(allocator.reserved("x").get("cpus").as_f64(), 3.0);
    allocator.add_framework(&"f".into(), &spec("y", multi_role()), true);
    let offers = allocator.allocate(Duration::ZERO);
    assert_eq!(
        offers[0].resources,
        parse("cpus:1;mem:1024").allocated_to("y")
    );
    // The rest is held now.
    let again = allocator.update_available(&"a".into(), &parse("cpus:1"), &parse("cpus(x):1"));
    let expected = AllocatorError::NotFree {
        agent: "a".into(),
        resources: "cpus:1".to_owned(),
    };
    assert_eq!(again, Err(expected));
    assert_eq!(allocator.reserved("x").get("cpus").as_f64(), 3.0);
    allocator
        .update_available(&"a".into(), &reserved, &plain)
        .unwrap();
    let offers = allocator.allocate(Duration::ZERO);
    assert_eq!(offers[0].resources, plain.allocated_to("y"));
}

#[test]
fn a_shared_volume_in_use_is_not_free_and_many_may_hold_it() {
    let volume = parse("disk(x):100").map(|r| {
        r.with_meta(|meta| {
            meta.shared = true;
            meta.disk = Some(DiskInfo {
                persistence: Some(Persistence {
                    id: "v".to_owned(),
                    principal: None,
                }),
                ..Default::default()
            });
        })
    });
    let mut allocator = Allocator::new(Options::default());
    add(&mut allocator, "a", |spec| {
        spec.total = parse("cpus:4;mem:1024;disk(x):100");
    });
    allocator
        .update_available(&"a".into(), &parse("disk(x):100"), &volume)
        .unwrap();
    let shared = FrameworkCapabilities {
        shared_resources: true,
        ..multi_role()
    };
    allocator.add_framework(&"f".into(), &spec("x", shared), true);
    let offer = allocator.allocate(Duration::ZERO).remove(0);
    assert!(offer.resources.contains(&volume.allocated_to("x")));
    // It counts once for its role, and is there for the next one.
    assert_eq!(allocator.quota_consumed("x").get("disk").as_f64(), 100.0);
    let destroyed = allocator.update_available(&"a".into(), &volume, &parse("disk(x):100"));
    assert!(destroyed.is_err());
    allocator.add_framework(&"g".into(), &spec("x", shared), true);
    let back = parse("cpus:2;mem:512").allocated_to("x");
    allocator
        .recover(
            &"f".into(),
            &"a".into(),
            &back,
            Some(Duration::from_secs(5)),
            Duration::ZERO,
        )
        .unwrap();
    let second = allocator.allocate(Duration::ZERO).remove(0);
    assert_eq!(second.framework.as_str(), "g");
    assert!(second.resources.contains(&volume.allocated_to("x")));
    assert_eq!(allocator.quota_consumed("x").get("disk").as_f64(), 100.0);
    // One without the capability never sees it.
    allocator.remove_framework(&"f".into()).unwrap();
    allocator.remove_framework(&"g".into()).unwrap();
    allocator.add_framework(&"h".into(), &spec("x", multi_role()), true);
    let offer = allocator.allocate(Duration::ZERO).remove(0);
    assert_eq!(offer.resources, parse("cpus:4;mem:1024").allocated_to("x"));
    allocator
        .update_available(&"a".into(), &volume, &parse("disk(x):100"))
        .unwrap();
}

#[test]
fn revocable_totals_come_and_go() {
    let revocable = parse("cpus:8").map(|r| r.with_meta(|meta| meta.revocable = true));
    let mut allocator = Allocator::new(Options::default());
    add(&mut allocator, "a", |_| {});
    let able = FrameworkCapabilities {
        revocable_resources: true,
        ..multi_role()
    };
    allocator.add_framework(&"f".into(), &spec("x", able), true);
    let first = allocator.allocate(Duration::ZERO).remove(0);
    allocator
        .update_agent(&"a".into(), &(&parse(AGENT) + &revocable))
        .unwrap();
    let second = allocator.allocate(Duration::ZERO).remove(0);
    assert_eq!(second.resources, revocable.allocated_to("x"));
    // Its oversubscribed resources are gone, though held: nothing is free until they are back.
    allocator.update_agent(&"a".into(), &parse(AGENT)).unwrap();
    assert_eq!(allocator.allocate(Duration::ZERO), []);
    for offer in [second, first] {
        allocator
            .recover(
                &"f".into(),
                &"a".into(),
                &offer.resources,
                None,
                Duration::ZERO,
            )
            .unwrap();
    }
    let offers = allocator.allocate(Duration::ZERO);
    assert_eq!(offers[0].resources, parse(AGENT).allocated_to("x"));
    assert!(allocator.available(&"a".into()).unwrap().is_empty());
}

#[test]
fn figures_follow() {
    let mut allocator = Allocator::new(Options::default());
    add(&mut allocator, "a", |_| {});
    add(&mut allocator, "b", |_| {});
    allocator.add_framework(&"f".into(), &spec("x", multi_role()), true);
    let offers = allocator.allocate(Duration::ZERO);
    assert_eq!(allocator.cluster_total().get("cpus").as_f64(), 8.0);
    assert_eq!(allocator.cluster_held().get("cpus").as_f64(), 8.0);
    assert_eq!(allocator.runs(), 1);
    for (offer, seconds) in offers.iter().zip([5, 0]) {
        let refusal = Some(Duration::from_secs(seconds));
        allocator
            .recover(
                &"f".into(),
                &offer.agent,
                &offer.resources,
                refusal,
                Duration::ZERO,
            )
            .unwrap();
    }
    let filters = allocator.offer_filters();
    assert_eq!(filters.into_iter().collect::<Vec<_>>(), [("x".into(), 1)]);
    assert!(allocator.cluster_held().is_empty());
    allocator.revive(&"f".into(), &[]).unwrap();
    assert!(allocator.offer_filters().is_empty());
}
