//! `kill -9` of either daemon while tasks of both containerizers run: nothing notices.

use std::fs;
use std::time::Duration;

use mesos_test_support::machine::{self, Process};
use mesos_test_support::task::Task;
use mesos_test_support::{Scheduler, TestCluster, docker, wait_for};
use serde_json::Value;

use crate::docker_tasks::{container_name, web_answers};

/// A docker web service and a command task, both running.
struct Two {
    cluster: TestCluster,
    scheduler: Scheduler,
    docker: Process,
    container: String,
    command: Process,
}

impl Two {
    fn start(name: &str) -> Self {
        let cluster = TestCluster::start();
        let mut scheduler = Scheduler::subscribe(cluster.master(), name);
        // A command line that no other test has.
        let marked = format!(
            "sleep 9{:05}{}",
            std::process::id() % 100_000,
            cluster.port(0)
        );
        let offer = scheduler.offer();
        scheduler.launch_on(
            &offer,
            vec![
                Task::web_service(&cluster, "docker", cluster.port(0)),
                Task::new("command").program(
                    "/bin/sleep",
                    &["sleep", marked.trim_start_matches("sleep ")],
                ),
            ],
        );
        let running = scheduler.wait_state("docker", "TASK_RUNNING");
        scheduler.wait_state("command", "TASK_RUNNING");
        let container = container_name(&cluster, &running);
        let pid = docker::inspect(&container)["State"]["Pid"]
            .as_i64()
            .unwrap();
        let docker = Process::of(i32::try_from(pid).unwrap()).expect("the container runs");
        let command = wait_for("the command's process", || {
            let mut found = machine::running(&marked);
            if found.len() == 1 {
                Ok(found.remove(0))
            } else {
                Err(found)
            }
        });
        web_answers(cluster.port(0));
        Self {
            cluster,
            scheduler,
            docker,
            container,
            command,
        }
    }

    fn both_run_on(&self) {
        assert!(
            self.docker.is_alive(),
            "the docker task has another pid or is gone"
        );
        assert!(
            self.command.is_alive(),
            "the command task has another pid or is gone"
        );
        let pid = docker::inspect(&self.container)["State"]["Pid"]
            .as_i64()
            .unwrap();
        assert_eq!(pid, i64::from(self.docker.pid));
        web_answers(self.cluster.port(0));
    }

    /// The agent knows both again, as running, by their old ids.
    fn agent_knows_both(&self) {
        wait_for("the agent shows both tasks running", || {
            let state = self.cluster.agent_state();
            let mut running: Vec<&str> = state["frameworks"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|framework| framework["executors"].as_array().into_iter().flatten())
                .flat_map(|executor| executor["tasks"].as_array().into_iter().flatten())
                .filter(|task| task["state"] == "TASK_RUNNING")
                .filter_map(|task| task["id"].as_str())
                .collect();
            running.sort_unstable();
            if running == ["command", "docker"] {
                Ok(())
            } else {
                Err(state["frameworks"].clone())
            }
        });
        assert_eq!(self.cluster.agent_state()["id"], self.cluster.agent_id());
    }

    fn reconcile(&mut self) {
        self.scheduler.reconcile(&[]);
        for task in ["command", "docker"] {
            let status = self
                .scheduler
                .find("the answer to a reconciliation", |event| {
                    let status = &event["update"]["status"];
                    let fits = status["task_id"]["value"] == task
                        && status["reason"] == "REASON_RECONCILIATION";
                    fits.then(|| status.clone())
                });
            assert_eq!(status["state"], "TASK_RUNNING", "{status:#}");
        }
    }

    fn end(mut self) {
        for task in ["command", "docker"] {
            self.scheduler.kill(task);
            let end = self.scheduler.wait_end(task);
            assert_eq!(end["state"], "TASK_KILLED", "{end:#}");
            if task == "command" {
                // The signal reaches containers that were taken back, long before the grace is over.
                let message = end["message"].as_str().unwrap_or_default();
                assert!(message.ends_with("signal Terminated"), "{end:#}");
            }
        }
        self.scheduler.teardown();
        self.cluster.finish();
    }
}

#[test]
fn docker_tasks_and_commands_outlive_the_agent() {
    let mut two = Two::start("agent-killed");
    two.cluster.kill_9_agent();
    two.both_run_on();
    two.cluster.restart_agent();
    two.agent_knows_both();
    two.scheduler.nothing_ends_for(Duration::from_secs(3));
    two.both_run_on();
    two.reconcile();
    two.end();
}

#[test]
fn docker_tasks_and_commands_outlive_the_master() {
    let mut two = Two::start("master-killed");
    let framework = two.scheduler.id().to_owned();
    two.cluster.kill_9_master();
    two.both_run_on();
    two.cluster.restart_master();
    two.scheduler.resubscribe();
    assert_eq!(two.scheduler.id(), framework);
    let agent = two.cluster.wait_for_agent();
    assert_eq!(agent, two.cluster.agent_id(), "the agent keeps its id");
    two.scheduler.nothing_ends_for(Duration::from_secs(3));
    two.both_run_on();
    two.agent_knows_both();
    two.reconcile();
    two.end();
}

#[test]
fn docker_tasks_and_commands_outlive_both_daemons_at_once() {
    let mut two = Two::start("both-killed");
    two.cluster.kill_9_master();
    two.cluster.kill_9_agent();
    two.both_run_on();
    two.cluster.restart_master();
    two.cluster.restart_agent();
    two.scheduler.resubscribe();
    two.scheduler.nothing_ends_for(Duration::from_secs(3));
    two.agent_knows_both();
    two.both_run_on();
    two.reconcile();
    two.end();
}

#[test]
fn an_exit_while_the_agent_is_away_is_told_afterwards() {
    let mut cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "exit-meanwhile");
    let go = cluster.dir().join("go");
    let command = format!(
        "while [ ! -e {} ]; do sleep 0.05; done; echo done; exit 7",
        go.display()
    );
    scheduler.launch(vec![Task::new("command").shell(&command)]);
    scheduler.wait_state("command", "TASK_RUNNING");
    cluster.kill_9_agent();
    fs::write(&go, "").unwrap();
    let stdout = cluster.sandbox(scheduler.id(), "command").join("stdout");
    wait_for("the command is at its end", || {
        let text = fs::read_to_string(&stdout).unwrap_or_default();
        if text.contains("done") {
            Ok(())
        } else {
            Err(text)
        }
    });
    cluster.restart_agent();
    let end = scheduler.wait_end("command");
    assert_eq!(end["state"], "TASK_FAILED", "{end:#}");
    assert_eq!(end["message"], "Command exited with status 7");
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn docker_output_and_exit_while_the_agent_is_away_are_told_afterwards() {
    let mut cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "docker-meanwhile");
    let script = "i=0; while [ $i -lt 40 ]; do echo line $i; sleep 0.1; i=$((i+1)); done; exit 5";
    scheduler.launch(vec![
        Task::new("docker")
            .docker(docker::python_image())
            .shell(script),
    ]);
    let running = scheduler.wait_state("docker", "TASK_RUNNING");
    let container = container_name(&cluster, &running);
    cluster.kill_9_agent();
    wait_for("the container has ended", || {
        let state = docker::inspect(&container)["State"].clone();
        if state["Running"] == false {
            Ok(())
        } else {
            Err(state)
        }
    });
    cluster.restart_agent();
    let end = scheduler.wait_end("docker");
    assert_eq!(
        (&end["state"], &end["message"]),
        (
            &Value::from("TASK_FAILED"),
            &Value::from("Container exited with status 5")
        )
    );
    let stdout = cluster.sandbox(scheduler.id(), "docker").join("stdout");
    let expected: Vec<String> = (0..40).map(|i| format!("line {i}")).collect();
    wait_for("no line is missing or doubled", || {
        let text = fs::read_to_string(&stdout).unwrap_or_default();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("line "))
            .collect();
        if lines == expected { Ok(()) } else { Err(text) }
    });
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn an_update_nobody_acknowledged_comes_again_after_the_agent_was_killed() {
    let mut cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "unacknowledged");
    scheduler.launch(vec![Task::new("once").shell("exit 0")]);
    scheduler.acknowledge_nothing();
    let first = scheduler.status("once");
    assert_eq!(first["state"], "TASK_STARTING");
    cluster.kill_9_agent();
    cluster.restart_agent();
    let again = scheduler.status("once");
    assert_eq!(
        again["uuid"], first["uuid"],
        "the next one waits for the acknowledgement: {again:#}"
    );
    scheduler.acknowledge_all();
    scheduler.acknowledge(&again);
    let end = scheduler.wait_end("once");
    assert_eq!(end["state"], "TASK_FINISHED", "{end:#}");
    scheduler.teardown();
    cluster.finish();
}
