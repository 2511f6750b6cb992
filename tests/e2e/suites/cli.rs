//! The command line: runs a task, shows what runs, says what is wrong.

use std::fs::File;
use std::process::{Command, Output, Stdio};

use mesos_test_support::{TestCluster, docker, executables, wait_for};
use serde_json::Value;

use crate::docker_tasks::web_answers;

fn mesos(arguments: &[&str]) -> Output {
    let mut command = Command::new(executables::binary("mesos"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("MESOS_MASTER")
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn master(cluster: &TestCluster) -> String {
    format!("--master={}", cluster.master())
}

#[test]
fn execute_follows_the_task_and_its_status() {
    let cluster = TestCluster::start();
    let at = master(&cluster);
    let small = "--resources=cpus:0.1;mem:32";
    let fine = mesos(&[
        "execute",
        &at,
        "--name=fine",
        "--command=echo hidden; exit 0",
        small,
    ]);
    assert!(fine.status.success(), "{}", text(&fine));
    assert!(text(&fine).contains("TASK_FINISHED"), "{}", text(&fine));
    assert!(
        !text(&fine).lines().any(|line| line == "hidden"),
        "output is not streamed unasked: {}",
        text(&fine)
    );
    let bad = mesos(&["execute", &at, "--name=bad", "--command=exit 3", small]);
    assert!(!bad.status.success(), "{}", text(&bad));
    assert!(
        text(&bad).contains("TASK_FAILED") && text(&bad).contains("status 3"),
        "{}",
        text(&bad)
    );
    cluster.finish();
}

#[test]
fn execute_is_stopped_by_sigterm_and_takes_the_task_with_it() {
    let cluster = TestCluster::start();
    let log = File::create(cluster.dir().join("execute.log")).unwrap();
    let mut child = Command::new(executables::binary("mesos"))
        .args([
            "execute",
            &master(&cluster),
            "--name=long",
            "--command=sleep 1000",
            "--resources=cpus:0.1;mem:32",
        ])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    wait_for("the task runs", || {
        let tasks = mesos(&["task", "list", &master(&cluster), "--json"]);
        if text(&tasks).contains("TASK_RUNNING") {
            Ok(())
        } else {
            Err(text(&tasks))
        }
    });
    let table = text(&mesos(&["task", "list", &master(&cluster)]));
    assert!(table.contains("long"), "{table}");
    let kill = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(kill.success());
    let status = child.wait().unwrap();
    assert!(
        !status.success(),
        "a task that was cut short is no success: {status}"
    );
    cluster.finish();
}

#[test]
fn docker_execute_publishes_a_port() {
    let cluster = TestCluster::start();
    docker::python_image();
    let port = cluster.port(0);
    let log = File::create(cluster.dir().join("execute.log")).unwrap();
    let mut child = Command::new(executables::binary("mesos"))
        .args([
            "execute",
            &master(&cluster),
            "--name=web",
            "--docker_image=python:3",
            "--containerizer=docker",
            "--networks=bridge",
            &format!("--port_mappings={port}:8080"),
            "--command=python3 -m http.server 8080",
            &format!("--resources=cpus:0.5;mem:64;ports:[{port}-{port}]"),
        ])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    web_answers(port);
    assert_eq!(
        docker::running_containers(&cluster.container_prefix()).len(),
        1
    );
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    child.wait().unwrap();
    cluster.finish();
}

#[test]
fn lists_come_as_tables_and_as_json() {
    let cluster = TestCluster::start();
    let at = master(&cluster);
    for what in ["agent", "framework", "task"] {
        let table = mesos(&[what, "list", &at]);
        assert!(table.status.success(), "{}", text(&table));
        let json = mesos(&[what, "list", &at, "--json"]);
        assert!(json.status.success(), "{}", text(&json));
        serde_json::from_slice::<Value>(&json.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", text(&json)));
    }
    let agents = text(&mesos(&["agent", "list", &at]));
    assert!(agents.contains(cluster.agent_id()), "{agents}");
    cluster.finish();
}

#[test]
fn the_log_of_a_task_is_shown() {
    let cluster = TestCluster::start();
    let at = master(&cluster);
    let done = mesos(&[
        "execute",
        &at,
        "--name=talks",
        "--command=echo one; echo two >&2",
        "--resources=cpus:0.1;mem:32",
    ]);
    assert!(done.status.success(), "{}", text(&done));
    let list = mesos(&["task", "list", &at, "--all", "--json"]);
    let json: Value = serde_json::from_slice(&list.stdout).unwrap();
    let id = find_id(&json).unwrap_or_else(|| panic!("no task in {json}"));
    let log = mesos(&["task", "log", &at, &id]);
    assert!(
        String::from_utf8_lossy(&log.stdout)
            .lines()
            .any(|line| line == "one"),
        "{}",
        text(&log)
    );
    cluster.finish();
}

/// The first task id in any JSON that lists tasks.
fn find_id(json: &Value) -> Option<String> {
    match json {
        Value::Object(fields) => {
            let id = fields.get("task_id").and_then(|id| id["value"].as_str());
            id.map(str::to_owned)
                .or_else(|| fields.values().find_map(find_id))
        }
        Value::Array(items) => items.iter().find_map(find_id),
        _ => None,
    }
}

#[test]
fn a_master_that_is_not_there_is_named() {
    // Port 9 of this address: nobody listens there.
    for arguments in [
        &["task", "list", "--master=127.0.0.1:9"][..],
        &[
            "execute",
            "--master=127.0.0.1:9",
            "--name=x",
            "--command=true",
            "--failover_timeout=1secs",
        ][..],
    ] {
        let output = mesos(arguments);
        assert!(!output.status.success());
        let said = text(&output);
        assert!(
            said.contains("no master") && said.contains("127.0.0.1:9"),
            "{said}"
        );
    }
}

#[test]
fn a_wrong_flag_is_named() {
    let output = mesos(&[
        "execute",
        "--name=x",
        "--command=true",
        "--port_mappings=nonsense",
        "--docker_image=python:3",
    ]);
    assert!(!output.status.success());
    assert!(text(&output).contains("nonsense"), "{}", text(&output));
}
