//! Docker tasks: the web service of the quickstart, networks, limits, what reaches the engine.

use std::fs;
use std::net::SocketAddr;

use mesos_test_support::task::Task;
use mesos_test_support::{Scheduler, TestCluster, docker, http, wait_for};
use serde_json::{Value, json};

use crate::engine_tap::EngineTap;

/// The name in `docker ps` of the container a status speaks of.
pub fn container_name(cluster: &TestCluster, status: &Value) -> String {
    let id = status["container_status"]["container_id"]["value"]
        .as_str()
        .unwrap();
    format!("{}{id}", cluster.container_prefix())
}

/// Waits until something answers 200 on a published port.
pub fn web_answers(port: u16) -> http::Response {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    wait_for("the web service answers", || {
        match http::get(address, "/") {
            Ok(response) if response.status == 200 => Ok(response),
            other => Err(format!("{other:?}")),
        }
    })
}

#[test]
fn a_web_service_answers_on_its_mapped_port() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "web");
    let port = cluster.port(0);
    scheduler.launch(vec![Task::web_service(&cluster, "web", port)]);
    let running = scheduler.wait_state("web", "TASK_RUNNING");
    assert_eq!(scheduler.states("web"), ["TASK_STARTING", "TASK_RUNNING"]);
    let page = web_answers(port);
    assert!(page.text().contains("Directory listing"), "{}", page.text());

    let name = container_name(&cluster, &running);
    assert_eq!(
        docker::running_containers(&cluster.container_prefix()),
        [name.as_str()]
    );
    assert!(
        running["data"].is_string(),
        "TASK_RUNNING carries what docker inspect says"
    );
    let address = &running["container_status"]["network_infos"][0]["ip_addresses"][0]["ip_address"];
    let inspected = docker::inspect(&name);
    let networks = inspected["NetworkSettings"]["Networks"]
        .as_object()
        .unwrap();
    assert!(
        networks
            .values()
            .any(|network| network["IPAddress"] == *address),
        "{address} {networks:?}"
    );

    let sandbox = cluster.sandbox(scheduler.id(), "web");
    let mounts = inspected["Mounts"].as_array().unwrap();
    let real = fs::canonicalize(&sandbox).unwrap();
    assert!(
        mounts
            .iter()
            .any(|m| m["Destination"] == "/mnt/mesos/sandbox"
                && m["Source"]
                    .as_str()
                    .is_some_and(|source| fs::canonicalize(source).is_ok_and(|path| path == real))),
        "{mounts:?}"
    );
    wait_for("the server's log is in the sandbox", || {
        let stderr = fs::read_to_string(sandbox.join("stderr")).unwrap_or_default();
        if stderr.contains("GET / HTTP/1.1") {
            Ok(())
        } else {
            Err(stderr)
        }
    });
    assert!(sandbox.join("stdout").exists());

    scheduler.kill("web");
    let end = scheduler.wait_end("web");
    assert_eq!(end["state"], "TASK_KILLED", "{end:#}");
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn an_exit_status_is_told_and_output_is_whole() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "docker-exits");
    let image = docker::python_image();
    let script =
        "i=0; while [ $i -lt 500 ]; do echo line $i; echo error $i >&2; i=$((i+1)); done; exit 4";
    scheduler.launch(vec![
        Task::new("four").docker(image).shell(script),
        Task::new("zero").docker(image).shell("exit 0"),
    ]);
    let four = scheduler.wait_end("four");
    assert_eq!(four["state"], "TASK_FAILED", "{four:#}");
    assert_eq!(four["message"], "Container exited with status 4");
    assert_eq!(scheduler.wait_end("zero")["state"], "TASK_FINISHED");
    let sandbox = cluster.sandbox(scheduler.id(), "four");
    for (file, word) in [("stdout", "line"), ("stderr", "error")] {
        let expected: Vec<String> = (0..500).map(|i| format!("{word} {i}")).collect();
        wait_for("all output is in the sandbox, once", || {
            let text = fs::read_to_string(sandbox.join(file)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(word)).collect();
            if lines == expected {
                Ok(())
            } else {
                Err(lines.len())
            }
        });
    }
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn limits_environment_and_parameters_reach_the_engine() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "docker-options");
    let command = json!({
        "value": "sleep 1000",
        "shell": true,
        "environment": {"variables": [{"name": "MINE", "value": "1"}]},
    });
    let parameters = json!([{"key": "label", "value": "com.example.who=me"}, {"key": "hostname", "value": "inside"}]);
    scheduler.launch(vec![
        Task::new("options")
            .docker(docker::python_image())
            .docker_field("parameters", parameters)
            .field("command", command)
            .needs(0.25, 48.0, &[]),
    ]);
    let running = scheduler.wait_state("options", "TASK_RUNNING");
    let name = container_name(&cluster, &running);
    let inspected = docker::inspect(&name);
    assert_eq!(inspected["HostConfig"]["NetworkMode"], "host");
    assert_eq!(inspected["HostConfig"]["CpuShares"], 256);
    assert_eq!(inspected["HostConfig"]["Memory"], 48 << 20);
    assert_eq!(inspected["Config"]["Labels"]["com.example.who"], "me");
    assert_eq!(inspected["Config"]["Hostname"], "inside");
    let env: Vec<&str> = inspected["Config"]["Env"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(env.contains(&"MINE=1"), "{env:?}");
    assert!(env.contains(&"MESOS_SANDBOX=/mnt/mesos/sandbox"), "{env:?}");
    assert!(
        env.contains(&format!("MESOS_CONTAINER_NAME={name}").as_str()),
        "{env:?}"
    );
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn a_container_without_network_has_only_its_loopback() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "docker-none");
    scheduler.launch(vec![
        Task::new("none")
            .docker(docker::python_image())
            .docker_field("network", "NONE".into())
            .shell("ls /sys/class/net"),
    ]);
    assert_eq!(scheduler.wait_end("none")["state"], "TASK_FINISHED");
    let stdout = cluster.sandbox(scheduler.id(), "none").join("stdout");
    wait_for("the output is in the sandbox", || {
        let text = fs::read_to_string(&stdout).unwrap_or_default();
        if text.lines().any(|line| line == "lo") && !text.contains("eth0") {
            Ok(())
        } else {
            Err(text)
        }
    });
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn privileged_is_asked_for_and_a_refusal_of_the_kernel_is_told() {
    let tap = EngineTap::start(&docker::socket());
    let flag = format!("--docker_socket={}", tap.socket().display());
    let cluster = TestCluster::builder().agent(&[&flag]).start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "privileged");
    scheduler.launch(vec![
        Task::new("privileged")
            .docker(docker::python_image())
            .docker_field("privileged", true.into())
            .shell("exit 0"),
    ]);
    let end = scheduler.wait_end("privileged");
    assert!(
        tap.sent().contains("\"Privileged\":true"),
        "what was sent: {}",
        tap.sent()
    );
    // A kernel that grants it runs the task; one that lacks a capability refuses the start.
    if end["state"] != "TASK_FINISHED" {
        assert_eq!(end["state"], "TASK_FAILED", "{end:#}");
        let message = end["message"].as_str().unwrap().to_lowercase();
        assert!(
            message.contains("cap"),
            "the refusal names the capability: {message}"
        );
    }
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn a_killed_container_outside_of_the_agent_is_noticed() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "docker-outside");
    scheduler.launch(vec![
        Task::new("outside")
            .docker(docker::python_image())
            .shell("sleep 1000"),
    ]);
    let running = scheduler.wait_state("outside", "TASK_RUNNING");
    docker::run(&["kill", &container_name(&cluster, &running)]);
    let end = scheduler.wait_end("outside");
    assert_eq!(end["state"], "TASK_FAILED", "{end:#}");
    scheduler.teardown();
    cluster.finish();
}
