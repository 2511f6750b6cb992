//! Tasks: launch, updates, acknowledgements, kills, reconciliation.
use std::time::Duration;

use mesos_control::v1::{ExecutorExited, ExecutorMessage, agent_message, master_message::Body};
use mesos_types::{FrameworkId, TaskId};
use mesos_wire::v1::TaskState;

use super::world::{AWARE, World, kinds, task, text};

#[test]
fn a_task_goes_from_accept_to_its_acknowledged_end() {
    let mut world = World::new();
    let (client, agent) = world.pair();
    let offer = world.offer(&client);
    world.messages(&agent);
    world.accept(&client, &[&offer], &task("t", &agent.id, 1.0), 3600.0);
    let messages = world.messages(&agent);
    assert_eq!(kinds(&messages), ["run t"]);
    let Body::RunTask(run) = &messages[0] else {
        panic!("{messages:?}")
    };
    assert_eq!(
        run.framework.as_ref().unwrap().id.as_ref().unwrap().value,
        client.id
    );
    let sent = run.task.as_ref().unwrap();
    assert!(
        sent.resources
            .iter()
            .all(|r| r.allocation_info.as_ref().unwrap().role() == "*")
    );
    assert_eq!(world.task_state(&client, "t"), Some(TaskState::TaskStaging));

    for (state, uuid) in [
        (TaskState::TaskStarting, 1),
        (TaskState::TaskRunning, 2),
        (TaskState::TaskFinished, 3),
    ] {
        world.update(&agent, &client, "t", state, uuid);
        assert_eq!(
            world.updates(&client),
            [format!("t {} -", state.as_str_name())]
        );
        world.acknowledge(&agent, &client, "t", uuid);
        assert_eq!(kinds(&world.messages(&agent)), [format!("ack t {uuid}")]);
    }
    assert_eq!(world.task_state(&client, "t"), None);
    let framework = &world.core.state().frameworks[&FrameworkId::from(client.id.as_str())];
    let done = &framework.completed_tasks[0];
    assert_eq!(done.id, TaskId::from("t"));
    let history: Vec<_> = done.statuses.iter().map(|status| status.state()).collect();
    assert_eq!(
        history,
        [
            TaskState::TaskStarting,
            TaskState::TaskRunning,
            TaskState::TaskFinished
        ]
    );
}

#[test]
fn an_update_event_is_the_agents_status_as_it_was() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    world.update(&agent, &client, "t", TaskState::TaskFinished, 7);
    assert_eq!(
        world.take(&client),
        [format!(
            r#"{{"type":"UPDATE","update":{{"status":{{"task_id":{{"value":"t"}},"state":"TASK_FINISHED","source":"SOURCE_EXECUTOR","agent_id":{{"value":"{}"}},"executor_id":{{"value":"t"}},"timestamp":1.0,"uuid":"BwcHBwcHBwcHBwcHBwcHBw=="}}}}}}"#,
            agent.id
        )]
    );
}

#[test]
fn resources_are_free_at_the_end_before_it_is_acknowledged() {
    let mut world = World::new();
    let (client, agent) = world.running(&["a", "b"]);
    world.update_ahead(
        &agent,
        &client,
        "a",
        TaskState::TaskRunning,
        TaskState::TaskFinished,
        5,
    );
    assert_eq!(world.updates(&client), ["a TASK_RUNNING -"]);
    world.call(&client, r#""type":"REVIVE""#);
    let cpus = |offer: &mesos_wire::v1::Offer| {
        offer
            .resources
            .iter()
            .find(|r| r.name == "cpus")
            .unwrap()
            .scalar
            .as_ref()
            .unwrap()
            .value
    };
    assert_eq!(cpus(&world.offer(&client)), 3.0);
    // Its name is not.
    assert_eq!(
        world.task_state(&client, "a"),
        Some(TaskState::TaskFinished)
    );
    world.acknowledge(&agent, &client, "a", 5);
    assert_eq!(
        world.task_state(&client, "a"),
        Some(TaskState::TaskFinished),
        "RUNNING was acknowledged"
    );
    world.update(&agent, &client, "a", TaskState::TaskFinished, 6);
    world.acknowledge(&agent, &client, "a", 9);
    assert_eq!(
        world.task_state(&client, "a"),
        Some(TaskState::TaskFinished),
        "another uuid"
    );
    world.acknowledge(&agent, &client, "a", 6);
    assert_eq!(world.task_state(&client, "a"), None);
}

#[test]
fn an_end_is_final() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    world.update(&agent, &client, "t", TaskState::TaskFailed, 5);
    world.update(&agent, &client, "t", TaskState::TaskRunning, 6);
    assert_eq!(world.task_state(&client, "t"), Some(TaskState::TaskFailed));
}

#[test]
fn an_update_for_a_disconnected_framework_is_recorded_and_comes_again() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    world.close_stream(&client);
    world.update(&agent, &client, "t", TaskState::TaskFinished, 5);
    assert_eq!(
        world.task_state(&client, "t"),
        Some(TaskState::TaskFinished)
    );
    assert!(world.take(&client).is_empty());
    let back = world.subscribe(&format!(r#""id":{{"value":"{}"}},{AWARE}"#, client.id));
    world.take(&back);
    world.update(&agent, &client, "t", TaskState::TaskFinished, 5);
    assert_eq!(world.updates(&back), ["t TASK_FINISHED -"]);
    world.acknowledge(&agent, &back, "t", 5);
    assert_eq!(world.task_state(&back, "t"), None);
}

#[test]
fn an_acknowledgement_of_what_was_not_forwarded_is_dropped() {
    let mut world = World::new();
    let (client, agent) = world.pair();
    let offer = world.offer(&client);
    world.accept(&client, &[&offer], &task("t", &agent.id, 1.0), 0.0);
    world.messages(&agent);
    world.acknowledge(&agent, &client, "t", 1);
    assert!(world.messages(&agent).is_empty());
    // A task the master does not know: the agent may still wait for it.
    world.acknowledge(&agent, &client, "other", 1);
    assert_eq!(kinds(&world.messages(&agent)), ["ack other 1"]);
}

#[test]
fn bad_tasks_and_offers_are_answered_task_by_task() {
    let mut world = World::new();
    let (client, agent) = world.pair();
    let offer = world.offer(&client);
    let tasks = [
        task("bad/id", &agent.id, 1.0),
        task("big", &agent.id, 100.0),
        task("fine", &agent.id, 1.0),
    ];
    world.accept(&client, &[&offer], &tasks.join(","), 0.0);
    assert_eq!(
        world.updates(&client),
        [
            "bad/id TASK_ERROR REASON_TASK_INVALID",
            "big TASK_ERROR REASON_TASK_INVALID"
        ]
    );
    assert_eq!(
        world.task_state(&client, "fine"),
        Some(TaskState::TaskStaging)
    );
    world.accept(&client, &[&offer], &task("late", &agent.id, 1.0), 0.0);
    world.accept(&client, &[], &task("none", &agent.id, 1.0), 0.0);
    let events = world.take(&client);
    assert!(
        events[0].contains("Task launched with invalid offers: Offer M-O0 is no longer valid"),
        "{events:?}"
    );
    assert!(events[0].contains("TASK_DROPPED") && events[0].contains("REASON_INVALID_OFFERS"));
    assert!(events[1].contains("Task launched with invalid offers: No offers specified"));
}

#[test]
fn frameworks_without_partition_awareness_get_lost() {
    let mut world = World::new();
    let client = world.subscribe(r#""hostname":"h","failover_timeout":9"#);
    world.accept(&client, &[], &task("t", "x", 1.0), 0.0);
    assert_eq!(
        world.updates(&client),
        ["t TASK_LOST REASON_INVALID_OFFERS"]
    );
    world.call(
        &client,
        r#""type":"KILL","kill":{"task_id":{"value":"nobody"}}"#,
    );
    assert_eq!(
        world.updates(&client),
        ["nobody TASK_LOST REASON_RECONCILIATION"]
    );
}

#[test]
fn what_is_not_built_says_so() {
    let mut world = World::new();
    let (client, agent) = world.pair();
    let offer = world.offer(&client);
    let group = format!(
        r#"{{"type":"LAUNCH_GROUP","launch_group":{{"executor":{{"executor_id":{{"value":"e"}}}},
            "task_group":{{"tasks":[{},{}]}}}}}}"#,
        task("a", &agent.id, 0.1),
        task("b", &agent.id, 0.1)
    );
    let resource = r#"{"name":"disk","type":"SCALAR","scalar":{"value":1}}"#;
    world.call(
        &client,
        &format!(
            r#""type":"ACCEPT","accept":{{"offer_ids":[{{"value":"{}"}}],"operations":[{group},
                {{"type":"CREATE_DISK","id":{{"value":"op1"}},"create_disk":{{"source":{resource},"target_type":"MOUNT"}}}},
                {{"type":"DESTROY_DISK","destroy_disk":{{"source":{resource}}}}},
                {{"type":"DESTROY_DISK","id":{{"value":"op2"}},"destroy_disk":{{"source":{resource}}}}}]}}"#,
            offer.id
        ),
    );
    let events = world.take(&client);
    assert_eq!(events.len(), 4, "{events:?}");
    for event in &events[..2] {
        assert!(
            event.contains("TASK_ERROR") && event.contains("REASON_TASK_GROUP_INVALID"),
            "{event}"
        );
        assert!(event.contains("not built yet"), "{event}");
    }
    for (event, id) in events[2..].iter().zip(["op1", "op2"]) {
        assert!(
            event.contains("OPERATION_ERROR") && event.contains(id),
            "{event}"
        );
        assert!(
            event.contains("resource providers are not built"),
            "{event}"
        );
    }
}

#[test]
fn a_kill_reaches_the_agent_and_survives_a_broken_session() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t", "u"]);
    world.call(
        &client,
        r#""type":"KILL","kill":{"task_id":{"value":"t"},"agent_id":{"value":"other"}}"#,
    );
    assert!(
        world.messages(&agent).is_empty(),
        "a kill that names another agent"
    );
    world.call(
        &client,
        r#""type":"KILL","kill":{"task_id":{"value":"t"},"kill_policy":{"grace_period":{"nanoseconds":5}}}"#,
    );
    let messages = world.messages(&agent);
    assert_eq!(kinds(&messages), ["kill t"]);
    let Body::KillTask(kill) = &messages[0] else {
        panic!()
    };
    assert_eq!(
        kill.kill_policy
            .as_ref()
            .unwrap()
            .grace_period
            .as_ref()
            .unwrap()
            .nanoseconds,
        5
    );
    // Nobody knows whether it arrived.
    world.close_session(&agent);
    world.call(&client, r#""type":"KILL","kill":{"task_id":{"value":"u"}}"#);
    let held = world.holds(&client, &["t", "u"]);
    let agent = world.hello(agent, Some(held.clone()));
    assert_eq!(
        kinds(&world.messages(&agent)),
        ["welcome", "kill t", "kill u"]
    );
    world.update(&agent, &client, "t", TaskState::TaskKilling, 5);
    let agent = world.hello(agent, Some(held));
    assert_eq!(kinds(&world.messages(&agent)), ["welcome", "kill u"]);
}

#[test]
fn reconciliation_answers_what_is_known() {
    let mut world = World::new();
    let (client, agent) = world.running(&["a", "b"]);
    world.update(&agent, &client, "b", TaskState::TaskFinished, 5);
    world.take(&client);
    world.call(&client, r#""type":"RECONCILE","reconcile":{"tasks":[]}"#);
    let events = world.take(&client);
    assert_eq!(events.len(), 2);
    assert!(events[0].contains(r#""message":"Reconciliation: Latest task state","source":"SOURCE_MASTER","reason":"REASON_RECONCILIATION""#));
    assert!(!events[0].contains("uuid"));
    world.call(
        &client,
        &format!(
            r#""type":"RECONCILE","reconcile":{{"tasks":[{{"task_id":{{"value":"a"}}}},
               {{"task_id":{{"value":"x"}},"agent_id":{{"value":"{}"}}}},
               {{"task_id":{{"value":"y"}}}},
               {{"task_id":{{"value":"z"}},"agent_id":{{"value":"no-such-agent"}}}}]}}"#,
            agent.id
        ),
    );
    assert_eq!(
        world.updates(&client),
        [
            "a TASK_RUNNING REASON_RECONCILIATION",
            "x TASK_GONE REASON_RECONCILIATION",
            "y TASK_UNKNOWN REASON_RECONCILIATION",
            "z TASK_UNKNOWN REASON_RECONCILIATION",
        ]
    );
    world.call(
        &client,
        r#""type":"RECONCILE_OPERATIONS","reconcile_operations":{"operations":[{"operation_id":{"value":"o"}}]}"#,
    );
    assert!(world.take(&client)[0].contains("OPERATION_UNKNOWN"));
}

fn with_executor(id: &str, agent: &str, name: &str) -> String {
    let executor = format!(
        r#""executor":{{"executor_id":{{"value":"e"}},"name":"{name}","command":{{"value":"run"}},
            "resources":[{{"name":"cpus","type":"SCALAR","scalar":{{"value":0.5}}}},
                         {{"name":"mem","type":"SCALAR","scalar":{{"value":64}}}}]}}"#
    );
    task(id, agent, 1.0).replace(r#""command":{"value":"true"}"#, &executor)
}

#[test]
fn a_custom_executor_is_charged_once_and_until_it_exits() {
    let mut world = World::new();
    let (client, agent) = world.pair();
    let offer = world.offer(&client);
    let tasks = [
        with_executor("a", &agent.id, "x"),
        with_executor("b", &agent.id, "x"),
        with_executor("c", &agent.id, "other"),
    ];
    world.accept(&client, &[&offer], &tasks.join(","), 0.0);
    let events = world.take(&client);
    assert!(
        events[0].contains("not compatible with existing ExecutorInfo"),
        "{events:?}"
    );
    let offer = world.offer(&client);
    let cpus = offer.resources.iter().find(|r| r.name == "cpus").unwrap();
    assert_eq!(cpus.scalar.as_ref().unwrap().value, 1.5);
    assert_eq!(offer.executor_ids.len(), 1);
    world.decline(&client, &offer, 0.0);

    world.messages(&agent);
    world.call(&client, &format!(r#""type":"MESSAGE","message":{{"agent_id":{{"value":"{}"}},"executor_id":{{"value":"e"}},"data":"aGk="}}"#, agent.id));
    world.call(&client, &format!(r#""type":"SHUTDOWN","shutdown":{{"agent_id":{{"value":"{}"}},"executor_id":{{"value":"e"}}}}"#, agent.id));
    assert_eq!(
        kinds(&world.messages(&agent)),
        ["message", "shutdown-executor"]
    );

    let framework_id = Some(client.id.as_str().into());
    let executor_id = Some("e".into());
    world.say(
        &agent,
        agent_message::Body::ExecutorMessage(ExecutorMessage {
            framework_id: framework_id.clone(),
            executor_id: executor_id.clone(),
            data: b"hi".to_vec(),
        }),
    );
    assert!(world.take(&client)[0].contains(r#""type":"MESSAGE""#));
    world.update(&agent, &client, "a", TaskState::TaskFailed, 1);
    world.update(&agent, &client, "b", TaskState::TaskFailed, 2);
    world.take(&client);
    world.say(
        &agent,
        agent_message::Body::ExecutorExited(ExecutorExited {
            framework_id,
            executor_id,
            status: 32512,
        }),
    );
    assert_eq!(
        world.take(&client),
        [format!(
            r#"{{"type":"FAILURE","failure":{{"agent_id":{{"value":"{}"}},"executor_id":{{"value":"e"}},"status":32512}}}}"#,
            agent.id
        )]
    );
    world.advance(Duration::from_secs(2));
    let offer = world.offers(&client).pop().unwrap();
    let cpus = offer.resources.iter().find(|r| r.name == "cpus").unwrap();
    assert_eq!(cpus.scalar.as_ref().unwrap().value, 4.0, "{}", text(&offer));
}

#[test]
fn completed_tasks_are_bounded() {
    let config = crate::config::MasterConfig {
        max_completed_tasks_per_framework: 2,
        ..crate::config::MasterConfig::default()
    };
    let mut world = World::with(config, crate::registry::Registry::default());
    let (client, agent) = world.running(&["a", "b", "c"]);
    for (task, uuid) in [("a", 5), ("b", 6), ("c", 7)] {
        world.update(&agent, &client, task, TaskState::TaskFinished, uuid);
        world.acknowledge(&agent, &client, task, uuid);
    }
    let framework = &world.core.state().frameworks[&FrameworkId::from(client.id.as_str())];
    let ids: Vec<&str> = framework
        .completed_tasks
        .iter()
        .map(|task| task.id.as_str())
        .collect();
    assert_eq!(ids, ["b", "c"]);
}
