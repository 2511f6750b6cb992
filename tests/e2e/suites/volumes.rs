//! Persistent volumes: what a task writes is there for the next one, until the volume is destroyed.

use std::fs;
use std::path::PathBuf;

use mesos_test_support::task::Task;
use mesos_test_support::{Scheduler, TestCluster, docker, http, wait_for};
use serde_json::{Value, json};

/// A framework of role `dev` that knows all about reservations.
fn info(name: &str) -> Value {
    json!({
        "user": "root",
        "name": name,
        "roles": ["dev"],
        "principal": "p",
        "checkpoint": true,
        "failover_timeout": 120.0,
        "capabilities": [
            {"type": "MULTI_ROLE"},
            {"type": "PARTITION_AWARE"},
            {"type": "RESERVATION_REFINEMENT"},
            {"type": "SHARED_RESOURCES"},
        ],
    })
}

fn reserved(mib: f64) -> Value {
    json!({
        "name": "disk",
        "type": "SCALAR",
        "scalar": {"value": mib},
        "reservations": [{"type": "DYNAMIC", "role": "dev", "principal": "p"}],
    })
}

/// A volume `id` of 64 MB, seen at `data`.
fn volume(id: &str, shared: bool) -> Value {
    let mut volume = reserved(64.0);
    volume["disk"] = json!({
        "persistence": {"id": id, "principal": "p"},
        "volume": {"container_path": "data", "mode": "RW"},
    });
    if shared {
        volume["shared"] = json!({});
    }
    volume
}

fn directory(cluster: &TestCluster, id: &str) -> PathBuf {
    cluster.work_dir().join("volumes/roles/dev").join(id)
}

fn has_volume(offer: &Value, id: &str) -> bool {
    let all = offer["resources"].as_array().into_iter().flatten();
    all.filter(|resource| resource["disk"]["persistence"]["id"] == id)
        .count()
        == 1
}

fn cpus(offer: &Value) -> f64 {
    let all = offer["resources"].as_array().into_iter().flatten();
    all.filter(|resource| resource["name"] == "cpus")
        .filter_map(|resource| resource["scalar"]["value"].as_f64())
        .sum()
}

/// An offer that fits; others are given back.
fn offer(scheduler: &mut Scheduler, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, || {
        let offer = scheduler.offer();
        if fits(&offer) {
            return Ok(offer);
        }
        scheduler.decline(&offer, 0.0);
        Err(offer["resources"].clone())
    })
}

/// Waits for the end of an operation, and acknowledges it.
fn finished(scheduler: &mut Scheduler, operation: &str) {
    let status = scheduler.find(&format!("the end of {operation}"), |event| {
        let status = &event["update_operation_status"]["status"];
        (status["operation_id"]["value"] == operation).then(|| status.clone())
    });
    assert_eq!(status["state"], "OPERATION_FINISHED", "{status:#}");
    scheduler.call(json!({
        "type": "ACKNOWLEDGE_OPERATION_STATUS",
        "acknowledge_operation_status": {
            "agent_id": status["agent_id"],
            "uuid": status["uuid"]["value"],
            "operation_id": status["operation_id"],
        },
    }));
}

fn make(scheduler: &mut Scheduler, volume: &Value) {
    let offer = offer(scheduler, "an offer with disk", |_| true);
    scheduler.accept(
        &offer,
        json!([
            {"type": "RESERVE", "id": {"value": "reserve"}, "reserve": {"resources": [reserved(64.0)]}},
            {"type": "CREATE", "id": {"value": "create"}, "create": {"volumes": [volume]}},
        ]),
    );
    finished(scheduler, "reserve");
    finished(scheduler, "create");
}

fn remove(scheduler: &mut Scheduler, id: &str, volume: &Value) {
    let offer = offer(scheduler, "an offer with the volume", |offer| {
        has_volume(offer, id)
    });
    scheduler.accept(
        &offer,
        json!([
            {"type": "DESTROY", "id": {"value": "destroy"}, "destroy": {"volumes": [volume]}},
            {"type": "UNRESERVE", "id": {"value": "unreserve"}, "unreserve": {"resources": [reserved(64.0)]}},
        ]),
    );
    finished(scheduler, "destroy");
    finished(scheduler, "unreserve");
}

/// A task on that volume.
fn on(volume: &Value, id: &str, command: &str, image: Option<&str>) -> Task {
    let mut resources = mesos_test_support::task::resources(0.1, 32.0, &[]);
    if let Some(all) = resources.as_array_mut() {
        all.push(volume.clone());
    }
    let task = Task::new(id).shell(command).field("resources", resources);
    match image {
        Some(image) => task.docker(image),
        None => task,
    }
}

/// Runs a task on the volume to its end; what it wrote to its output.
fn run(
    cluster: &TestCluster,
    scheduler: &mut Scheduler,
    volume: &Value,
    (id, command): (&str, &str),
    image: Option<&str>,
) -> String {
    let name = volume["disk"]["persistence"]["id"].as_str().unwrap();
    let offer = offer(scheduler, "an offer with the volume", |offer| {
        has_volume(offer, name) && cpus(offer) >= 0.1
    });
    scheduler.launch_on(&offer, vec![on(volume, id, command, image)]);
    let end = scheduler.wait_end(id);
    assert_eq!(end["state"], "TASK_FINISHED", "{end:#}");
    let stdout = cluster.sandbox(scheduler.id(), id).join("stdout");
    wait_for("the output is copied", || {
        let text = fs::read_to_string(&stdout).unwrap_or_default();
        if text.contains("done") {
            Ok(text)
        } else {
            Err(text)
        }
    })
}

fn outlives_everything(name: &str, image: Option<&str>) {
    let mut cluster = TestCluster::builder()
        .agent(&[
            "--gc_delay=2secs",
            "--disk_watch_interval=1secs",
            "--gc_disk_headroom=0",
        ])
        .start();
    let mut scheduler = Scheduler::subscribe_with(cluster.master(), info(name));
    let held = volume("v", false);
    make(&mut scheduler, &held);
    let path = directory(&cluster, "v");
    assert!(path.is_dir());
    let reserved = &cluster.agent_state()["reserved_resources_full"]["dev"][0];
    assert_eq!(reserved["disk"]["persistence"]["id"], "v", "{reserved:#}");
    let write = "echo kept > $MESOS_SANDBOX/data/file && echo done";
    run(&cluster, &mut scheduler, &held, ("writer", write), image);
    let read = "cat $MESOS_SANDBOX/data/file && echo done";
    let text = run(&cluster, &mut scheduler, &held, ("reader", read), image);
    assert!(text.contains("kept"), "{text}");

    cluster.kill_9_agent();
    assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "kept\n");
    cluster.restart_agent();
    // Offers of before are gone.
    scheduler.resubscribe();
    let text = run(&cluster, &mut scheduler, &held, ("again", read), image);
    assert!(text.contains("kept"), "{text}");

    let writer = cluster
        .work_dir()
        .join("slaves")
        .join(cluster.agent_id())
        .join("frameworks")
        .join(scheduler.id())
        .join("executors/writer");
    wait_for("the sandbox is collected", || {
        if writer.exists() {
            Err(&writer)
        } else {
            Ok(())
        }
    });
    assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "kept\n");

    remove(&mut scheduler, "v", &held);
    assert!(!path.exists());
    let plain = offer(&mut scheduler, "an offer of plain disk", |offer| {
        let all = offer["resources"].as_array().into_iter().flatten();
        all.filter(|resource| resource["name"] == "disk")
            .all(|resource| resource["scalar"]["value"] == 8192.0)
    });
    scheduler.decline(&plain, 0.0);
    assert_eq!(cluster.agent_state()["reserved_resources"], json!({}));
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn a_volume_outlives_tasks_agents_and_collection() {
    outlives_everything("volume", None);
}

#[test]
fn docker_a_volume_outlives_tasks_agents_and_collection() {
    outlives_everything("volume-docker", Some(docker::python_image()));
}

#[test]
fn a_shared_volume_is_used_by_two_tasks_at_once() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe_with(cluster.master(), info("shared"));
    let held = volume("s", true);
    make(&mut scheduler, &held);
    // Each waits for what the other one writes.
    let command = |own: &str, other: &str| {
        format!(
            "echo {own} > data/{own}; until [ -e data/{other} ]; do sleep 0.05; done; echo done"
        )
    };
    for (own, other) in [("one", "two"), ("two", "one")] {
        let offer = offer(&mut scheduler, "an offer with the volume", |offer| {
            has_volume(offer, "s") && cpus(offer) >= 0.1
        });
        scheduler.launch_on(&offer, vec![on(&held, own, &command(own, other), None)]);
    }
    for task in ["one", "two"] {
        assert_eq!(scheduler.wait_end(task)["state"], "TASK_FINISHED");
    }
    assert!(directory(&cluster, "s").join("two").exists());
    remove(&mut scheduler, "s", &held);
    assert!(!directory(&cluster, "s").exists());
    scheduler.teardown();
    cluster.finish();
}

fn operator(address: std::net::SocketAddr, call: &Value) -> Value {
    let headers = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
    ];
    let body = call.to_string();
    let answer = http::request(address, "POST", "/api/v1", &headers, body.as_bytes()).unwrap();
    assert!(
        answer.status < 300,
        "{call}: {} {}",
        answer.status,
        answer.text()
    );
    if answer.text().is_empty() {
        Value::Null
    } else {
        answer.json()
    }
}

#[test]
fn an_operator_makes_a_volume_that_a_framework_then_uses() {
    let cluster = TestCluster::start();
    let own = json!({"value": cluster.agent_id()});
    let mut held = volume("o", false);
    // Nobody is logged in here, so nobody is named.
    let plain = |resource: &mut Value| {
        resource["reservations"][0]
            .as_object_mut()
            .unwrap()
            .remove("principal");
    };
    plain(&mut held);
    held["disk"]["persistence"]
        .as_object_mut()
        .unwrap()
        .remove("principal");
    let mut disk = reserved(64.0);
    plain(&mut disk);
    operator(
        cluster.master(),
        &json!({"type": "RESERVE_RESOURCES", "reserve_resources": {"agent_id": own, "resources": [disk]}}),
    );
    operator(
        cluster.master(),
        &json!({"type": "CREATE_VOLUMES", "create_volumes": {"agent_id": own, "volumes": [held]}}),
    );
    wait_for("the volume is made", || {
        let path = directory(&cluster, "o");
        if path.is_dir() { Ok(()) } else { Err(path) }
    });
    let mut scheduler = Scheduler::subscribe_with(cluster.master(), info("operated"));
    let text = run(
        &cluster,
        &mut scheduler,
        &held,
        ("t", "echo x > data/x; ls data; echo done"),
        None,
    );
    assert!(text.contains('x'), "{text}");
    wait_for("operations are done with", || {
        let answer = operator(cluster.agent(), &json!({"type": "GET_OPERATIONS"}));
        let left = answer["get_operations"]["operations"].clone();
        if left.as_array().is_none_or(Vec::is_empty) {
            Ok(())
        } else {
            Err(left)
        }
    });
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn a_drained_agent_ends_its_tasks_also_after_a_restart() {
    let mut cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "drained");
    let stubborn = "trap '' TERM; echo up; while :; do sleep 0.1; done";
    scheduler.launch(vec![
        Task::new("polite").shell("sleep 1000"),
        Task::new("stubborn").shell(stubborn),
    ]);
    for task in ["polite", "stubborn"] {
        scheduler.wait_state(task, "TASK_RUNNING");
    }
    let stdout = cluster.sandbox(scheduler.id(), "stubborn").join("stdout");
    wait_for("the trap is set", || {
        let text = fs::read_to_string(&stdout).unwrap_or_default();
        if text.contains("up") {
            Ok(())
        } else {
            Err(text)
        }
    });
    operator(
        cluster.master(),
        &json!({"type": "DRAIN_AGENT", "drain_agent": {
            "agent_id": {"value": cluster.agent_id()},
            "max_grace_period": {"seconds": 8},
        }}),
    );
    let end = scheduler.wait_end("polite");
    assert_eq!(end["state"], "TASK_KILLED", "{end:#}");
    assert_eq!(end["reason"], "REASON_AGENT_DRAINING", "{end:#}");
    let shown = operator(cluster.agent(), &json!({"type": "GET_AGENT"}));
    let config = &shown["get_agent"]["drain_config"];
    assert_eq!(config["max_grace_period"]["nanoseconds"], 8_000_000_000_u64);
    // The master does not call it active.
    cluster.start_agent_again();
    wait_for("the agent is drained on", || {
        let answer = http::get(cluster.agent(), "/state");
        let state = answer.map_err(|error| error.to_string())?;
        match state.status {
            200 if state.json()["drain_config"].is_object() => Ok(()),
            status => Err(format!("{status}: {}", state.text())),
        }
    });
    let end = scheduler.wait_end("stubborn");
    assert_eq!(end["state"], "TASK_KILLED", "{end:#}");
    assert_eq!(end["reason"], "REASON_AGENT_DRAINING", "{end:#}");
    let reactivate = json!({"type": "REACTIVATE_AGENT", "reactivate_agent": {
        "agent_id": {"value": cluster.agent_id()},
    }});
    let headers = [("Content-Type", "application/json")];
    wait_for("the agent is drained and can be reactivated", || {
        let body = reactivate.to_string();
        let answer = http::request(
            cluster.master(),
            "POST",
            "/api/v1",
            &headers,
            body.as_bytes(),
        );
        match answer {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(answer.text()),
            Err(error) => Err(error.to_string()),
        }
    });
    // Offers of before are gone.
    scheduler.resubscribe();
    scheduler.launch(vec![Task::new("next").shell("true")]);
    assert_eq!(scheduler.wait_end("next")["state"], "TASK_FINISHED");
    assert!(cluster.agent_state()["drain_config"].is_null());
    scheduler.teardown();
    cluster.finish();
}
