//! Offers: forms, filters, answers, withdrawal.
use std::time::Duration;

use super::world::{AWARE, World, task};
use crate::{config::MasterConfig, core::Reply, registry::Registry};

#[test]
fn an_offer_has_everything_that_clients_read() {
    let mut world = World::new();
    let (client, agent) = world.pair();
    let offer = world.offer(&client);
    let text = super::world::text(&offer);
    assert_eq!(offer.agent_id.value, agent.id);
    for part in [
        r#""id":{"value":"M-O0"}"#,
        r#""hostname":"host""#,
        r#""url":{"scheme":"http","address":{"hostname":"host","ip":"127.0.0.1","port":5051},"path":"/slave(1)"}"#,
        r#""ranges":{"range":[{"begin":31000,"end":32000}]}"#,
        r#""role":"*","allocation_info":{"role":"*"}"#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn allocation_and_reservations_are_shown_by_capability() {
    let mut world = World::new();
    world.agent();
    let old = world.subscribe(r#""hostname":"h","failover_timeout":9"#);
    let offer = super::world::text(&world.offer(&old));
    assert!(
        !offer.contains("allocation_info") && offer.contains(r#""role":"*""#),
        "{offer}"
    );
    world.call(&old, r#""type":"TEARDOWN""#);
    let refined = world.subscribe(
        r#""capabilities":[{"type":"MULTI_ROLE"},{"type":"RESERVATION_REFINEMENT"}],"roles":["*"]"#,
    );
    let offer = world.offer(&refined);
    assert!(offer.resources.iter().all(|resource| {
        resource.allocation_info.is_some()
            && !super::world::text(resource).contains(r#""reservation""#)
    }));
    #[expect(deprecated, reason = "the old form must be absent")]
    let plain = offer
        .resources
        .iter()
        .all(|resource| resource.role.is_none());
    assert!(plain);
}

#[test]
fn declined_resources_go_to_others_within_ten_milliseconds() {
    let mut world = World::new();
    let first = world.subscribe(AWARE);
    world.agent();
    let offer = world.offer(&first);
    let second = world.subscribe(AWARE);
    world.settle();
    world.take(&second);
    assert_eq!(world.decline(&first, &offer, 0.0), Reply::Accepted);
    world.advance(Duration::from_millis(10));
    assert_eq!(world.offers(&second).len(), 1);
}

#[test]
fn the_same_resources_come_back_once_per_interval_however_small_the_filter() {
    let mut world = World::new();
    let (client, _) = world.pair();
    let offer = world.offer(&client);
    world.decline(&client, &offer, 0.0);
    world.advance(Duration::from_millis(900));
    assert!(world.offers(&client).is_empty());
    world.advance(Duration::from_millis(200));
    assert_eq!(world.offers(&client).len(), 1);
}

#[test]
fn a_filter_is_honoured_until_it_ends_or_the_framework_revives() {
    let mut world = World::new();
    let (client, _) = world.pair();
    let offer = world.offer(&client);
    world.decline(&client, &offer, 60.0);
    world.advance(Duration::from_secs(50));
    assert!(world.offers(&client).is_empty());
    world.call(&client, r#""type":"REVIVE""#);
    let offer = world.offer(&client);
    world.decline(&client, &offer, 60.0);
    world.advance(Duration::from_secs(61));
    assert_eq!(world.offers(&client).len(), 1);
}

#[test]
fn suppressing_stops_offers_and_a_foreign_role_voids_the_call() {
    let mut world = World::new();
    let client = world.subscribe(AWARE);
    world.call(
        &client,
        r#""type":"SUPPRESS","suppress":{"roles":["other"]}"#,
    );
    world.call(&client, r#""type":"SUPPRESS","suppress":{"roles":["*"]}"#);
    world.agent();
    world.settle();
    assert!(world.offers(&client).is_empty());
    world.call(&client, r#""type":"REVIVE","revive":{"roles":["other"]}"#);
    world.settle();
    assert!(world.offers(&client).is_empty());
    world.call(&client, r#""type":"REVIVE","revive":{"roles":["*"]}"#);
    assert_eq!(world.offer(&client).id.value, "M-O0");
}

#[test]
fn suppressed_at_subscription_means_no_offers() {
    let mut world = World::new();
    let client = world.subscribe_with(
        r#"{"framework_info":{"user":"u","name":"n","role":"dev"},"suppressed_roles":["dev"]}"#,
    );
    world.agent();
    world.settle();
    assert!(world.offers(&client).is_empty());
}

#[test]
fn what_is_left_of_an_accept_without_filter_is_offered_at_once() {
    let mut world = World::new();
    let (client, agent) = world.pair();
    let offer = world.offer(&client);
    world.accept(&client, &[&offer], &task("a", &agent.id, 1.0), 0.0);
    let left = world.offer(&client);
    let cpus = left.resources.iter().find(|r| r.name == "cpus").unwrap();
    assert_eq!(cpus.scalar.as_ref().unwrap().value, 3.0);
    // With a filter it waits.
    world.accept(&client, &[&left], &task("b", &agent.id, 1.0), 30.0);
    world.advance(Duration::from_secs(29));
    assert!(world.offers(&client).is_empty());
    world.advance(Duration::from_secs(2));
    assert_eq!(world.offers(&client).len(), 1);
}

#[test]
fn an_accept_without_operations_is_a_decline() {
    let mut world = World::new();
    let (client, _) = world.pair();
    let offer = world.offer(&client);
    let accept = format!(
        r#""type":"ACCEPT","accept":{{"offer_ids":[{{"value":"{}"}}],"filters":{{"refuse_seconds":0}}}}"#,
        offer.id
    );
    assert_eq!(world.call(&client, &accept), Reply::Accepted);
    world.advance(Duration::from_millis(500));
    assert!(world.offers(&client).is_empty());
    world.advance(Duration::from_millis(600));
    assert_eq!(world.offers(&client).len(), 1);
}

#[test]
fn an_offer_that_nobody_answers_is_rescinded() {
    let config = MasterConfig {
        offer_timeout: Some(Duration::from_secs(5)),
        ..MasterConfig::default()
    };
    let mut world = World::with(config, Registry::default());
    let (client, _) = world.pair();
    let offer = world.offer(&client);
    world.advance(Duration::from_secs(6));
    let events = world.take(&client);
    assert_eq!(
        events[0],
        format!(
            r#"{{"type":"RESCIND","rescind":{{"offer_id":{{"value":"{}"}}}}}}"#,
            offer.id
        )
    );
    assert!(events[1].contains("OFFERS"));
}

#[test]
fn a_stale_decline_is_passed_over_and_foreign_offers_are_safe() {
    let mut world = World::new();
    let owner = world.subscribe(AWARE);
    world.agent();
    let offer = world.offer(&owner);
    let thief = world.subscribe(AWARE);
    assert_eq!(world.decline(&thief, &offer, 0.0), Reply::Accepted);
    world.accept(
        &thief,
        &[&offer],
        &task("t", &offer.agent_id.value, 1.0),
        0.0,
    );
    assert_eq!(world.core.state().offers.len(), 1);
    assert_eq!(
        world.updates(&thief),
        ["t TASK_DROPPED REASON_INVALID_OFFERS"]
    );
}

#[test]
fn a_framework_that_disconnects_gives_its_offers_to_others() {
    let mut world = World::new();
    let first = world.subscribe(AWARE);
    world.agent();
    world.offer(&first);
    let second = world.subscribe(AWARE);
    world.close_stream(&first);
    assert_eq!(world.offer(&second).framework_id.value, second.id);
}

#[test]
fn inverse_offers_and_requests_change_nothing() {
    let mut world = World::new();
    let (client, _) = world.pair();
    for call in [
        r#""type":"ACCEPT_INVERSE_OFFERS","accept_inverse_offers":{"inverse_offer_ids":[{"value":"x"}]}"#,
        r#""type":"DECLINE_INVERSE_OFFERS","decline_inverse_offers":{"inverse_offer_ids":[{"value":"x"}]}"#,
        r#""type":"REQUEST","request":{"requests":[{}]}"#,
    ] {
        assert_eq!(world.call(&client, call), Reply::Accepted, "{call}");
    }
}

#[test]
fn constraints_keep_agents_from_a_framework_and_others_get_them() {
    let mut world = World::new();
    let subscribe = |constraint: &str| {
        format!(
            r#"{{"framework_info":{{"user":"u","name":"n",{AWARE}}},"offer_constraints":{{"role_constraints":
                {{"*":{{"groups":[{{"attribute_constraints":[{constraint}]}}]}}}}}}}}"#
        )
    };
    let elsewhere = r#"{"selector":{"pseudoattribute_type":"HOSTNAME"},"predicate":{"text_equals":{"value":"elsewhere"}}}"#;
    let picky = world.subscribe_with(&subscribe(elsewhere));
    world.agent();
    world.advance(Duration::from_secs(5));
    assert!(world.offers(&picky).is_empty());
    let other = world.subscribe(AWARE);
    let offer = world.offer(&other);
    world.decline(&other, &offer, 60.0);
    world.advance(Duration::from_secs(5));
    assert!(world.offers(&picky).is_empty());
    // Without constraints it is offered at once.
    let update = format!(
        r#""type":"UPDATE_FRAMEWORK","update_framework":{{"framework_info":{{"user":"u","name":"n","id":{{"value":"{}"}},{AWARE}}}}}"#,
        picky.id
    );
    assert_eq!(world.call(&picky, &update), Reply::Ok);
    assert_eq!(world.offer(&picky).framework_id.value, picky.id);
}
