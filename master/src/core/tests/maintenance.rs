//! The maintenance schedule, inverse offers, machines that go down and come up.
use std::time::Duration;

use super::world::{Client, World, kinds};
use crate::{core::Reply, registry::Change as RegistryChange};

const MACHINE: &str = r#"{"hostname":"host","ip":"127.0.0.1"}"#;

fn schedule(world: &mut World, machines: &str, start: i64) -> Reply {
    world.order(&format!(
        r#""type":"UPDATE_MAINTENANCE_SCHEDULE","update_maintenance_schedule":{{"schedule":{{"windows":[
           {{"machine_ids":[{machines}],"unavailability":{{"start":{{"nanoseconds":{start}}},"duration":{{"nanoseconds":3600}}}}}}]}}}}"#
    ))
}

fn clear(world: &mut World) -> Reply {
    world.order(
        r#""type":"UPDATE_MAINTENANCE_SCHEDULE","update_maintenance_schedule":{"schedule":{}}"#,
    )
}

fn machines(world: &mut World, kind: &str, machines: &str) -> Reply {
    world.order(&format!(
        r#""type":"{kind}","{}":{{"machines":[{machines}]}}"#,
        kind.to_lowercase()
    ))
}

/// Ids of inverse offers that are on the stream; other events are dropped.
fn asked(world: &mut World, client: &Client) -> Vec<String> {
    world.settle();
    let events = world.events.remove(&client.stream).unwrap_or_default();
    events
        .into_iter()
        .filter_map(|event| event.inverse_offers)
        .flat_map(|offers| offers.inverse_offers)
        .map(|offer| offer.id.value)
        .collect()
}

fn answer(world: &mut World, client: &Client, kind: &str, id: &str, refuse: f64) {
    let reply = world.call(
        client,
        &format!(
            r#""type":"{kind}","{}":{{"inverse_offer_ids":[{{"value":"{id}"}}],"filters":{{"refuse_seconds":{refuse}}}}}"#,
            kind.to_lowercase()
        ),
    );
    assert_eq!(reply, Reply::Accepted);
}

#[test]
fn a_schedule_asks_who_is_there_to_leave_and_marks_offers() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    world.call(&client, r#""type":"REVIVE""#);
    assert_eq!(world.offer(&client).unavailability, None);
    assert_eq!(schedule(&mut world, MACHINE, 100), Reply::Ok);
    world.settle();
    let events = world.take(&client);
    assert!(events[0].contains("RESCIND"), "{events:?}");
    assert!(
        events[1].contains("OFFERS")
            && events[1].contains(r#""unavailability":{"start":{"nanoseconds":100}"#),
        "{events:?}"
    );
    assert!(events[2].contains("INVERSE_OFFERS"), "{events:?}");
    assert_eq!(world.core.state().inverse_offers.len(), 1);
    let id = world
        .core
        .state()
        .inverse_offers
        .keys()
        .next()
        .unwrap()
        .to_string();

    answer(&mut world, &client, "DECLINE_INVERSE_OFFERS", &id, 10.0);
    let planned = |world: &World| {
        world.core.state().agents[agent.id.as_str()]
            .planned
            .clone()
            .unwrap()
    };
    let answers: Vec<_> = planned(&world)
        .answers
        .values()
        .map(|a| a.status().as_str_name())
        .collect();
    assert_eq!(answers, ["DECLINE"]);
    assert!(
        asked(&mut world, &client).is_empty(),
        "not before the filter ends"
    );
    world.advance(Duration::from_secs(11));
    let again = asked(&mut world, &client);
    assert_eq!(again.len(), 1);
    assert_ne!(again[0], id);
    answer(
        &mut world,
        &client,
        "ACCEPT_INVERSE_OFFERS",
        &again[0],
        3600.0,
    );
    let answers: Vec<_> = planned(&world)
        .answers
        .values()
        .map(|a| a.status().as_str_name())
        .collect();
    assert_eq!(answers, ["ACCEPT"]);
    // An answer to what is over changes nothing.
    answer(&mut world, &client, "DECLINE_INVERSE_OFFERS", &id, 0.0);
    assert_eq!(planned(&world).answers.len(), 1);
}

#[test]
fn another_schedule_takes_inverse_offers_back_and_the_same_one_does_not() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    assert_eq!(schedule(&mut world, MACHINE, 100), Reply::Ok);
    let first = asked(&mut world, &client);
    assert_eq!(first.len(), 1);
    assert_eq!(schedule(&mut world, MACHINE, 100), Reply::Ok);
    assert!(asked(&mut world, &client).is_empty());
    assert_eq!(schedule(&mut world, MACHINE, 200), Reply::Ok);
    let events = world.take(&client).join("\n");
    assert!(
        events.contains("RESCIND_INVERSE_OFFER") && events.contains(&first[0]),
        "{events}"
    );
    assert_eq!(asked(&mut world, &client).len(), 1);
    assert_eq!(clear(&mut world), Reply::Ok);
    assert!(world.core.state().inverse_offers.is_empty());
    assert!(
        world.core.state().agents[agent.id.as_str()]
            .planned
            .is_none()
    );
    let events = world.take(&client).join("\n");
    assert!(events.contains("RESCIND_INVERSE_OFFER"), "{events}");
}

#[test]
fn a_framework_or_agent_that_goes_leaves_no_inverse_offer_behind() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    assert_eq!(schedule(&mut world, MACHINE, 100), Reply::Ok);
    assert_eq!(asked(&mut world, &client).len(), 1);
    world.close_session(&agent);
    assert!(world.core.state().inverse_offers.is_empty());
    let held = world.holds(&client, &["t"]);
    let agent = world.hello(agent, Some(held));
    assert_eq!(asked(&mut world, &client).len(), 1, "asked again");
    world.close_stream(&client);
    assert!(world.core.state().inverse_offers.is_empty());
    let info = format!(
        r#"{},"id":{{"value":"{}"}}"#,
        super::world::AWARE,
        client.id
    );
    let back = world.subscribe_with(&format!(
        r#"{{"framework_info":{{"user":"u","name":"n",{info}}}}}"#
    ));
    assert_eq!(asked(&mut world, &back).len(), 1);
    world.call(&back, r#""type":"TEARDOWN""#);
    assert!(world.core.state().inverse_offers.is_empty());
    drop(agent);
}

#[test]
fn nobody_is_asked_to_leave_an_agent_that_is_out_of_service_until_it_is_back() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    let order = |world: &mut World, kind: &str| {
        let field = kind.to_lowercase();
        world.order(&format!(
            r#""type":"{kind}","{field}":{{"agent_id":{{"value":"{}"}}}}"#,
            agent.id
        ))
    };
    assert_eq!(schedule(&mut world, MACHINE, 100), Reply::Ok);
    assert_eq!(asked(&mut world, &client).len(), 1);
    assert_eq!(order(&mut world, "DEACTIVATE_AGENT"), Reply::Ok);
    assert!(world.core.state().inverse_offers.is_empty());
    world.advance(Duration::from_secs(10));
    assert!(asked(&mut world, &client).is_empty());
    assert_eq!(order(&mut world, "REACTIVATE_AGENT"), Reply::Ok);
    assert_eq!(asked(&mut world, &client).len(), 1);
}

#[test]
fn a_machine_that_goes_down_takes_its_agent_with_it_until_it_comes_up() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    let not_draining = r#"Machine '{"hostname":"host","ip":"127.0.0.1"}' is not in DRAINING mode and cannot be brought down"#;
    assert_eq!(
        machines(&mut world, "START_MAINTENANCE", MACHINE),
        Reply::BadRequest(not_draining.to_owned())
    );
    assert_eq!(
        machines(&mut world, "START_MAINTENANCE", r#"{"hostname":"x"}"#),
        Reply::BadRequest(
            r#"Machine '{"hostname":"x"}' is not part of a maintenance schedule"#.to_owned()
        )
    );
    assert_eq!(schedule(&mut world, MACHINE, 100), Reply::Ok);
    world.take(&client);
    assert_eq!(
        machines(&mut world, "START_MAINTENANCE", MACHINE),
        Reply::Ok
    );
    assert!(matches!(
        world.registry.last(),
        Some(RegistryChange::Maintenance { removed, .. }) if removed.len() == 1
    ));
    let events = world.take(&client);
    assert!(
        events[0].contains("TASK_LOST")
            && events[0].contains("Agent host removed: Operator initiated 'Machine DOWN'"),
        "{events:?}"
    );
    assert!(events.last().unwrap().contains("FAILURE"), "{events:?}");
    assert_eq!(kinds(&world.messages(&agent)), ["shutdown"]);
    assert_eq!(
        machines(&mut world, "START_MAINTENANCE", MACHINE),
        Reply::BadRequest(not_draining.to_owned())
    );
    // Neither it nor a new one on that machine comes in.
    let again = world.hello(agent.clone(), None);
    assert_eq!(kinds(&world.messages(&again)), ["refused shutdown=true"]);
    let fresh = world.agent();
    assert_eq!(kinds(&world.messages(&fresh)), ["refused shutdown=true"]);
    let Reply::BadRequest(text) = clear(&mut world) else {
        panic!("it is down")
    };
    assert!(
        text.contains("cannot be removed from the schedule"),
        "{text}"
    );

    assert_eq!(machines(&mut world, "STOP_MAINTENANCE", MACHINE), Reply::Ok);
    assert!(world.core.state().settings.machines.is_empty());
    let schedule = world.core.state().settings.schedule.clone().unwrap();
    assert!(schedule.windows.is_empty());
    let fresh = world.agent();
    assert_eq!(kinds(&world.messages(&fresh)), ["welcome"]);
    let Reply::BadRequest(text) = machines(&mut world, "STOP_MAINTENANCE", MACHINE) else {
        panic!("it is up")
    };
    assert!(
        text.ends_with("is not in DOWN mode and cannot be brought up"),
        "{text}"
    );
}

#[test]
fn an_agent_on_its_way_in_while_its_machine_goes_down_is_turned_away() {
    let mut world = World::new();
    assert_eq!(schedule(&mut world, MACHINE, 100), Reply::Ok);
    world.held = Some(Vec::new());
    let agent = world.agent();
    let request = world.order_later(&format!(
        r#""type":"START_MAINTENANCE","start_maintenance":{{"machines":[{MACHINE}]}}"#
    ));
    // The registry answers in order: first the agent is in, then its machine goes down.
    world.release_registry();
    assert_eq!(world.answer(request), Some(Reply::Ok));
    assert!(!world.knows_agent(&agent));
    let again = world.agent();
    assert_eq!(kinds(&world.messages(&again)), ["refused shutdown=true"]);
}

#[test]
fn an_agent_that_comes_while_its_machine_is_going_down_is_taken_out_of_the_registry_again() {
    let mut world = World::new();
    assert_eq!(schedule(&mut world, MACHINE, 100), Reply::Ok);
    world.held = Some(Vec::new());
    let request = world.order_later(&format!(
        r#""type":"START_MAINTENANCE","start_maintenance":{{"machines":[{MACHINE}]}}"#
    ));
    let agent = world.agent();
    world.release_registry();
    assert_eq!(world.answer(request), Some(Reply::Ok));
    assert_eq!(kinds(&world.messages(&agent)), ["refused shutdown=true"]);
    assert!(matches!(
        world.registry.last(),
        Some(RegistryChange::Remove(_))
    ));
    assert!(world.core.state().agents.is_empty());
}
