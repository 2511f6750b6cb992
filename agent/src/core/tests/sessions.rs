//! Sessions with masters: fencing, reconciliation, what is told again, the end.

use std::time::Duration;

use mesos_control::v1::{
    AgentMessage, Ping, Refused, Shutdown, ShutdownFramework, Snapshot, UpdateFramework,
    agent_message, master_message::Body,
};
use mesos_wire::v1::TaskState;
use prost::Message as _;

use super::super::{
    Effect, Event,
    testing::{FRAMEWORK, Rig, framework, subscribe, task, task_of},
};
use crate::state::Phase;

fn snapshot(rig: &mut Rig) -> Snapshot {
    let effects = rig.core.handle(rig.now, Event::SessionWanted(99));
    let messages: Vec<AgentMessage> = effects
        .into_iter()
        .find_map(|effect| match effect {
            Effect::OpenSession(_, messages) => Some(messages),
            _ => None,
        })
        .unwrap();
    let mut bytes = Vec::new();
    for message in &messages[1..] {
        match message.body.as_ref().unwrap() {
            agent_message::Body::Snapshot(chunk) => bytes.extend_from_slice(&chunk.data),
            other => panic!("{other:?}"),
        }
    }
    Snapshot::decode(&bytes[..]).unwrap()
}

#[test]
fn the_snapshot_tells_everything_but_made_up_executors() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    rig.run(task_of("e", "a"));
    let snapshot = snapshot(&mut rig);
    assert_eq!(snapshot.frameworks, [framework()]);
    let tasks: Vec<(&str, TaskState, bool)> = snapshot
        .tasks
        .iter()
        .map(|task| {
            (
                task.task_id.value.as_str(),
                task.state(),
                task.executor_id.is_some(),
            )
        })
        .collect();
    assert_eq!(
        tasks,
        [
            ("a", TaskState::TaskStaging, true),
            ("t", TaskState::TaskRunning, false),
        ]
    );
    assert_eq!(
        snapshot.tasks[1].status_update_state(),
        TaskState::TaskRunning
    );
    let executors: Vec<&str> = snapshot
        .executors
        .iter()
        .map(|executor| executor.executor_id.value.as_str())
        .collect();
    assert_eq!(executors, ["e"]);
}

#[test]
fn updates_wait_for_a_master_and_go_to_the_next_one() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    rig.disconnect();
    assert_eq!(rig.core.state().phase, Phase::Disconnected);
    rig.ended("t", Some(0));
    assert_eq!(rig.look(), "forget t");
    rig.pass(Duration::from_secs(3600));
    assert_eq!(rig.look(), "");
    rig.connect(&[("t", true)]);
    assert!(rig.look().contains("t TASK_FINISHED"));
}

#[test]
fn tasks_that_the_agent_does_not_know_are_told() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    rig.disconnect();
    rig.connect(&[("t", true), ("new", true), ("old", false)]);
    let seen = rig.look();
    assert!(seen.contains("new TASK_DROPPED SOURCE_AGENT REASON_RECONCILIATION \"Reconciliation: task unknown to the agent\""), "{seen}");
    assert!(
        seen.contains("old TASK_LOST SOURCE_AGENT REASON_RECONCILIATION"),
        "{seen}"
    );
    assert!(!seen.contains("update t "), "{seen}");
}

#[test]
fn a_master_that_does_not_lead_any_more_is_refused() {
    let mut rig = Rig::new();
    rig.disconnect();
    rig.event(Event::SessionWanted(5));
    rig.look();
    let welcome = |rig: &mut Rig, master: &str, election: u64| {
        rig.event(Event::Master(
            5,
            Box::new(mesos_control::v1::MasterMessage {
                sequence: 1,
                acknowledged: 0,
                master_id: master.to_owned(),
                election,
                realm: 0,
                body: Some(Body::Welcome(mesos_control::v1::Welcome {
                    agent_id: Some("m-S0".into()),
                    ..Default::default()
                })),
            }),
        ));
    };
    welcome(&mut rig, "two", 2);
    assert_eq!(rig.core.state().phase, Phase::Registered);
    rig.event(Event::SessionLost(5));
    rig.event(Event::SessionWanted(5));
    rig.look();
    welcome(&mut rig, "one", 1);
    assert_eq!(rig.look(), "close session");
    assert_eq!(rig.core.state().phase, Phase::Disconnected);
    // Over restarts too.
    rig.crash(false);
    rig.event(Event::SessionWanted(5));
    rig.look();
    welcome(&mut rig, "one", 1);
    assert_eq!(rig.look(), "close session");
}

#[test]
fn another_master_on_the_same_stream_is_refused() {
    let mut rig = Rig::new();
    rig.master_of("intruder", 0, Body::Ping(Ping {}));
    assert_eq!(rig.look(), "close session");
}

#[test]
fn a_silent_master_is_given_up_and_pings_keep_it() {
    let mut rig = Rig::new();
    for _ in 0..10 {
        rig.pass(Duration::from_secs(15));
        rig.master(Body::Ping(Ping {}));
        assert_eq!(rig.look(), "pong");
    }
    rig.pass(Duration::from_secs(76));
    assert_eq!(rig.look(), "close session");
}

#[test]
fn a_framework_that_is_back_gets_its_updates_at_once() {
    let mut rig = Rig::new();
    rig.run(task("t"));
    rig.sandbox_made("t");
    rig.look();
    let mut renamed = framework();
    renamed.name = "renamed".to_owned();
    rig.master(Body::UpdateFramework(UpdateFramework {
        framework: Some(renamed),
    }));
    assert_eq!(rig.look(), "update t TASK_STARTING SOURCE_EXECUTOR");
    let known = &rig.core.state().frameworks[FRAMEWORK];
    assert_eq!(known.info.name, "renamed");
}

#[test]
fn an_executors_end_is_told_until_it_is_taken_over() {
    let mut rig = Rig::new();
    rig.run(task_of("e", "a"));
    rig.sandbox_made("e");
    rig.launched("e");
    rig.call(Some(7), subscribe("e", vec![]));
    rig.disconnect();
    rig.ended("e", Some(0));
    assert!(!rig.look().contains("exited"));
    rig.connect(&[]);
    assert!(rig.look().contains("exited e 0"));
    rig.disconnect();
    rig.connect(&[]);
    assert!(
        rig.look().contains("exited e 0"),
        "the master has not taken it over"
    );
}

#[test]
fn the_end_of_a_framework_ends_its_tasks_without_updates() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    rig.run(task("starting"));
    rig.look();
    rig.master(Body::ShutdownFramework(ShutdownFramework {
        framework_id: Some(FRAMEWORK.into()),
    }));
    assert!(rig.look().contains("signal t 15"));
    rig.pass(Duration::from_secs(3));
    assert_eq!(rig.look(), "destroy t");
    rig.ended("t", Some(9));
    rig.look();
    assert!(rig.core.state().frameworks.is_empty());
    let left: Vec<&String> = rig.journal.keys().collect();
    assert_eq!(left, ["agent", "election"]);
}

#[test]
fn leaving_unregisters_ends_the_tasks_and_then_the_agent() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    rig.event(Event::Leave);
    let seen = rig.look();
    assert!(seen.starts_with("unregister\nrenounce\n"), "{seen}");
    assert!(seen.contains("signal t 15"), "{seen}");
    rig.run(task("late"));
    rig.look();
    rig.ended("t", Some(15));
    rig.pass(Duration::from_secs(1));
    assert!(rig.look().contains("exit Done"));
}

#[test]
fn a_removed_agent_ends_and_forgets_who_it_was() {
    for body in [
        Body::Shutdown(Shutdown {
            message: "gone".to_owned(),
        }),
        Body::Refused(Refused {
            message: "gone".to_owned(),
            shutdown: true,
        }),
    ] {
        let mut rig = Rig::new();
        rig.master(body);
        rig.pass(Duration::from_secs(1));
        assert_eq!(rig.look(), "renounce\nexit Done");
    }
    let mut rig = Rig::new();
    rig.master(Body::Refused(Refused {
        message: "not now".to_owned(),
        shutdown: false,
    }));
    assert_eq!(rig.look(), "close session", "it tries again");
}
