//! Draining: everything ends, nothing new comes, also over restarts.

use std::time::Duration;

use mesos_control::v1::{DrainAgent, Ping, master_message::Body};
use mesos_wire::v1::{DrainConfig, DurationInfo, KillPolicy, TaskState};

use super::super::testing::{Rig, subscribe, task, task_of};

fn drain(max_grace: Option<i64>, mark_gone: bool) -> Body {
    Body::DrainAgent(DrainAgent {
        config: Some(DrainConfig {
            max_grace_period: max_grace.map(|secs| DurationInfo {
                nanoseconds: secs * 1_000_000_000,
            }),
            mark_gone: Some(mark_gone),
        }),
    })
}

#[test]
fn tasks_are_killed_with_the_reason_and_new_ones_are_dropped() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    rig.master(drain(None, false));
    assert_eq!(
        rig.look(),
        "update t TASK_KILLING SOURCE_EXECUTOR REASON_AGENT_DRAINING\nsignal t 15"
    );
    rig.run(task("u"));
    assert_eq!(
        rig.look(),
        "update u TASK_DROPPED SOURCE_AGENT REASON_AGENT_DRAINING \"Task was received while agent was already draining\""
    );
    rig.ended("t", Some(15));
    rig.ack("t");
    assert!(rig.look().contains(
        "TASK_KILLED SOURCE_EXECUTOR REASON_AGENT_DRAINING \"Command terminated with signal Terminated\""
    ));
    rig.ack("t");
    rig.ack("u");
    assert!(
        rig.core.state().drain.is_some(),
        "shown until the master goes on"
    );
    // The master launches once more: it was reactivated.
    rig.run(task("v"));
    assert_eq!(rig.look(), "sandbox v");
    assert!(rig.core.state().drain.is_none());
}

#[test]
fn the_grace_is_the_shorter_one_of_task_and_drain() {
    for (own, longest, expected) in [
        (None, None, 3),
        (None, Some(2), 2),
        (None, Some(20), 20),
        (Some(5), Some(2), 2),
        (Some(1), Some(2), 1),
        (Some(7), None, 7),
    ] {
        let mut rig = Rig::new();
        let mut killed = task("t");
        killed.kill_policy = own.map(|secs: i64| KillPolicy {
            grace_period: Some(DurationInfo {
                nanoseconds: secs * 1_000_000_000,
            }),
        });
        rig.running(killed);
        rig.master(drain(longest, false));
        rig.look();
        rig.pass(Duration::from_millis(expected * 1000 - 1));
        let early = rig.look();
        rig.pass(Duration::from_millis(1));
        let due = rig.look();
        assert!(
            !early.contains("destroy") && due.contains("destroy t"),
            "{own:?} {longest:?}"
        );
    }
}

#[test]
fn of_an_agent_that_goes_for_good_tasks_are_gone_by_operator() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    rig.master(drain(None, true));
    assert!(
        rig.look().contains("TASK_KILLING"),
        "not gone before its end"
    );
    rig.ended("t", Some(15));
    rig.ack("t");
    assert!(
        rig.look()
            .contains("update t TASK_GONE_BY_OPERATOR SOURCE_EXECUTOR REASON_AGENT_DRAINING")
    );
}

#[test]
fn executors_are_told_to_kill_their_tasks() {
    let mut rig = Rig::new();
    rig.run(task_of("e", "t"));
    rig.sandbox_made("e");
    rig.launched("e");
    rig.call(Some(7), subscribe("e", Vec::new()));
    rig.look();
    rig.master(drain(Some(2), false));
    assert_eq!(rig.look(), "to 7 KILL");
    let (_, event) = rig.events.last().unwrap();
    let policy = event.kill.as_ref().unwrap().kill_policy.unwrap();
    assert_eq!(policy.grace_period.unwrap().nanoseconds, 2_000_000_000);
}

#[test]
fn a_drain_survives_a_crash_and_ends_when_the_master_does_not_ask_again() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    rig.master(drain(Some(60), false));
    let since = rig.core.state().drain.as_ref().unwrap().since;
    rig.crash(false);
    assert_eq!(rig.core.state().drain.as_ref().unwrap().since, since);
    assert!(
        rig.look().contains("signal t 15"),
        "killed again after the restart"
    );
    rig.connect(&[]);
    rig.master(drain(Some(60), false));
    assert_eq!(rig.core.state().drain.as_ref().unwrap().since, since);
    rig.master(Body::Ping(Ping {}));
    assert!(rig.core.state().drain.is_some());
    rig.disconnect();
    rig.connect(&[]);
    rig.master(Body::Ping(Ping {}));
    assert!(rig.core.state().drain.is_none());
    rig.master(drain(None, false));
    assert!(rig.core.state().drain.is_some());
    rig.master(Body::DrainAgent(DrainAgent { config: None }));
    assert!(rig.core.state().drain.is_none(), "told that it is over");
    rig.crash(false);
    assert!(rig.core.state().drain.is_none());
    assert_eq!(rig.task_state("t"), Some(TaskState::TaskKilling));
}
