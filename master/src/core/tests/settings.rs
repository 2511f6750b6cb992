//! Weights and quotas.
use std::collections::BTreeMap;

use super::world::{AWARE, World};
use crate::{
    config::MasterConfig,
    core::Reply,
    registry::{Change as RegistryChange, Registry},
};

const ROLES: &str = r#""capabilities":[{"type":"MULTI_ROLE"},{"type":"PARTITION_AWARE"}],"failover_timeout":60,"roles""#;

fn weights(world: &mut World, infos: &str) -> Reply {
    world.order(&format!(
        r#""type":"UPDATE_WEIGHTS","update_weights":{{"weight_infos":[{infos}]}}"#
    ))
}

fn quota(world: &mut World, configs: &str, force: bool) -> Reply {
    world.order(&format!(
        r#""type":"UPDATE_QUOTA","update_quota":{{"force":{force},"quota_configs":[{configs}]}}"#
    ))
}

fn bad(reply: Reply) -> String {
    let Reply::BadRequest(text) = reply else {
        panic!("{reply:?} is no 400")
    };
    text
}

#[test]
fn weights_are_kept_and_shown_and_offers_of_the_roles_beside_are_taken_back() {
    let mut world = World::new();
    let client = world.subscribe(&format!(r#"{ROLES}:["dev"]"#));
    world.agent();
    world.offer(&client);
    assert_eq!(
        weights(&mut world, r#"{"role":"dev","weight":2.5}"#),
        Reply::Ok
    );
    assert_eq!(
        world.registry.last(),
        Some(&RegistryChange::Weights(vec![("dev".to_owned(), 2.5)]))
    );
    assert_eq!(world.core.state().settings.weight("dev"), 2.5);
    assert!(world.take(&client)[0].contains("RESCIND"));
    world.offer(&client);
    // The same again, or a role that nobody is in: nothing moves.
    assert_eq!(
        weights(
            &mut world,
            r#"{"role":"dev","weight":2.5},{"role":"else","weight":3}"#
        ),
        Reply::Ok
    );
    assert!(world.take(&client).is_empty());
}

#[test]
fn sub_roles_that_change_leave_other_trees_alone() {
    let mut world = World::new();
    let client = world.subscribe(&format!(r#"{ROLES}:["a"]"#));
    let other = world.subscribe(&format!(r#"{ROLES}:["b/c"]"#));
    world.agent();
    world.agent_at(5052);
    world.settle();
    assert_eq!(world.offers(&client).len() + world.offers(&other).len(), 2);
    assert_eq!(
        weights(&mut world, r#"{"role":"b/c","weight":2}"#),
        Reply::Ok
    );
    assert!(world.take(&client).is_empty());
}

#[test]
fn weights_that_cannot_be_are_refused_wholly() {
    let config = MasterConfig {
        roles: Some(["dev".to_owned()].into()),
        ..MasterConfig::default()
    };
    let mut world = World::with(config, Registry::default());
    for (infos, expected) in [
        (
            r#"{"role":"dev","weight":0}"#,
            "Invalid weight '0': Weights must be positive",
        ),
        (r#"{"role":"dev","weight":-1}"#, "Invalid weight '-1'"),
        (r#"{"role":"a//b","weight":1}"#, "Invalid role 'a//b'"),
        (r#"{"role":"qa","weight":1}"#, "Unknown role 'qa'"),
    ] {
        let both = format!(r#"{{"role":"dev","weight":7}},{infos}"#);
        let text = bad(weights(&mut world, &both));
        assert!(
            text.starts_with("Failed to validate update weights request JSON")
                && text.contains(expected),
            "{text}"
        );
    }
    assert!(world.registry.is_empty());
}

#[test]
fn the_flag_counts_only_as_long_as_the_registry_has_no_weights() {
    let config = || MasterConfig {
        weights: [(
            "dev".to_owned(),
            mesos_allocator::Weight::from_f64(3.0).unwrap(),
        )]
        .into(),
        ..MasterConfig::default()
    };
    let mut world = World::with(config(), Registry::default());
    assert_eq!(world.core.state().settings.weight("dev"), 3.0);
    world.settle();
    assert_eq!(
        world.registry,
        [RegistryChange::Weights(vec![("dev".to_owned(), 3.0)])]
    );
    let registry = Registry {
        weights: Some(BTreeMap::from([("qa".to_owned(), 2.0)])),
        ..Registry::default()
    };
    let mut world = World::with(config(), registry);
    world.settle();
    assert!(world.registry.is_empty());
    assert_eq!(world.core.state().settings.weight("dev"), 1.0);
    assert_eq!(world.core.state().settings.weight("qa"), 2.0);
}

#[test]
fn a_limit_takes_back_what_is_offered_above_it_and_holds_from_then_on() {
    let mut world = World::new();
    let client = world.subscribe(&format!(r#"{ROLES}:["dev/web"]"#));
    world.agent();
    world.offer(&client);
    assert_eq!(
        quota(
            &mut world,
            r#"{"role":"dev","limits":{"cpus":{"value":1},"mem":{"value":512}}}"#,
            false
        ),
        Reply::Ok
    );
    assert!(world.take(&client)[0].contains("RESCIND"));
    let offer = world.offer(&client);
    let cpus = offer.resources.iter().find(|r| r.name == "cpus").unwrap();
    assert_eq!(cpus.scalar.unwrap().value, 1.0, "bound by the role above");
    assert!(world.core.state().settings.quotas.contains_key("dev"));
    assert_eq!(quota(&mut world, r#"{"role":"dev"}"#, false), Reply::Ok);
    assert!(world.core.state().settings.quotas.is_empty());
}

#[test]
fn a_guarantee_takes_back_what_others_are_offered() {
    let mut world = World::new();
    let client = world.subscribe(AWARE);
    world.agent();
    world.offer(&client);
    let dev = world.subscribe(&format!(r#"{ROLES}:["dev"]"#));
    world.settle();
    assert!(world.offers(&dev).is_empty());
    assert_eq!(
        quota(
            &mut world,
            r#"{"role":"dev","guarantees":{"cpus":{"value":2}}}"#,
            false
        ),
        Reply::Ok
    );
    assert!(world.take(&client)[0].contains("RESCIND"));
    world.settle();
    let offers = world.offers(&dev);
    assert!(!offers.is_empty(), "what is promised is offered");
}

#[test]
fn promises_beyond_the_cluster_and_limits_below_what_is_used_need_force() {
    let mut world = World::new();
    let big =
        r#"{"role":"dev2","guarantees":{"cpus":{"value":1000}},"limits":{"cpus":{"value":1000}}}"#;
    let (_, _) = world.running(&["t"]);
    assert_eq!(
        bad(quota(&mut world, big, false)),
        "Invalid QuotaConfig: total quota guarantees 'cpus:1000' exceed cluster capacity \
         'cpus:4; disk:10000; mem:4096' (use 'force' flag to bypass this check)"
    );
    assert_eq!(quota(&mut world, big, true), Reply::Ok);
    let mut world = World::new();
    let client = world.subscribe(&format!(r#"{ROLES}:["dev3"]"#));
    let agent = world.agent_at(5052);
    world.run(&client, &agent, &["u"]);
    let small = r#"{"role":"dev3","limits":{"cpus":{"value":0.5}}}"#;
    let text = bad(quota(&mut world, small, false));
    assert!(
        text.contains("role 'dev3' already consumes 1 cpus"),
        "{text}"
    );
    assert_eq!(quota(&mut world, small, true), Reply::Ok);
}

#[test]
fn all_quotas_of_a_call_are_set_or_none() {
    let mut world = World::new();
    world.agent();
    let good = r#"{"role":"a","limits":{"cpus":{"value":1}}}"#;
    for (other, expected) in [
        (
            r#"{"role":"*","limits":{"cpus":{"value":1}}}"#,
            "default '*' role",
        ),
        (
            r#"{"role":"a","limits":{"cpus":{"value":1}}}"#,
            "appears more than once",
        ),
        (
            r#"{"role":"b","limits":{"cpus":{"value":-1}}}"#,
            "allowed: 0 to",
        ),
        (
            r#"{"role":"b","guarantees":{"cpus":{"value":1}}},{"role":"b/c","guarantees":{"cpus":{"value":2}}}"#,
            "do not contain the sum 'cpus:2'",
        ),
    ] {
        let text = bad(quota(&mut world, &format!("{good},{other}"), false));
        assert!(
            text.starts_with("Invalid QuotaConfig: ") && text.contains(expected),
            "{text}"
        );
    }
    assert!(world.core.state().settings.quotas.is_empty());
    let long = "r/".repeat(600) + "r";
    let text = bad(quota(
        &mut world,
        &format!(r#"{{"role":"{long}","limits":{{"cpus":{{"value":1}}}}}}"#),
        false,
    ));
    assert!(text.contains("longer than 1024 bytes"), "{text}");
}

#[test]
fn older_quota_calls_set_once_and_remove_what_is_there() {
    let mut world = World::new();
    world.agent();
    let set = |role: &str, cpus: f64, force: bool| {
        format!(
            r#""type":"SET_QUOTA","set_quota":{{"quota_request":{{"force":{force},"role":"{role}","guarantee":[
               {{"name":"cpus","type":"SCALAR","scalar":{{"value":{cpus}}}}}]}}}}"#
        )
    };
    assert_eq!(world.order(&set("dev", 2.0, false)), Reply::Ok);
    let kept = &world.core.state().settings.quotas["dev"];
    assert_eq!(kept.guarantees, kept.limits);
    let text = bad(world.order(&set("dev", 1.0, false)));
    assert!(text.contains("which already has quota"), "{text}");
    let text = bad(world.order(&set("dev/web", 1.0, false)));
    assert!(
        text.contains("nested role 'dev/web' is not supported"),
        "{text}"
    );
    let reply = world.order(&set("qa", 100.0, false));
    assert!(matches!(reply, Reply::Conflict(_)), "{reply:?}");
    assert_eq!(world.order(&set("qa", 100.0, true)), Reply::Ok);
    let remove = r#""type":"REMOVE_QUOTA","remove_quota":{"role":"dev"}"#;
    assert_eq!(world.order(remove), Reply::Ok);
    assert_eq!(
        bad(world.order(remove)),
        "Failed to remove quota: Role 'dev' has no quota set"
    );
}

#[test]
fn changes_are_judged_one_after_the_other() {
    let mut world = World::new();
    world.agent();
    world.held = Some(Vec::new());
    let set = |cpus: f64| {
        format!(
            r#""type":"SET_QUOTA","set_quota":{{"quota_request":{{"role":"dev","guarantee":[
               {{"name":"cpus","type":"SCALAR","scalar":{{"value":{cpus}}}}}]}}}}"#
        )
    };
    let first = world.order_later(&set(1.0));
    let second = world.order_later(&set(2.0));
    assert_eq!((world.answer(first), world.answer(second)), (None, None));
    world.release_registry();
    assert_eq!(world.answer(first), Some(Reply::Ok));
    assert!(matches!(world.answer(second), Some(Reply::BadRequest(_))));
    assert_eq!(world.registry.len(), 2, "the agent and the first");
}
