//! `kill -9` of the agent between any two events: nothing is lost, nothing is done twice.

use std::time::Duration;

use mesos_containerizer_api::{ContainerStatus, Termination};
use mesos_types::is_terminal;
use mesos_wire::v1::TaskState;

use super::super::{
    Event,
    testing::{Rig, subscribe, task, task_of, update_call},
};
use crate::state::ExecutorPhase;

#[test]
fn a_running_task_runs_on_and_its_end_is_told() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    let container = rig.container("t");
    rig.crash(false);
    assert_eq!(rig.core.known_containers()[0].id, container);
    assert_eq!(rig.look(), "wait t");
    assert_eq!(rig.task_state("t"), Some(TaskState::TaskRunning));
    rig.connect(&[("t", true)]);
    assert_eq!(rig.look(), "open 2", "no update without news");
    rig.ended("t", Some(0));
    assert_eq!(
        rig.look(),
        "update t TASK_FINISHED SOURCE_EXECUTOR \"Command exited with status 0\"\nforget t"
    );
}

#[test]
fn unacknowledged_updates_are_told_again_with_their_uuids_in_order() {
    let mut rig = Rig::new();
    rig.run(task("t"));
    rig.sandbox_made("t");
    rig.launched("t");
    let starting = rig.updates.last().unwrap().uuid.clone();
    rig.crash(false);
    rig.ended("t", Some(0));
    rig.connect(&[]);
    assert_eq!(rig.updates.last().unwrap().uuid, starting);
    rig.look();
    rig.ack("t");
    assert!(rig.look().contains("TASK_RUNNING"));
    rig.ack("t");
    assert!(rig.look().contains("TASK_FINISHED"));
    rig.ack("t");
    assert!(rig.core.state().frameworks.is_empty());
}

#[test]
fn an_end_that_waits_for_its_acknowledgement_waits_on() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    rig.ended("t", Some(0));
    rig.crash(false);
    assert_eq!(rig.core.known_containers().len(), 0);
    assert_eq!(rig.look(), "", "the container is not asked about again");
    rig.connect(&[]);
    assert!(rig.look().contains("TASK_FINISHED"));
    rig.ack("t");
    assert!(rig.core.state().frameworks.is_empty());
    rig.crash(false);
    assert!(rig.core.state().frameworks.is_empty());
}

#[test]
fn a_task_that_was_only_accepted_is_launched() {
    let mut rig = Rig::new();
    rig.run(task("t"));
    rig.crash(false);
    assert_eq!(rig.look(), "sandbox t");
    rig.connect(&[("t", true)]);
    rig.sandbox_made("t");
    rig.launched("t");
    assert_eq!(rig.task_state("t"), Some(TaskState::TaskRunning));
}

#[test]
fn a_launch_that_was_cut_short_goes_on_or_starts_over() {
    // It runs.
    let mut rig = Rig::new();
    rig.run(task("t"));
    rig.sandbox_made("t");
    rig.crash(false);
    assert_eq!(rig.look(), "probe t");
    rig.event(Event::Probed(
        rig.container("t"),
        Some(ContainerStatus::default()),
    ));
    assert_eq!(rig.look(), "wait t");
    assert_eq!(rig.task_state("t"), Some(TaskState::TaskRunning));
    // It ran and has ended.
    let mut rig = Rig::new();
    rig.run(task("t"));
    rig.sandbox_made("t");
    rig.crash(false);
    rig.event(Event::Probed(rig.container("t"), None));
    rig.ended("t", Some(1 << 8));
    assert_eq!(rig.task_state("t"), Some(TaskState::TaskFailed));
    // It never was.
    let mut rig = Rig::new();
    rig.run(task("t"));
    rig.sandbox_made("t");
    let first = rig.container("t");
    rig.crash(false);
    rig.event(Event::Probed(first.clone(), None));
    rig.look();
    rig.event(Event::Ended(
        first.clone(),
        Ok(Some(Termination::default())),
    ));
    assert!(rig.look().ends_with("sandbox t"));
    assert_ne!(rig.container("t"), first, "an id is never used twice");
    rig.sandbox_made("t");
    rig.launched("t");
    assert_eq!(rig.task_state("t"), Some(TaskState::TaskRunning));
}

#[test]
fn a_kill_under_way_is_finished() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    rig.kill("t", Some(10));
    rig.pass(Duration::from_secs(4));
    rig.crash(false);
    assert_eq!(rig.look(), "signal t 15\nwait t");
    rig.pass(Duration::from_secs(4));
    assert_eq!(rig.look(), "");
    rig.pass(Duration::from_millis(1100));
    assert_eq!(rig.look(), "destroy t", "ten seconds after the kill");
    rig.ended("t", Some(9));
    assert_eq!(rig.task_state("t"), Some(TaskState::TaskKilled));
}

#[test]
fn a_restart_of_the_host_ends_what_ran() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    rig.crash(true);
    assert_eq!(rig.core.known_containers().len(), 0);
    assert_eq!(rig.look(), "wait t");
    rig.event(Event::Ended(rig.container("t"), Ok(None)));
    rig.connect(&[("t", true)]);
    assert!(rig.look().contains(
        "TASK_FAILED SOURCE_AGENT REASON_EXECUTOR_TERMINATED \"Abnormal executor termination: unknown container\""
    ));
}

#[test]
fn executors_come_back_with_what_they_know() {
    let mut rig = Rig::new();
    rig.run(task_of("e", "a"));
    rig.run(task_of("e", "b"));
    rig.sandbox_made("e");
    rig.launched("e");
    rig.call(Some(7), subscribe("e", vec![]));
    rig.call(None, update_call("e", "a", TaskState::TaskRunning, 1));
    rig.ack("a");
    rig.crash(false);
    assert_eq!(rig.look(), "wait e");
    rig.connect(&[("a", true), ("b", true)]);
    rig.look();
    let mut again = subscribe("e", vec![task_of("e", "b")]);
    again.subscribe.as_mut().unwrap().unacknowledged_updates = vec![
        update_call("e", "a", TaskState::TaskFinished, 2)
            .update
            .unwrap(),
    ];
    rig.call(Some(8), again);
    assert_eq!(
        rig.look(),
        "update a TASK_FINISHED SOURCE_EXECUTOR\nto 8 ACKNOWLEDGED\nresize e cpus=0.2 mem=64\nto 8 SUBSCRIBED\n202"
    );
    rig.call(None, update_call("e", "b", TaskState::TaskRunning, 3));
    assert!(rig.look().contains("b TASK_RUNNING"));
}

#[test]
fn executors_that_do_not_come_back_are_given_up_and_are_told_of_until_then() {
    let mut rig = Rig::new();
    rig.run(task_of("e", "a"));
    rig.sandbox_made("e");
    rig.launched("e");
    rig.call(Some(7), subscribe("e", vec![]));
    rig.crash(false);
    rig.connect(&[("a", true)]);
    rig.look();
    let phase = rig.core.state().executors().next().unwrap().1.phase;
    assert_eq!(phase, ExecutorPhase::Registering);
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.look(), "destroy e");
    rig.ended("e", Some(9));
    let seen = rig.look();
    assert!(
        seen.contains("a TASK_GONE SOURCE_AGENT REASON_EXECUTOR_REREGISTRATION_TIMEOUT \"Executor did not reregister within 2secs\""),
        "{seen}"
    );
}

#[test]
fn cleanup_ends_everything_and_the_agent() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    rig.reconfigure(|config| config.recover = mesos_flags::agent::Recover::Cleanup);
    rig.crash(false);
    let seen = rig.look();
    assert!(seen.contains("signal t 15"), "{seen}");
    rig.ended("t", Some(15));
    rig.pass(Duration::from_secs(1));
    assert!(rig.look().contains("exit Done"));
}

/// A task's whole life, with a crash before each of its events in turn. Whatever the moment, the task
/// ends in exactly one terminal update, and nothing is left.
#[test]
fn a_crash_at_any_moment_loses_nothing() {
    for moment in 0..7 {
        let mut rig = Rig::new();
        let mut step = 0;
        let mut crash_here = |rig: &mut Rig| {
            if step == moment {
                let known = rig.task_state("t").map(|_| ("t", true));
                rig.crash(false);
                rig.connect(known.as_slice());
                settle(rig);
            }
            step += 1;
        };
        rig.run(task("t"));
        crash_here(&mut rig);
        settle(&mut rig);
        crash_here(&mut rig);
        for _ in 0..2 {
            if !rig.updates.is_empty() {
                rig.ack("t");
            }
            crash_here(&mut rig);
        }
        if rig.task_state("t").is_some_and(|state| !is_terminal(state)) {
            rig.ended("t", Some(0));
        }
        crash_here(&mut rig);
        for _ in 0..4 {
            if rig.task_state("t").is_some() {
                rig.ack("t");
            }
        }
        crash_here(&mut rig);
        assert!(
            rig.core.state().frameworks.is_empty(),
            "crash at {moment}: {:#?}",
            rig.core.state().frameworks
        );
        let left: Vec<&String> = rig.journal.keys().collect();
        assert_eq!(left, ["agent", "election"], "crash at {moment}");
    }
}

/// Plays the world around the agent: sandboxes are made, containers come up.
fn settle(rig: &mut Rig) {
    for _ in 0..4 {
        let seen = rig.look();
        if seen.contains("sandbox t") {
            rig.sandbox_made("t");
        } else if seen.contains("launch t") {
            rig.launched("t");
        } else if seen.contains("probe t") {
            rig.event(Event::Probed(
                rig.container("t"),
                Some(ContainerStatus::default()),
            ));
        }
    }
}

#[test]
fn ports_are_held_over_a_restart_until_their_task_ends() {
    let with_port = |id: &str| mesos_wire::v1::TaskInfo {
        resources: super::super::testing::resources("cpus:0.1;mem:32;ports:[31000-31000]"),
        ..task(id)
    };
    let mut rig = Rig::new();
    rig.running(with_port("t"));
    rig.crash(false);
    rig.connect(&[]);
    rig.look();
    rig.run(with_port("u"));
    assert!(rig.look().contains("u TASK_FAILED"));
    rig.ended("t", Some(0));
    rig.crash(false);
    rig.connect(&[]);
    rig.look();
    rig.run(with_port("v"));
    assert!(rig.look().starts_with("sandbox v"));
}
