//! Executors of frameworks over the v1 executor API.

use std::time::Duration;

use mesos_containerizer_api::ContainerError;
use mesos_wire::v1::{
    TaskState,
    executor::{self, call::Type},
};

use super::super::{
    Event,
    testing::{FRAMEWORK, Rig, call, subscribe, task, task_of, update_call},
};

/// An executor `e` that has subscribed on connection 7, with its task `a` delivered.
fn subscribed() -> Rig {
    let mut rig = Rig::new();
    rig.run(task_of("e", "a"));
    rig.sandbox_made("e");
    rig.launched("e");
    rig.call(Some(7), subscribe("e", vec![]));
    assert_eq!(
        rig.look(),
        "sandbox e\nlaunch e\nwait e\nto 7 SUBSCRIBED\nto 7 LAUNCH\n202"
    );
    rig
}

#[test]
fn it_gets_its_infos_and_its_task() {
    let rig = subscribed();
    let subscribed = rig.events[0].1.subscribed.as_ref().unwrap();
    assert_eq!(subscribed.executor_info.executor_id.value, "e");
    assert_eq!(
        subscribed.framework_info.id.as_ref().unwrap().value,
        FRAMEWORK
    );
    assert_eq!(subscribed.agent_info.id.as_ref().unwrap().value, "m-S0");
    assert_eq!(
        subscribed.container_id.as_ref().unwrap().value,
        rig.container("e").value()
    );
    assert_eq!(
        rig.events[1].1.launch.as_ref().unwrap().task,
        task_of("e", "a")
    );
    let config = &rig.configs[0];
    assert_eq!(
        config.resources.cpus().unwrap().to_string(),
        "0.2",
        "it and its task"
    );
    assert!(!config.environment.contains_key("MESOS_ALLOCATION_ROLE"));
    assert_eq!(config.environment["MESOS_EXECUTOR_ID"], "e");
}

#[test]
fn updates_are_acknowledged_to_it_once_they_are_written_down() {
    let mut rig = subscribed();
    rig.call(None, update_call("e", "a", TaskState::TaskRunning, 1));
    assert_eq!(
        rig.look(),
        "update a TASK_RUNNING SOURCE_EXECUTOR\nto 7 ACKNOWLEDGED\n202"
    );
    let status = rig.updates.last().unwrap();
    assert!(status.executor_id.is_none(), "not added to what it sent");
    assert!(status.container_status.is_some());
    assert!(rig.journal.keys().any(|key| key.starts_with("u/")));
    rig.call(None, update_call("e", "a", TaskState::TaskRunning, 1));
    assert_eq!(
        rig.look(),
        "to 7 ACKNOWLEDGED\n202",
        "a repeat goes no further"
    );
    rig.call(None, update_call("e", "a", TaskState::TaskFinished, 2));
    assert_eq!(
        rig.look(),
        "to 7 ACKNOWLEDGED\nresize e cpus=0.1 mem=32\n202",
        "it waits behind RUNNING, and the container shrinks"
    );
    rig.call(None, update_call("e", "a", TaskState::TaskFailed, 3));
    assert_eq!(rig.look(), "to 7 ACKNOWLEDGED\n202", "the first end counts");
    rig.ack("a");
    assert_eq!(rig.look(), "update a TASK_FINISHED SOURCE_EXECUTOR");
}

#[test]
fn the_container_grows_before_a_task_is_delivered() {
    let mut rig = subscribed();
    rig.run(task_of("e", "b"));
    assert_eq!(rig.look(), "resize e cpus=0.3 mem=96");
    rig.run(task_of("e", "c"));
    assert_eq!(rig.look(), "", "one resize at a time");
    rig.event(Event::Resized(rig.container("e"), Ok(())));
    assert_eq!(rig.look(), "resize e cpus=0.4 mem=128");
    rig.event(Event::Resized(rig.container("e"), Ok(())));
    assert_eq!(rig.look(), "to 7 LAUNCH\nto 7 LAUNCH");
}

#[test]
fn a_container_that_cannot_grow_ends() {
    let mut rig = subscribed();
    rig.run(task_of("e", "b"));
    rig.look();
    let id = rig.container("e");
    let error = ContainerError::Update {
        id: id.clone(),
        message: "no".to_owned(),
    };
    rig.event(Event::Resized(id, Err(error)));
    assert_eq!(rig.look(), "destroy e");
    rig.ended("e", Some(9));
    let seen = rig.look();
    assert!(
        seen.contains("b TASK_GONE SOURCE_AGENT REASON_CONTAINER_UPDATE_FAILED"),
        "{seen}"
    );
    assert!(seen.contains("exited e 9"), "{seen}");
}

#[test]
fn its_end_is_the_end_of_its_tasks() {
    let mut rig = subscribed();
    rig.ended("e", Some(127 << 8));
    assert_eq!(
        rig.look(),
        "update a TASK_FAILED SOURCE_AGENT REASON_EXECUTOR_TERMINATED \"Executor terminated\"\nexited e 32512\nclose 7\nforget e"
    );
    rig.ack("a");
    assert!(rig.core.state().frameworks.is_empty());
}

#[test]
fn who_is_not_known_or_not_subscribed_is_told() {
    let mut rig = Rig::new();
    rig.call(Some(1), subscribe("e", vec![]));
    assert_eq!(rig.look(), "400 Framework cannot be found");
    rig.run(task_of("e", "a"));
    rig.run(task("t"));
    rig.look();
    rig.call(Some(1), subscribe("x", vec![]));
    assert_eq!(rig.look(), "400 Executor cannot be found");
    rig.call(Some(1), subscribe("t", vec![]));
    assert_eq!(
        rig.look(),
        "400 Executor cannot be found",
        "a command task has none"
    );
    rig.call(None, update_call("e", "a", TaskState::TaskRunning, 1));
    assert_eq!(rig.look(), "403 Executor is not subscribed");
}

#[test]
fn one_that_subscribes_before_its_launch_is_over_gets_its_task_then() {
    let mut rig = Rig::new();
    rig.run(task_of("e", "a"));
    rig.sandbox_made("e");
    rig.look();
    rig.call(Some(7), subscribe("e", vec![]));
    assert_eq!(rig.look(), "to 7 SUBSCRIBED\n202");
    rig.launched("e");
    assert_eq!(rig.look(), "wait e\nto 7 LAUNCH");
}

#[test]
fn one_that_does_not_subscribe_is_given_up() {
    let mut rig = Rig::new();
    rig.run(task_of("e", "a"));
    rig.sandbox_made("e");
    rig.launched("e");
    rig.look();
    rig.pass(Duration::from_secs(60));
    assert_eq!(rig.look(), "destroy e");
    rig.ended("e", Some(9));
    assert!(rig.look().contains(
        "a TASK_FAILED SOURCE_AGENT REASON_EXECUTOR_REGISTRATION_TIMEOUT \"Executor did not register within 1mins\""
    ));
}

#[test]
fn a_queued_task_that_is_killed_is_never_delivered() {
    let mut rig = Rig::new();
    rig.run(task_of("e", "a"));
    rig.run(task_of("e", "b"));
    rig.sandbox_made("e");
    rig.launched("e");
    rig.look();
    rig.kill("a", None);
    assert!(
        rig.look()
            .contains("a TASK_KILLED SOURCE_AGENT REASON_TASK_KILLED_DURING_LAUNCH")
    );
    rig.call(Some(7), subscribe("e", vec![]));
    assert_eq!(rig.look(), "to 7 SUBSCRIBED\nto 7 LAUNCH\n202");
    assert_eq!(
        rig.events
            .last()
            .unwrap()
            .1
            .launch
            .as_ref()
            .unwrap()
            .task
            .task_id
            .value,
        "b"
    );
}

#[test]
fn one_whose_tasks_were_all_killed_before_it_came_is_shut_down() {
    let mut rig = Rig::new();
    rig.run(task_of("e", "a"));
    rig.sandbox_made("e");
    rig.launched("e");
    rig.kill("a", None);
    rig.look();
    rig.call(Some(7), subscribe("e", vec![]));
    assert_eq!(rig.look(), "to 7 SHUTDOWN\n202");
    rig.pass(Duration::from_secs(5));
    assert_eq!(rig.look(), "destroy e");
}

#[test]
fn kills_messages_and_shutdowns_reach_it() {
    use mesos_control::v1::{FrameworkMessage, ShutdownExecutor, master_message::Body};
    let mut rig = subscribed();
    rig.kill("a", Some(2));
    assert_eq!(rig.look(), "to 7 KILL");
    let kill = rig.events.last().unwrap().1.kill.clone().unwrap();
    assert_eq!(
        kill.kill_policy.unwrap().grace_period.unwrap().nanoseconds,
        2_000_000_000
    );
    rig.master(Body::FrameworkMessage(FrameworkMessage {
        framework_id: Some(FRAMEWORK.into()),
        executor_id: Some("e".into()),
        data: b"hello".to_vec(),
    }));
    assert_eq!(rig.look(), "to 7 MESSAGE");
    rig.call(
        None,
        executor::Call {
            message: Some(executor::call::Message {
                data: b"hi there".to_vec(),
            }),
            ..call("e", Type::Message)
        },
    );
    assert_eq!(rig.look(), "message hi there\n202");
    rig.master(Body::ShutdownExecutor(ShutdownExecutor {
        framework_id: Some(FRAMEWORK.into()),
        executor_id: Some("e".into()),
    }));
    assert_eq!(rig.look(), "to 7 SHUTDOWN");
    rig.pass(Duration::from_secs(5));
    assert_eq!(rig.look(), "destroy e");
}

#[test]
fn a_second_connection_replaces_the_first() {
    let mut rig = subscribed();
    rig.call(None, update_call("e", "a", TaskState::TaskRunning, 1));
    rig.look();
    rig.call(Some(8), subscribe("e", vec![]));
    assert_eq!(
        rig.look(),
        "close 7
to 8 SUBSCRIBED
202"
    );
    rig.event(Event::ExecutorGone(7));
    rig.kill("a", None);
    assert_eq!(
        rig.look(),
        "to 8 KILL",
        "the end of the old one changes nothing"
    );
}

#[test]
fn a_task_that_got_lost_on_its_way_is_sent_again() {
    let mut rig = subscribed();
    rig.event(Event::ExecutorGone(7));
    rig.call(Some(8), subscribe("e", vec![]));
    assert_eq!(rig.look(), "to 8 SUBSCRIBED\nto 8 LAUNCH\n202");
    rig.event(Event::ExecutorGone(8));
    rig.call(Some(9), subscribe("e", vec![task_of("e", "a")]));
    assert_eq!(rig.look(), "to 9 SUBSCRIBED\n202", "it has it already");
}

#[test]
fn heartbeats_come_every_half_hour() {
    let mut rig = subscribed();
    rig.disconnect();
    rig.pass(Duration::from_secs(30 * 60));
    assert_eq!(rig.look(), "to 7 HEARTBEAT");
    rig.pass(Duration::from_secs(30 * 60));
    assert_eq!(rig.look(), "to 7 HEARTBEAT");
}

#[test]
fn a_state_that_only_others_may_send_ends_it() {
    let mut rig = subscribed();
    rig.call(None, update_call("e", "a", TaskState::TaskUnreachable, 1));
    assert_eq!(rig.look(), "to 7 SHUTDOWN\n202");
    assert_eq!(rig.core.state().counters.invalid_status_updates, 1);
}

#[test]
fn the_master_hears_of_executors_that_never_come_up() {
    // The launch fails.
    let mut rig = Rig::new();
    rig.run(task_of("e", "a"));
    rig.sandbox_made("e");
    rig.look();
    let error = ContainerError::Launch {
        stage: mesos_containerizer_api::Stage::Fetch,
        message: "no".to_owned(),
        source: None,
    };
    rig.event(Event::Launched(rig.container("e"), Err(error)));
    let seen = rig.look();
    assert!(
        seen.contains("a TASK_FAILED") && seen.contains("exited e -1"),
        "{seen}"
    );
    // The task is refused before there is an executor.
    let mut rig = Rig::new();
    let mut bad = task_of("e", "a");
    bad.executor.as_mut().unwrap().command = None;
    rig.run(bad);
    let seen = rig.look();
    assert!(
        seen.contains("a TASK_ERROR") && seen.contains("exited e -1"),
        "{seen}"
    );
}
