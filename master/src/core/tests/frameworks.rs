//! Frameworks come, fail over, disconnect, change and go.
use std::time::Duration;

use mesos_types::FrameworkId;
use mesos_wire::v1::TaskState;

use super::world::{AWARE, World, kinds, task};
use crate::{
    core::Reply,
    state::{Change, Standing},
};

#[test]
fn subscribing_is_answered_with_subscribed_and_a_heartbeat_at_once() {
    let mut world = World::new();
    let client = world.subscribe(AWARE);
    assert_eq!(client.id, "M-0000");
    let events = world.take(&client);
    assert_eq!(events.len(), 2);
    assert!(events[0].starts_with(
        r#"{"type":"SUBSCRIBED","subscribed":{"framework_id":{"value":"M-0000"},"heartbeat_interval_seconds":15.0,"#
    ), "{}", events[0]);
    assert_eq!(events[1], r#"{"type":"HEARTBEAT"}"#);
    world.advance(Duration::from_secs(46));
    assert_eq!(world.take(&client), [r#"{"type":"HEARTBEAT"}"#; 3]);
    assert_eq!(world.subscribe(AWARE).id, "M-0001");
}

#[test]
fn an_invalid_info_gets_an_error_and_the_end_of_the_stream() {
    let mut world = World::new();
    let client = world.subscribe(r#""role":"a/../b""#);
    assert_eq!(
        world.take(&client),
        [
            r#"{"type":"ERROR","error":{"message":"'FrameworkInfo.role' is not a valid role: Role 'a/../b' cannot include '..' as a component"}}"#
        ]
    );
    assert!(world.closed_streams.contains(&client.stream));
    assert!(world.core.state().frameworks.is_empty());
}

#[test]
fn calls_are_refused_in_mesos_order() {
    let mut world = World::new();
    let client = world.subscribe(AWARE);
    let revive = r#""type":"REVIVE""#;
    let stranger = super::world::Client {
        id: "nobody".to_owned(),
        ..client.clone()
    };
    let refused = |text: &str| Reply::BadRequest(text.to_owned());
    assert_eq!(
        world.call(&stranger, revive),
        refused("Framework cannot be found")
    );
    assert_eq!(
        world.call_as(&client, None, revive),
        refused("All non-subscribe calls should include the 'Mesos-Stream-Id' header")
    );
    assert_eq!(
        world.call_as(&client, Some("not-the-one"), revive),
        refused(
            "The stream ID 'not-the-one' included in this request didn't match the stream ID \
             currently associated with framework ID M-0000"
        )
    );
    assert_eq!(
        world.call(&client, r#""type":"UNKNOWN""#),
        Reply::NotImplemented
    );
    assert_eq!(world.call(&client, revive), Reply::Accepted);
    world.close_stream(&client);
    assert_eq!(
        world.call(&client, revive),
        Reply::Forbidden("Framework is not subscribed".to_owned())
    );
}

#[test]
fn a_known_id_takes_over_and_the_old_stream_hears_why() {
    let mut world = World::new();
    let (old, agent) = world.running(&["t"]);
    let info = format!(r#""id":{{"value":"{}"}},{AWARE}"#, old.id);
    let new = world.subscribe(&info);
    assert_eq!(new.id, old.id);
    assert_eq!(
        world.take(&old),
        [r#"{"type":"ERROR","error":{"message":"Framework failed over"}}"#]
    );
    assert!(world.closed_streams.contains(&old.stream));
    // The end of the old connection must not disconnect the new one.
    world.close_stream(&old);
    assert_eq!(world.task_state(&new, "t"), Some(TaskState::TaskRunning));
    assert!(matches!(
        world.call(&old, r#""type":"REVIVE""#),
        Reply::BadRequest(text) if text.contains("didn't match the stream ID")
    ));
    // The old scheduler's offers are void, and the new one gets the rest.
    let offer = world.offer(&new);
    assert_eq!(
        kinds(&world.messages(&agent)),
        ["update-framework"],
        "the agent sends its updates again"
    );
    assert!(
        offer
            .resources
            .iter()
            .any(|r| r.name == "cpus" && r.scalar.as_ref().unwrap().value == 3.0)
    );
}

#[test]
fn an_unknown_id_is_taken_as_it_is() {
    let mut world = World::new();
    let client = world.subscribe(r#""id":{"value":"no-such-id"}"#);
    assert_eq!(client.id, "no-such-id");
}

#[test]
fn a_principal_cannot_be_changed() {
    let mut world = World::new();
    let client = world.subscribe(r#""principal":"p""#);
    let again = world.subscribe(&format!(
        r#""id":{{"value":"{}"}},"principal":"q""#,
        client.id
    ));
    assert!(world.take(&again)[0].contains("principal is not allowed"));
    assert!(!world.closed_streams.contains(&client.stream));
}

#[test]
fn a_broken_stream_starts_the_failover_timeout() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    world.close_stream(&client);
    assert!(world.core.state().offers.is_empty());
    world.advance(Duration::from_secs(59));
    assert_eq!(world.task_state(&client, "t"), Some(TaskState::TaskRunning));
    // Back in time: the timer that is still set does nothing.
    let back = world.subscribe(&format!(r#""id":{{"value":"{}"}},{AWARE}"#, client.id));
    world.advance(Duration::from_secs(120));
    assert_eq!(world.task_state(&back, "t"), Some(TaskState::TaskRunning));
    world.messages(&agent);
    world.close_stream(&back);
    world.advance(Duration::from_secs(61));
    assert_eq!(
        kinds(&world.messages(&agent)).last().unwrap(),
        "shutdown-framework"
    );
    let state = world.core.state();
    assert!(state.frameworks.is_empty());
    let completed = &state.completed_frameworks[0];
    assert_eq!(completed.standing, Standing::Completed);
    assert_eq!(completed.completed_tasks[0].state, TaskState::TaskKilled);
}

#[test]
fn without_a_failover_timeout_a_framework_is_removed_at_once() {
    let mut world = World::new();
    let client = world.subscribe(r#""hostname":"h""#);
    world.close_stream(&client);
    world.advance(Duration::ZERO);
    assert!(world.core.state().frameworks.is_empty());
}

#[test]
fn a_torn_down_framework_cannot_come_back() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    assert_eq!(world.call(&client, r#""type":"TEARDOWN""#), Reply::Accepted);
    assert!(world.closed_streams.contains(&client.stream));
    assert!(
        world.take(&client).is_empty(),
        "a teardown ends the stream without an event"
    );
    assert_eq!(kinds(&world.messages(&agent)), ["shutdown-framework"]);
    assert_eq!(
        world.call(&client, r#""type":"REVIVE""#),
        Reply::BadRequest("Framework cannot be found".to_owned())
    );
    let again = world.subscribe(&format!(r#""id":{{"value":"{}"}},{AWARE}"#, client.id));
    assert_eq!(
        world.take(&again),
        [r#"{"type":"ERROR","error":{"message":"Framework has been removed"}}"#]
    );
    // What it had is free.
    let other = world.subscribe(AWARE);
    let offer = world.offer(&other);
    assert_eq!(
        offer
            .resources
            .iter()
            .find(|r| r.name == "cpus")
            .unwrap()
            .scalar
            .as_ref()
            .unwrap()
            .value,
        4.0
    );
}

#[test]
fn completed_frameworks_are_bounded() {
    let mut world = World::new();
    for _ in 0..60 {
        let client = world.subscribe(AWARE);
        world.call(&client, r#""type":"TEARDOWN""#);
    }
    let completed = &world.core.state().completed_frameworks;
    assert_eq!(completed.len(), 50);
    assert_eq!(completed[0].id, FrameworkId::from("M-0010"));
}

#[test]
fn an_info_is_updated_and_only_agents_with_tasks_hear_of_it() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    let idle = world.agent_at(6000);
    world.settle();
    world.messages(&idle);
    let update = |world: &mut World, fields: &str| {
        world.call(
            &client,
            &format!(
                r#""type":"UPDATE_FRAMEWORK","update_framework":{{"framework_info":{{"name":"new",
                   "id":{{"value":"{}"}},{AWARE},{fields}}}}}"#,
                client.id
            ),
        )
    };
    assert_eq!(
        update(&mut world, r#""user":"u","hostname":"h""#),
        Reply::Ok
    );
    assert_eq!(kinds(&world.messages(&agent)), ["update-framework"]);
    assert!(world.messages(&idle).is_empty());
    let framework = &world.core.state().frameworks[&FrameworkId::from(client.id.as_str())];
    assert_eq!(framework.name(), "new");
    for fixed in [
        r#""user":"other""#,
        r#""user":"u","checkpoint":true"#,
        r#""user":"u","principal":"p""#,
    ] {
        assert!(
            matches!(update(&mut world, fixed), Reply::BadRequest(text) if text.contains("unsupported")),
            "{fixed}"
        );
    }
    assert!(matches!(
        update(&mut world, r#""user":"u","role":"x""#),
        Reply::BadRequest(_)
    ));
}

#[test]
fn losing_a_role_rescinds_its_offers() {
    let mut world = World::new();
    let capable = r#""capabilities":[{"type":"MULTI_ROLE"}]"#;
    let client = world.subscribe(&format!(r#""roles":["a","b"],{capable}"#));
    world.agent();
    let offer = world.offer(&client);
    let lost = offer.allocation_info.as_ref().unwrap().role().to_owned();
    let kept = if lost == "a" { "b" } else { "a" };
    let reply = world.call(
        &client,
        &format!(
            r#""type":"UPDATE_FRAMEWORK","update_framework":{{"framework_info":{{"user":"u","name":"n",
               "id":{{"value":"{}"}},"roles":["{kept}"],{capable}}}}}"#,
            client.id
        ),
    );
    assert_eq!(reply, Reply::Ok);
    let events = world.take(&client);
    assert!(events[0].contains("RESCIND"), "{events:?}");
    let offer = world.offer(&client);
    assert_eq!(offer.allocation_info.unwrap().role(), kept);
}

#[test]
fn followers_see_each_change_once_and_in_order() {
    let mut world = World::new();
    let (client, agent) = world.pair();
    let offer = world.offer(&client);
    world.accept(&client, &[&offer], &task("t", &agent.id, 1.0), 0.0);
    world.update(&agent, &client, "t", TaskState::TaskRunning, 1);
    world.update(&agent, &client, "t", TaskState::TaskRunning, 1);
    world.call(&client, r#""type":"TEARDOWN""#);
    let (snapshot, changes) = world.core.publish();
    let names: Vec<&str> = changes
        .iter()
        .map(|change| match change {
            Change::TaskAdded(_) => "task-added",
            Change::TaskUpdated { .. } => "task-updated",
            Change::FrameworkAdded(_) => "framework-added",
            Change::FrameworkUpdated(_) => "framework-updated",
            Change::FrameworkRemoved(_) => "framework-removed",
            Change::AgentAdded(_) => "agent-added",
            Change::AgentRemoved(_) => "agent-removed",
        })
        .collect();
    assert_eq!(
        names,
        [
            "framework-added",
            "agent-added",
            "task-added",
            "task-updated",
            "task-updated",
            "framework-removed"
        ]
    );
    assert_eq!(snapshot.changes, 6);
    let (later, none) = world.core.publish();
    assert!(none.is_empty() && later.version == snapshot.version && later.changes == 6);
}

#[test]
fn an_operator_can_end_a_framework() {
    let mut world = World::new();
    let client = world.subscribe(AWARE);
    world.event(crate::core::Event::Teardown {
        request: 900,
        framework_id: client.id.as_str().into(),
    });
    assert!(world.core.state().frameworks.is_empty());
    assert!(world.closed_streams.contains(&client.stream));
}
