//! Command tasks in the mesos containerizer: states, sandbox, environment, kill, isolation.

use std::fs;

use mesos_test_support::task::Task;
use mesos_test_support::{Scheduler, TestCluster, machine, wait_for};
use serde_json::json;

#[test]
fn a_command_runs_and_finishes_and_nothing_is_left() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "finish");
    scheduler.launch(vec![Task::new("finish").shell("echo out; echo err >&2")]);
    let starting = scheduler.wait_state("finish", "TASK_STARTING");
    let running = scheduler.wait_state("finish", "TASK_RUNNING");
    let finished = scheduler.wait_end("finish");

    for status in [&starting, &running, &finished] {
        assert_eq!(status["source"], "SOURCE_EXECUTOR", "{status:#}");
        assert_eq!(status["executor_id"]["value"], "finish");
        assert_eq!(status["agent_id"]["value"], cluster.agent_id());
        assert!(status["uuid"].is_string());
        assert!(status["container_status"]["container_id"]["value"].is_string());
    }
    assert_eq!(finished["state"], "TASK_FINISHED");
    assert_eq!(finished["message"], "Command exited with status 0");
    assert_eq!(
        scheduler.states("finish"),
        ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]
    );

    let sandbox = cluster.sandbox(scheduler.id(), "finish");
    assert!(
        fs::read_to_string(sandbox.join("stdout"))
            .unwrap()
            .contains("out\n")
    );
    assert!(
        fs::read_to_string(sandbox.join("stderr"))
            .unwrap()
            .contains("err\n")
    );
    let container = finished["container_status"]["container_id"]["value"]
        .as_str()
        .unwrap();
    assert_eq!(
        fs::read_link(&sandbox).unwrap().file_name().unwrap(),
        container
    );

    scheduler.teardown();
    cluster.finish();
}

#[test]
fn an_exit_status_and_a_signal_are_told() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "exits");
    scheduler.launch(vec![
        Task::new("three").shell("exit 3"),
        Task::new("signal").shell("kill -9 $$"),
    ]);
    for (task, message) in [
        ("three", "Command exited with status 3"),
        ("signal", "Command terminated with signal Killed"),
    ] {
        let status = scheduler.wait_end(task);
        assert_eq!(status["state"], "TASK_FAILED", "{status:#}");
        assert_eq!(status["message"], message);
        assert!(status["reason"].is_null(), "{status:#}");
    }
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn arguments_go_to_the_program_without_a_shell() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "arguments");
    scheduler.launch(vec![
        Task::new("printf").program("/usr/bin/printf", &["printf", "%s|", "a b", "$HOME"]),
    ]);
    assert_eq!(scheduler.wait_end("printf")["state"], "TASK_FINISHED");
    let stdout = cluster.sandbox(scheduler.id(), "printf").join("stdout");
    assert!(fs::read_to_string(stdout).unwrap().contains("a b|$HOME|"));
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn the_environment_is_the_tasks_own() {
    let cluster = TestCluster::builder()
        .env("LEAKED_FROM_AGENT", "yes")
        .agent(&[])
        .start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "environment");
    let mut command = json!({"value": "env; pwd", "shell": true});
    command["environment"] =
        json!({"variables": [{"name": "MINE", "type": "VALUE", "value": "a=b c"}]});
    scheduler.launch(vec![Task::new("env").field("command", command)]);
    assert_eq!(scheduler.wait_end("env")["state"], "TASK_FINISHED");
    let sandbox = cluster.sandbox(scheduler.id(), "env");
    let printed = fs::read_to_string(sandbox.join("stdout")).unwrap();
    let has = |line: &str| printed.lines().any(|found| found == line);
    let directory = fs::canonicalize(&sandbox).unwrap().display().to_string();
    assert!(has("MINE=a=b c"), "{printed}");
    assert!(has(&format!("MESOS_SANDBOX={directory}")), "{printed}");
    assert!(has(&directory), "the task starts in its sandbox: {printed}");
    assert!(!printed.contains("LEAKED_FROM_AGENT"), "{printed}");
    assert!(
        !printed.lines().any(|line| line.starts_with("HOME=")),
        "{printed}"
    );
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn a_kill_ends_a_task_that_listens_and_one_that_does_not() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "kill");
    let grace = json!({"grace_period": {"nanoseconds": 500_000_000_u64}});
    scheduler.launch(vec![
        Task::new("listens")
            .shell("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done"),
        Task::new("ignores")
            .shell("trap '' TERM; echo ready; while :; do sleep 0.1; done")
            .field("kill_policy", grace),
    ]);
    for task in ["listens", "ignores"] {
        scheduler.wait_state(task, "TASK_RUNNING");
        let stdout = cluster.sandbox(scheduler.id(), task).join("stdout");
        wait_for("the task has set its trap", || {
            let text = fs::read_to_string(&stdout).unwrap_or_default();
            if text.contains("ready") {
                Ok(())
            } else {
                Err(text)
            }
        });
        scheduler.kill(task);
        let status = scheduler.wait_end(task);
        assert_eq!(status["state"], "TASK_KILLED", "{status:#}");
        assert!(
            scheduler.states(task).contains(&"TASK_KILLING".to_owned()),
            "{:?}",
            scheduler.states(task)
        );
    }
    let stdout = cluster.sandbox(scheduler.id(), "listens").join("stdout");
    assert!(fs::read_to_string(stdout).unwrap().contains("bye"));
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn children_that_a_task_leaves_end_with_it() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "children");
    let command = format!("setsid sleep 98765 & echo {}; sleep 0.2", cluster.mark());
    scheduler.launch(vec![Task::new("parent").shell(&command)]);
    assert_eq!(scheduler.wait_end("parent")["state"], "TASK_FINISHED");
    wait_for("the child is gone", || {
        let left = machine::processes_marked(cluster.mark());
        let left: Vec<_> = left
            .into_iter()
            .filter(|process| process.command == "sleep 98765")
            .collect();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn a_task_sees_its_own_pid_namespace_and_cgroups_with_its_limits() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "isolation");
    scheduler.launch(vec![
        Task::new("look")
            .shell("ls /proc | grep -c '^[0-9]'; cat /proc/self/cgroup; sleep 1000")
            .needs(0.5, 64.0, &[]),
    ]);
    let running = scheduler.wait_state("look", "TASK_RUNNING");
    let container = running["container_status"]["container_id"]["value"]
        .as_str()
        .unwrap();
    let stdout = cluster.sandbox(scheduler.id(), "look").join("stdout");
    let printed = wait_for("the task has looked", || {
        let text = fs::read_to_string(&stdout).unwrap_or_default();
        if text.contains("memory") {
            Ok(text)
        } else {
            Err(text)
        }
    });
    let processes = printed
        .lines()
        .find_map(|line| line.parse::<u32>().ok())
        .unwrap();
    assert!(
        processes < 10,
        "in a pid namespace of its own few processes are seen: {printed}"
    );
    assert!(
        printed.contains(container),
        "its cgroup carries the container's id: {printed}"
    );
    let groups = machine::cgroups_marked(container);
    let read = |file: &str| {
        groups
            .iter()
            .find_map(|group| fs::read_to_string(group.join(file)).ok())
    };
    // The task's 64 MB and the 32 MB that Mesos adds for its executor.
    let limit = read("memory.limit_in_bytes")
        .or_else(|| read("memory.max"))
        .unwrap();
    assert_eq!(limit.trim(), (96 << 20).to_string());
    if let Some(shares) = read("cpu.shares") {
        // 1024 for each of the 0.5 + 0.1 cpus.
        assert_eq!(shares.trim(), "614");
    }
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn tasks_of_one_offer_share_it_and_the_rest_is_offered_again() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "many");
    let tasks: Vec<Task> = (0..8)
        .map(|n| {
            Task::new(&format!("t{n}"))
                .shell("exit 0")
                .needs(0.1, 16.0, &[])
        })
        .collect();
    scheduler.launch(tasks);
    for n in 0..8 {
        assert_eq!(
            scheduler.wait_end(&format!("t{n}"))["state"],
            "TASK_FINISHED"
        );
    }
    let offer = wait_for("all four cpus are offered again", || {
        let offer = scheduler.offer();
        let cpus = offer["resources"]
            .as_array()
            .unwrap()
            .iter()
            .find(|r| r["name"] == "cpus")
            .cloned()
            .unwrap();
        if cpus["scalar"]["value"] == 4.0 {
            Ok(offer)
        } else {
            scheduler.decline(&offer, 0.0);
            Err(cpus)
        }
    });
    assert_eq!(offer["agent_id"]["value"], cluster.agent_id());
    scheduler.teardown();
    cluster.finish();
}
