//! Agents that go and come back, and frameworks that do not.
use std::time::Duration;

use mesos_control::v1::Snapshot;

use super::{
    super::world::{json, kinds},
    *,
};

#[test]
fn operations_of_a_lost_agent_are_told_and_come_back_with_it() {
    let (mut world, client, agent) = dev();
    let sent = reserve_and_create(&mut world, &client, &agent);
    answer(
        &mut world,
        &agent,
        &sent[0],
        OperationState::OperationFinished,
        1,
    );
    world.take(&client);
    world.pong = false;
    world.close_session(&agent);
    world.advance(Duration::from_secs(80));
    let updates = operation_updates(&mut world, &client);
    assert_eq!(
        updates,
        ["c OPERATION_UNREACHABLE - Agent host was removed"]
    );
    assert_eq!(
        ask(
            &mut world,
            &client,
            r#"{"operation_id":{"value":"c"},"agent_id":{"value":"M-S0"}}"#
        ),
        ["c OPERATION_UNREACHABLE - Reconciliation: Operation is unknown"]
    );
    // The agent had carried out both.
    world.pong = true;
    let status = |id: &str, uuid: u8| OperationStatus {
        operation_id: Some(id.into()),
        state: OperationState::OperationFinished.into(),
        uuid: Some(v1::Uuid {
            value: vec![uuid; 16],
        }),
        ..OperationStatus::default()
    };
    let operation = |apply: &ApplyOperation, id: &str, uuid: u8| v1::Operation {
        framework_id: Some(client.id.as_str().into()),
        agent_id: None,
        info: apply.operation.clone().expect("an operation"),
        latest_status: status(id, uuid),
        statuses: Vec::new(),
        uuid: v1::Uuid {
            value: apply.operation_uuid.clone(),
        },
    };
    let volume: v1::Resource = json(&volume(64.0, "v"));
    let snapshot = Snapshot {
        operations: vec![operation(&sent[0], "r", 1), operation(&sent[1], "c", 2)],
        checkpointed_resources: vec![volume],
        ..Snapshot::default()
    };
    let agent = world.hello(agent, Some(snapshot));
    assert_eq!(total(&world, &agent), WITH_VOLUME);
    assert_eq!(pending(&world, &agent), 2);
    acknowledge(&mut world, &agent, &client, "c", 2);
    acknowledge(&mut world, &agent, &client, "r", 1);
    assert_eq!(pending(&world, &agent), 0);
}

#[test]
fn an_agent_that_missed_operations_is_asked_and_its_word_counts() {
    for happened in [true, false] {
        let (mut world, client, agent) = dev();
        let sent = reserve_and_create(&mut world, &client, &agent);
        world.close_session(&agent);
        let agent = world.hello(agent, None);
        assert_eq!(total(&world, &agent), PLAIN);
        let messages = world.messages(&agent);
        let master_message::Body::Welcome(welcome) = &messages[0] else {
            panic!("a welcome comes first: {messages:?}");
        };
        let mut asked: Vec<_> = welcome
            .known_operations
            .iter()
            .map(|k| k.operation_uuid.clone())
            .collect();
        let mut expected: Vec<_> = sent
            .iter()
            .map(|apply| apply.operation_uuid.clone())
            .collect();
        asked.sort();
        expected.sort();
        assert_eq!(asked, expected);
        world.take(&client);
        let state = if happened {
            OperationState::OperationFinished
        } else {
            OperationState::OperationDropped
        };
        answer(&mut world, &agent, &sent[0], state, 1);
        answer(&mut world, &agent, &sent[1], state, 2);
        let now = total(&world, &agent);
        assert_eq!(now == WITH_VOLUME, happened, "{now}");
        assert_eq!(operation_updates(&mut world, &client).len(), 2);
    }
}

#[test]
fn a_checkpoint_that_does_not_fit_the_agent_is_refused() {
    let (mut world, _, agent) = dev();
    world.messages(&agent);
    let volume: v1::Resource = json(&volume(64_000.0, "v"));
    let snapshot = Snapshot {
        checkpointed_resources: vec![volume],
        ..Snapshot::default()
    };
    let agent = world.hello(agent, Some(snapshot));
    let messages = world.messages(&agent);
    let master_message::Body::Refused(refused) = &messages[0] else {
        panic!("it is refused: {messages:?}");
    };
    assert_eq!(
        refused.message,
        "The agent's checkpointed resources do not fit the resources that its flags give it: \
         cpus:4; mem:4096; disk:10000; ports:[31000-32000] does not contain disk:64000"
    );
}

#[test]
fn nobody_is_left_with_the_operations_of_a_framework_that_is_gone() {
    let (mut world, client, agent) = dev();
    let sent = reserve_and_create(&mut world, &client, &agent);
    answer(
        &mut world,
        &agent,
        &sent[0],
        OperationState::OperationFinished,
        1,
    );
    world.messages(&agent);
    world.call(&client, r#""type":"TEARDOWN""#);
    assert_eq!(kinds(&world.messages(&agent)), ["ack-operation"]);
    assert_eq!(pending(&world, &agent), 1);
    answer(
        &mut world,
        &agent,
        &sent[1],
        OperationState::OperationFinished,
        2,
    );
    assert_eq!(kinds(&world.messages(&agent)), ["ack-operation"]);
    assert_eq!(pending(&world, &agent), 0);
    // The volume outlives its framework.
    assert_eq!(total(&world, &agent), WITH_VOLUME);
}

#[test]
fn an_agent_that_has_written_down_more_than_it_answered_is_taken_at_its_word() {
    for happened in [true, false] {
        let (mut world, client, agent) = dev();
        let sent = reserve_and_create(&mut world, &client, &agent);
        world.close_session(&agent);
        let operation = |apply: &ApplyOperation| v1::Operation {
            framework_id: Some(client.id.as_str().into()),
            agent_id: None,
            info: apply.operation.clone().expect("an operation"),
            latest_status: OperationStatus {
                state: OperationState::OperationPending.into(),
                ..OperationStatus::default()
            },
            statuses: Vec::new(),
            uuid: v1::Uuid {
                value: apply.operation_uuid.clone(),
            },
        };
        let snapshot = Snapshot {
            operations: sent.iter().map(operation).collect(),
            checkpointed_resources: vec![json(&volume(64.0, "v"))],
            ..Snapshot::default()
        };
        let agent = world.hello(agent, Some(snapshot));
        assert_eq!(total(&world, &agent), WITH_VOLUME);
        answer(
            &mut world,
            &agent,
            &sent[0],
            OperationState::OperationFinished,
            1,
        );
        let end = if happened {
            OperationState::OperationFinished
        } else {
            OperationState::OperationFailed
        };
        answer(&mut world, &agent, &sent[1], end, 2);
        let now = total(&world, &agent);
        assert_eq!(now == WITH_VOLUME, happened, "{now}");
        assert!(happened || now.contains("disk(reservations: [(DYNAMIC,dev,p)]):64"));
    }
}
