//! From the call to the acknowledgement.
use mesos_types::Format;

use super::{
    super::world::{kinds, task},
    *,
};

#[test]
fn a_volume_is_made_used_and_destroyed() {
    let (mut world, client, agent) = dev();
    let sent = reserve_and_create(&mut world, &client, &agent);
    assert_eq!(total(&world, &agent), WITH_VOLUME);
    assert_eq!(sent.len(), 2);
    for apply in &sent {
        let operation = apply.operation.as_ref().expect("an operation");
        let shown = text(operation);
        assert!(!shown.contains("allocation_info"), "{shown}");
        assert_eq!(apply.operation_uuid.len(), 16);
    }
    answer(
        &mut world,
        &agent,
        &sent[0],
        OperationState::OperationFinished,
        1,
    );
    answer(
        &mut world,
        &agent,
        &sent[1],
        OperationState::OperationFinished,
        2,
    );
    let offer = {
        world.settle();
        let events = world.take(&client);
        assert!(events[0].contains(
            r#""status":{"operation_id":{"value":"r"},"state":"OPERATION_FINISHED","uuid":{"value":"AQEBAQEBAQEBAQEBAQEBAQ=="},"agent_id":{"value":"M-S0"}}"#
        ), "{events:?}");
        world
            .core
            .state()
            .offers
            .values()
            .next()
            .cloned()
            .expect("an offer")
    };
    assert_eq!(held(&offer.to_wire(Format::PostRefinement)), WITH_VOLUME);
    acknowledge(&mut world, &agent, &client, "r", 9);
    assert_eq!(pending(&world, &agent), 2, "not for that status");
    acknowledge(&mut world, &agent, &client, "r", 1);
    acknowledge(&mut world, &agent, &client, "c", 2);
    assert_eq!(pending(&world, &agent), 0);
    assert_eq!(
        kinds(&world.messages(&agent)),
        ["ack-operation", "ack-operation"]
    );

    // A task uses it; nobody destroys it meanwhile.
    let task = task("t", &agent.id, 0.1).replace(
        r#""resources":["#,
        &format!(r#""resources":[{},"#, volume(64.0, "v")),
    );
    world.accept(
        &client,
        &[&offer.to_wire(Format::PostRefinement)],
        &task,
        0.0,
    );
    assert_eq!(kinds(&world.messages(&agent)), ["run t"]);
    world.settle();
    let offer = world.offers(&client).remove(0);
    assert!(!held(&offer).contains("[v]"));
    operate(
        &mut world,
        &client,
        &offer,
        &[on("DESTROY", "d", &volume(64.0, "v"))],
    );
    let refused = operation_updates(&mut world, &client);
    assert_eq!(
        refused,
        [
            "d OPERATION_ERROR - Persistent volumes in use; on agent M-S0 at slave(1)@127.0.0.1:5051 (host)"
        ]
    );
    world.update(&agent, &client, "t", v1::TaskState::TaskFinished, 3);
    world.acknowledge(&agent, &client, "t", 3);
    world.settle();
    let offers = world.offers(&client);
    let call = format!(
        r#""type":"ACCEPT","accept":{{"offer_ids":[{}],"operations":[{},{}]}}"#,
        world
            .core
            .state()
            .offers
            .keys()
            .map(|id| format!(r#"{{"value":"{id}"}}"#))
            .collect::<Vec<_>>()
            .join(","),
        on("DESTROY", "", &volume(64.0, "v")),
        on("UNRESERVE", "", &reserved(64.0, "dev"))
    );
    assert!(!offers.is_empty());
    assert_eq!(world.call(&client, &call), Reply::Accepted);
    assert_eq!(total(&world, &agent), PLAIN);
    // Nobody else waits for the end of operations without an id.
    world.take(&client);
    for (n, apply) in applies(&mut world, &agent).iter().enumerate() {
        let uuid = u8::try_from(n).expect("small") + 10;
        answer(
            &mut world,
            &agent,
            apply,
            OperationState::OperationFinished,
            uuid,
        );
    }
    assert_eq!(
        kinds(&world.messages(&agent)),
        ["ack-operation", "ack-operation"]
    );
    assert_eq!(operation_updates(&mut world, &client), Vec::<String>::new());
    assert_eq!(pending(&world, &agent), 0);
}

#[test]
fn an_operation_that_did_not_happen_is_undone() {
    let (mut world, client, agent) = dev();
    let sent = reserve_and_create(&mut world, &client, &agent);
    world.settle();
    let offered = world
        .core
        .state()
        .offers
        .keys()
        .next()
        .cloned()
        .expect("an offer");
    world.take(&client);
    answer(
        &mut world,
        &agent,
        &sent[0],
        OperationState::OperationFailed,
        1,
    );
    assert_eq!(total(&world, &agent), PLAIN);
    assert!(
        !world.core.state().offers.contains_key(&offered),
        "it is rescinded"
    );
    answer(
        &mut world,
        &agent,
        &sent[1],
        OperationState::OperationDropped,
        2,
    );
    world.settle();
    let events = world.take(&client).join("\n");
    assert!(events.contains("RESCIND"), "{events}");
    assert!(events.contains("OPERATION_FAILED") && events.contains("OPERATION_DROPPED"));
    let offer = world
        .core
        .state()
        .offers
        .values()
        .next()
        .cloned()
        .expect("an offer");
    assert_eq!(held(&offer.to_wire(Format::PostRefinement)), PLAIN);
    acknowledge(&mut world, &agent, &client, "r", 1);
    acknowledge(&mut world, &agent, &client, "c", 2);
    assert_eq!(pending(&world, &agent), 0);
}

#[test]
fn updates_come_again_until_they_are_acknowledged() {
    let (mut world, client, agent) = dev();
    let sent = reserve_and_create(&mut world, &client, &agent);
    world.close_stream(&client);
    answer(
        &mut world,
        &agent,
        &sent[0],
        OperationState::OperationFinished,
        1,
    );
    assert_eq!(pending(&world, &agent), 2, "its framework may come back");
    let client = world.subscribe(&format!(r#""id":{{"value":"{}"}},{DEV}"#, client.id));
    world.take(&client);
    for _ in 0..2 {
        answer(
            &mut world,
            &agent,
            &sent[0],
            OperationState::OperationFinished,
            1,
        );
        assert_eq!(
            operation_updates(&mut world, &client),
            ["r OPERATION_FINISHED 1 "]
        );
    }
    // The id is taken as long as that.
    world.settle();
    let offer = world.offers(&client).remove(0);
    operate(
        &mut world,
        &client,
        &offer,
        &[on("RESERVE", "r", &reserved(1.0, "dev"))],
    );
    assert_eq!(
        operation_updates(&mut world, &client),
        [
            "r OPERATION_ERROR - The id 'r' is that of an operation whose end is not acknowledged; \
          on agent M-S0 at slave(1)@127.0.0.1:5051 (host)"
        ]
    );
    acknowledge(&mut world, &agent, &client, "r", 1);
    answer(
        &mut world,
        &agent,
        &sent[0],
        OperationState::OperationFinished,
        1,
    );
    assert_eq!(operation_updates(&mut world, &client), Vec::<String>::new());
}

#[test]
fn reconciliation_tells_what_is_known() {
    let (mut world, client, agent) = dev();
    let sent = reserve_and_create(&mut world, &client, &agent);
    answer(
        &mut world,
        &agent,
        &sent[0],
        OperationState::OperationFinished,
        1,
    );
    let latest = "Reconciliation: Latest operation state";
    assert_eq!(
        ask(&mut world, &client, ""),
        [
            format!("c OPERATION_PENDING - {latest}"),
            format!("r OPERATION_FINISHED - {latest}")
        ]
    );
    let unknown = "OPERATION_UNKNOWN - Reconciliation: Operation is unknown";
    assert_eq!(
        ask(
            &mut world,
            &client,
            r#"{"operation_id":{"value":"c"}},{"operation_id":{"value":"x"},"agent_id":{"value":"M-S0"}},
               {"operation_id":{"value":"x"}}"#
        ),
        [
            format!("c OPERATION_PENDING - {latest}"),
            format!("x {unknown}"),
            format!("x {unknown}")
        ]
    );
}
