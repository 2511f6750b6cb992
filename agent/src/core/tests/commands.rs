//! Command tasks: the happy path, refusals, ends, kills.

use std::time::Duration;

use mesos_containerizer_api::{ContainerError, Limitation, Stage, Termination};
use mesos_wire::v1::{
    self, TaskState,
    container_info::{DockerInfo, docker_info},
    task_status::Reason,
};

use super::super::{
    Event, SandboxFailure,
    testing::{FRAMEWORK, Rig, framework, resources, task, told},
};

fn docker(id: &str, host_port: u32, ports: &str) -> v1::TaskInfo {
    v1::TaskInfo {
        resources: resources(&format!("cpus:0.1;mem:32{ports}")),
        container: Some(v1::ContainerInfo {
            r#type: v1::container_info::Type::Docker.into(),
            docker: Some(DockerInfo {
                image: "python:3".to_owned(),
                network: Some(docker_info::Network::Bridge.into()),
                port_mappings: vec![docker_info::PortMapping {
                    host_port,
                    container_port: 8080,
                    protocol: None,
                }],
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..task(id)
    }
}

#[test]
fn a_task_runs_to_its_end_with_one_update_in_flight() {
    let mut rig = Rig::new();
    rig.run(task("t"));
    assert_eq!(rig.look(), "sandbox t");
    rig.sandbox_made("t");
    assert_eq!(
        rig.look(),
        "update t TASK_STARTING SOURCE_EXECUTOR\nlaunch t"
    );
    rig.launched("t");
    assert_eq!(
        rig.look(),
        "wait t",
        "RUNNING waits for the acknowledgement of STARTING"
    );
    rig.ack("t");
    assert_eq!(rig.look(), "update t TASK_RUNNING SOURCE_EXECUTOR");
    rig.ended("t", Some(3 << 8));
    assert_eq!(rig.look(), "forget t");
    rig.ack("t");
    assert_eq!(
        rig.look(),
        "update t TASK_FAILED SOURCE_EXECUTOR \"Command exited with status 3\""
    );
    let last = rig.updates.last().unwrap();
    assert!(last.reason.is_none(), "an exit status has no reason");
    assert_eq!(last.executor_id.as_ref().unwrap().value, "t");
    let status = last.container_status.as_ref().unwrap();
    assert_eq!(status.executor_pid, Some(42));
    assert_eq!(
        status.network_infos[0].ip_addresses[0]
            .ip_address
            .as_deref(),
        Some("127.0.0.1")
    );
    assert_eq!(
        status.container_id.as_ref().unwrap().value,
        rig.container("t").value()
    );
    rig.ack("t");
    assert!(rig.core.state().frameworks.is_empty());
    let left: Vec<&String> = rig.journal.keys().collect();
    assert_eq!(
        left,
        ["agent", "election"],
        "nothing of the task is remembered"
    );
}

#[test]
fn the_container_gets_the_overhead_of_the_executor_it_does_not_have() {
    let mut rig = Rig::new();
    rig.run(task("t"));
    rig.sandbox_made("t");
    let resources = rig.configs.pop().unwrap().resources;
    assert_eq!(resources.cpus().unwrap().to_string(), "0.2");
    assert_eq!(resources.mem().unwrap().to_string(), "64");
}

#[test]
fn environments_are_those_of_mesos() {
    let mut rig = Rig::new();
    let mut with = task("t");
    with.command.as_mut().unwrap().environment = Some(v1::Environment {
        variables: vec![v1::environment::Variable {
            name: "MYVAR".to_owned(),
            value: Some("my val".to_owned()),
            ..Default::default()
        }],
    });
    rig.run(with);
    rig.sandbox_made("t");
    let config = rig.configs.pop().unwrap();
    // As in a recorded task of Mesos, without what the containerizer adds (MESOS_SANDBOX, PWD).
    let names: Vec<&str> = config.environment.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "LIBPROCESS_IP",
            "LIBPROCESS_PORT",
            "MESOS_AGENT_ENDPOINT",
            "MESOS_ALLOCATION_ROLE",
            "MESOS_CHECKPOINT",
            "MESOS_DIRECTORY",
            "MESOS_EXECUTOR_ID",
            "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD",
            "MESOS_FRAMEWORK_ID",
            "MESOS_HTTP_COMMAND_EXECUTOR",
            "MESOS_SLAVE_ID",
            "MESOS_SLAVE_PID",
            "MYVAR",
            "PATH",
        ]
    );
    for (name, value) in [
        ("LIBPROCESS_PORT", "0"),
        ("MESOS_AGENT_ENDPOINT", "127.0.0.1:5051"),
        ("MESOS_SLAVE_PID", "slave(1)@127.0.0.1:5051"),
        ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "5secs"),
        ("MESOS_ALLOCATION_ROLE", "*"),
        ("MESOS_CHECKPOINT", "0"),
    ] {
        assert_eq!(config.environment[name], value);
    }
    rig.run(docker("d", 31000, ";ports:[31000-31000]"));
    rig.sandbox_made("d");
    let config = rig.configs.pop().unwrap();
    let names: Vec<&str> = config.environment.keys().map(String::as_str).collect();
    assert_eq!(names, ["MESOS_ALLOCATION_ROLE"]);
    assert_eq!(
        config.resources.mem().unwrap().to_string(),
        "32",
        "no overhead for docker"
    );
}

/// The one update that a task which cannot be ends with.
fn refused(task: v1::TaskInfo) -> String {
    let mut rig = Rig::new();
    rig.run(task);
    let seen = rig.look();
    assert_eq!(seen.lines().count(), 1, "{seen}");
    rig.ack("t");
    assert!(rig.core.state().frameworks.is_empty());
    seen
}

#[test]
fn tasks_that_cannot_be_end_at_once_with_the_remedy() {
    let said = refused(docker("t", 0, ";ports:[31000-31000]"));
    assert!(
        said.contains("TASK_ERROR") && said.contains("host port 0"),
        "{said}"
    );
    let said = refused(docker("t", 31001, ";ports:[31000-31000]"));
    assert!(
        said.contains("TASK_ERROR") && said.contains("31001"),
        "{said}"
    );
    let said = refused(v1::TaskInfo {
        command: None,
        ..task("t")
    });
    assert!(said.contains("TaskInfo.command"), "{said}");
    let said = refused(v1::TaskInfo {
        limits: [("cpus".to_owned(), v1::value::Scalar { value: -1.0 })].into(),
        ..task("t")
    });
    assert!(said.contains("limit on cpus"), "{said}");
}

#[test]
fn limits_need_their_isolator_and_include_the_overhead() {
    let limited = || v1::TaskInfo {
        limits: [
            (
                "cpus".to_owned(),
                v1::value::Scalar {
                    value: f64::INFINITY,
                },
            ),
            ("mem".to_owned(), v1::value::Scalar { value: 64.0 }),
        ]
        .into(),
        ..task("t")
    };
    let mut rig = Rig::new();
    rig.run(limited());
    rig.sandbox_made("t");
    let limits = rig.configs.pop().unwrap().limits;
    assert_eq!(limits.cpus, Some(mesos_types::LimitValue::Infinite));
    assert_eq!(
        limits.mem,
        mesos_types::Scalar::from_f64(96.0).map(mesos_types::LimitValue::Finite)
    );
    let mut rig = Rig::with(|config| config.isolation = vec!["posix/cpu".to_owned()]);
    rig.run(limited());
    assert!(rig.look().contains("TASK_DROPPED"));
}

#[test]
fn a_launch_that_fails_at_any_stage_ends_in_one_update() {
    let mut rig = Rig::new();
    rig.run(task("t"));
    rig.look();
    let failure = SandboxFailure::Directory("No such user 'x'".to_owned());
    rig.event(Event::SandboxMade(rig.container("t"), Err(failure)));
    assert_eq!(
        rig.look(),
        "update t TASK_DROPPED SOURCE_AGENT REASON_EXECUTOR_TERMINATED \"No such user 'x'\""
    );

    let mut rig = Rig::new();
    rig.run(docker("t", 31000, ";ports:[31000-31000]"));
    rig.sandbox_made("t");
    rig.look();
    let error = ContainerError::Launch {
        stage: Stage::Provision,
        message: "no image".to_owned(),
        source: None,
    };
    rig.event(Event::Launched(rig.container("t"), Err(error)));
    assert_eq!(
        rig.look(),
        "forget t\nupdate t TASK_FAILED SOURCE_AGENT REASON_CONTAINER_LAUNCH_FAILED \"Failed to launch container: stage `provision` failed: no image\""
    );
    rig.ack("t");
    assert!(rig.core.state().frameworks.is_empty());
}

#[test]
fn a_port_of_a_running_task_is_nobody_elses() {
    let mut rig = Rig::new();
    rig.running(docker("a", 31000, ";ports:[31000-31000]"));
    rig.run(docker("b", 31000, ";ports:[31000-31000]"));
    assert!(rig.look().contains("31000"), "the port is held");
    rig.ended("a", Some(0));
    rig.look();
    rig.run(docker("c", 31000, ";ports:[31000-31000]"));
    assert_eq!(rig.look(), "sandbox c");
}

#[test]
fn a_kill_is_heeded_at_every_stage() {
    let killed = "TASK_KILLED SOURCE_AGENT REASON_TASK_KILLED_DURING_LAUNCH";
    // While the sandbox is made.
    let mut rig = Rig::new();
    rig.run(task("t"));
    rig.look();
    rig.kill("t", None);
    assert!(rig.look().contains(killed));
    rig.sandbox_made("t");
    assert_eq!(rig.look(), "", "nothing is launched");
    // While the container is launched.
    let mut rig = Rig::new();
    rig.run(docker("t", 31000, ";ports:[31000-31000]"));
    rig.sandbox_made("t");
    rig.look();
    rig.kill("t", None);
    rig.kill("t", None);
    assert_eq!(rig.look(), "destroy t");
    let error = ContainerError::DestroyedWhileLaunching {
        id: rig.container("t"),
    };
    rig.event(Event::Launched(rig.container("t"), Err(error)));
    assert!(rig.look().contains(killed));
    // The container came up before it was destroyed.
    let mut rig = Rig::new();
    rig.run(docker("t", 31000, ";ports:[31000-31000]"));
    rig.sandbox_made("t");
    rig.kill("t", None);
    rig.look();
    rig.launched("t");
    assert_eq!(rig.look(), "wait t");
    rig.ended("t", Some(9));
    assert!(rig.look().contains(killed));
}

#[test]
fn a_kill_is_sigterm_and_after_the_grace_the_end() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    rig.kill("t", None);
    assert_eq!(
        rig.look(),
        "update t TASK_KILLING SOURCE_EXECUTOR\nsignal t 15"
    );
    rig.pass(Duration::from_millis(2900));
    assert_eq!(rig.look(), "");
    rig.pass(Duration::from_millis(200));
    assert_eq!(rig.look(), "destroy t");
    rig.ack("t");
    rig.ended("t", Some(9));
    assert_eq!(
        rig.look(),
        "update t TASK_KILLED SOURCE_EXECUTOR \"Command terminated with signal Killed\"\nforget t"
    );
}

#[test]
fn a_later_kill_only_shortens_the_grace() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    rig.kill("t", Some(10));
    rig.look();
    rig.pass(Duration::from_secs(4));
    rig.kill("t", Some(100));
    rig.kill("t", Some(5));
    assert_eq!(rig.look(), "", "one signal, one TASK_KILLING");
    rig.pass(Duration::from_millis(900));
    assert_eq!(rig.look(), "");
    rig.pass(Duration::from_millis(200));
    assert_eq!(rig.look(), "destroy t", "five seconds after the first kill");
}

#[test]
fn even_a_good_exit_is_killed_after_a_kill() {
    let mut rig = Rig::new();
    let mut plain = framework();
    plain.capabilities.clear();
    rig.run_for(plain, task("t"));
    rig.sandbox_made("t");
    rig.launched("t");
    rig.ack("t");
    rig.ack("t");
    rig.look();
    rig.kill("t", None);
    assert_eq!(
        rig.look(),
        "signal t 15",
        "no TASK_KILLING without the capability"
    );
    rig.ended("t", Some(0));
    assert!(rig.look().contains("TASK_KILLED"));
}

#[test]
fn a_task_may_run_for_its_max_completion_time() {
    let mut rig = Rig::new();
    rig.running(v1::TaskInfo {
        max_completion_time: Some(v1::DurationInfo {
            nanoseconds: 5_000_000_000,
        }),
        ..task("t")
    });
    rig.pass(Duration::from_secs(5));
    assert_eq!(rig.look(), "signal t 15\ndestroy t");
    rig.ended("t", Some(15));
    assert_eq!(
        rig.look(),
        "update t TASK_FAILED SOURCE_EXECUTOR REASON_MAX_COMPLETION_TIME_REACHED \"Command terminated with signal Terminated\"\nforget t"
    );
}

#[test]
fn a_limit_that_is_broken_is_the_agents_word() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    let termination = Termination {
        status: Some(9),
        limitation: Some(Limitation {
            reason: Reason::ContainerLimitationMemory,
            message: "Memory limit exceeded".to_owned(),
            resources: mesos_types::parse_resources("mem:64", "*").unwrap(),
        }),
        message: None,
    };
    rig.event(Event::Ended(rig.container("t"), Ok(Some(termination))));
    assert_eq!(
        rig.look(),
        "update t TASK_FAILED SOURCE_AGENT REASON_CONTAINER_LIMITATION_MEMORY \"Memory limit exceeded\"\nforget t"
    );
    let limitation = rig.updates.last().unwrap().limitation.clone().unwrap();
    assert_eq!(limitation.resources[0].name, "mem");
    assert!(limitation.resources[0].allocation_info.is_some());
}

#[test]
fn an_end_that_nobody_knows_is_abnormal() {
    let mut rig = Rig::new();
    rig.running(task("t"));
    rig.event(Event::Ended(rig.container("t"), Ok(None)));
    assert!(rig.look().contains(
        "TASK_FAILED SOURCE_AGENT REASON_EXECUTOR_TERMINATED \"Abnormal executor termination: unknown container\""
    ));
}

#[test]
fn updates_are_sent_again_and_more_and_more_rarely() {
    let mut rig = Rig::new();
    rig.run(task("t"));
    rig.sandbox_made("t");
    let first = rig.updates.last().unwrap().uuid.clone();
    rig.look();
    let mut pauses = Vec::new();
    let mut since = 0;
    while pauses.len() < 8 {
        rig.pass(Duration::from_secs(1));
        since += 1;
        if !rig.look().is_empty() {
            pauses.push(since);
            since = 0;
            assert_eq!(rig.updates.last().unwrap().uuid, first);
        }
        // The master is there, or the session would be given up.
        rig.master(mesos_control::v1::master_message::Body::Ping(
            Default::default(),
        ));
        rig.look();
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600]);
}

#[test]
fn the_newest_state_travels_ahead_and_wrong_acknowledgements_do_nothing() {
    let mut rig = Rig::new();
    rig.run(task("t"));
    rig.sandbox_made("t");
    rig.launched("t");
    rig.ended("t", Some(0));
    rig.look();
    rig.pass(Duration::from_secs(10));
    assert_eq!(
        rig.look(),
        "update t TASK_STARTING SOURCE_EXECUTOR latest=TASK_FINISHED"
    );
    rig.ack("t");
    assert!(rig.look().contains("TASK_RUNNING"));
    rig.updates.pop();
    rig.ack("t");
    assert_eq!(rig.look(), "", "the acknowledgement of STARTING again");
}

#[test]
fn the_same_task_sent_twice_runs_once() {
    let mut rig = Rig::new();
    rig.run(task("t"));
    rig.run(task("t"));
    assert_eq!(rig.look(), "sandbox t");
    assert_eq!(rig.core.state().frameworks[FRAMEWORK].executors.len(), 1);
}

#[test]
fn frameworks_from_before_partition_awareness_get_lost() {
    let mut rig = Rig::new();
    let mut plain = framework();
    plain.capabilities.clear();
    rig.run_for(plain, task("t"));
    let failure = SandboxFailure::Directory("no".to_owned());
    rig.event(Event::SandboxMade(rig.container("t"), Err(failure)));
    assert_eq!(rig.updates.last().unwrap().state(), TaskState::TaskLost);
    assert!(told(rig.updates.last().unwrap()).contains("REASON_EXECUTOR_TERMINATED"));
}

#[test]
fn a_full_disk_refuses_new_tasks_and_keeps_the_others() {
    let mut rig = Rig::new();
    rig.running(task("old"));
    rig.event(Event::CheckpointsStalled(true));
    rig.run(task("new"));
    assert!(rig.look().contains("TASK_DROPPED"));
    rig.event(Event::CheckpointsStalled(false));
    assert_eq!(rig.task_state("old"), Some(TaskState::TaskRunning));
}
