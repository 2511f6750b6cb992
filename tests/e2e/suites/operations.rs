//! Offer operations with real daemons: what was accepted is on the agent's disk, is told until it is acknowledged,
//! and is the same on both sides after any of them was killed.

use mesos_test_support::scheduler::framework_info;
use mesos_test_support::task::Task;
use mesos_test_support::{Scheduler, TestCluster, http, wait_for};
use serde_json::{Value, json};

fn disk(mib: f64) -> Value {
    json!({"name": "disk", "type": "SCALAR", "scalar": {"value": mib}})
}

fn reserved(mib: f64) -> Value {
    let mut disk = disk(mib);
    disk["reservations"] = json!([{"type": "DYNAMIC", "role": "dev", "principal": "p"}]);
    disk
}

fn volume(mib: f64, id: &str) -> Value {
    let mut volume = reserved(mib);
    volume["disk"] = json!({
        "persistence": {"id": id, "principal": "p"},
        "volume": {"container_path": "data", "mode": "RW"},
    });
    volume
}

fn subscribe(cluster: &TestCluster, name: &str) -> Scheduler {
    let mut info = framework_info(name);
    info["roles"] = json!(["dev"]);
    info["principal"] = json!("p");
    let capabilities = info["capabilities"].as_array_mut().unwrap();
    capabilities.push(json!({"type": "RESERVATION_REFINEMENT"}));
    Scheduler::subscribe_with(cluster.master(), info)
}

/// The next update of an operation that carries a uuid.
fn update(scheduler: &mut Scheduler, id: &str) -> Value {
    scheduler.find(&format!("an update of operation {id}"), |event| {
        let status = &event["update_operation_status"]["status"];
        let its = status["operation_id"]["value"] == id && !status["uuid"].is_null();
        its.then(|| status.clone())
    })
}

/// The next offer with something in it.
fn offer_with(scheduler: &mut Scheduler, text: &str) -> Value {
    loop {
        let offer = scheduler.offer();
        if offer["resources"].to_string().contains(text) {
            return offer;
        }
        scheduler.decline(&offer, 0.0);
    }
}

fn post(cluster: &TestCluster, call: &Value) -> (u16, String) {
    let answer = http::post_json(cluster.master(), "/api/v1", call).unwrap();
    (answer.status, answer.text())
}

/// Waits until no operation is under way, on either side.
fn wait_for_end(cluster: &TestCluster) {
    wait_for("operations are acknowledged", || {
        for address in [cluster.master(), cluster.agent()] {
            let call = json!({"type": "GET_OPERATIONS"});
            let answer = http::post_json(address, "/api/v1", &call)
                .map_err(|error| error.to_string())?
                .text();
            if answer.contains("latest_status") {
                return Err(answer);
            }
        }
        Ok(())
    });
}

/// What is reserved as the master and the agent see it, once both see the same.
fn reserved_for_dev(cluster: &TestCluster) -> f64 {
    wait_for("master and agent agree", || {
        let slaves = cluster.master_state()["slaves"][0]["reserved_resources"].clone();
        let agent = cluster.agent_state()["reserved_resources"].clone();
        if slaves == agent {
            Ok(agent["dev"]["disk"].as_f64().unwrap_or(0.0))
        } else {
            Err((slaves, agent))
        }
    })
}

fn acknowledge(scheduler: &Scheduler, status: &Value) {
    scheduler.call(json!({
        "type": "ACKNOWLEDGE_OPERATION_STATUS",
        "acknowledge_operation_status": {
            "agent_id": status["agent_id"],
            "operation_id": status["operation_id"],
            "uuid": status["uuid"]["value"],
        },
    }));
}

#[test]
fn a_volume_and_the_word_of_it_outlive_both_daemons() {
    let mut cluster = TestCluster::start();
    let mut scheduler = subscribe(&cluster, "operations");
    let offer = scheduler.offer();
    scheduler.accept(
        &offer,
        json!([
            {"type": "RESERVE", "id": {"value": "r"}, "reserve": {"resources": [reserved(64.0)]}},
            {"type": "CREATE", "id": {"value": "c"}, "create": {"volumes": [volume(64.0, "v")]}},
        ]),
    );
    let first = [update(&mut scheduler, "r"), update(&mut scheduler, "c")];
    for status in &first {
        assert_eq!(status["state"], "OPERATION_FINISHED", "{status}");
        assert_eq!(status["agent_id"]["value"], cluster.agent_id());
    }
    cluster.kill_9_agent();
    cluster.restart_agent();
    let again = [update(&mut scheduler, "r"), update(&mut scheduler, "c")];
    assert_eq!(first, again, "one update, however often it is sent");
    cluster.restart_master();
    scheduler.resubscribe();
    let again = [update(&mut scheduler, "r"), update(&mut scheduler, "c")];
    assert_eq!(first, again);
    scheduler.call(json!({"type": "RECONCILE_OPERATIONS", "reconcile_operations": {}}));
    for _ in 0..2 {
        scheduler.find("the state of an operation", |event| {
            let status = &event["update_operation_status"]["status"];
            (status["uuid"].is_null() && status["state"] == "OPERATION_FINISHED").then_some(())
        });
    }
    for status in &again {
        acknowledge(&scheduler, status);
    }
    wait_for_end(&cluster);
    assert_eq!(reserved_for_dev(&cluster), 64.0);

    for (id, command) in [
        ("write", "echo x > data/f"),
        ("read", "test $(cat data/f) = x"),
    ] {
        let offer = offer_with(&mut scheduler, r#""id":"v""#);
        let mut resources = mesos_test_support::task::resources(0.1, 32.0, &[]);
        resources.as_array_mut().unwrap().push(volume(64.0, "v"));
        let task = Task::new(id).shell(command).field("resources", resources);
        scheduler.launch_on(&offer, vec![task]);
        scheduler.wait_state(id, "TASK_FINISHED");
    }
    let offer = offer_with(&mut scheduler, r#""id":"v""#);
    scheduler.accept(
        &offer,
        json!([
            {"type": "DESTROY", "destroy": {"volumes": [volume(64.0, "v")]}},
            {"type": "UNRESERVE", "unreserve": {"resources": [reserved(64.0)]}},
        ]),
    );
    wait_for_end(&cluster);
    assert_eq!(reserved_for_dev(&cluster), 0.0);
    cluster.restart_agent();
    assert_eq!(reserved_for_dev(&cluster), 0.0);
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn an_operator_reserves_over_the_head_of_a_framework() {
    let cluster = TestCluster::start();
    let mut scheduler = subscribe(&cluster, "rescinded");
    let offer = scheduler.offer();
    let call = |kind: &str, list: &str, resource: Value| {
        let mut call = json!({"type": kind});
        call[kind.to_lowercase()] =
            json!({"agent_id": {"value": cluster.agent_id()}, list: [resource]});
        post(&cluster, &call)
    };
    let (status, text) = call("RESERVE_RESOURCES", "resources", reserved(1e6));
    assert_eq!(status, 409, "{text}");
    assert!(text.contains("does not contain disk:1000000"), "{text}");
    let accepted = (202, String::new());
    assert_eq!(
        call("RESERVE_RESOURCES", "resources", reserved(64.0)),
        accepted
    );
    scheduler.find("the offer is rescinded", |event| {
        (event["rescind"]["offer_id"] == offer["id"]).then_some(())
    });
    assert_eq!(
        call("CREATE_VOLUMES", "volumes", volume(64.0, "v")),
        accepted
    );
    offer_with(&mut scheduler, r#""id":"v""#);
    wait_for_end(&cluster);
    assert_eq!(reserved_for_dev(&cluster), 64.0);
    let metrics = http::get(cluster.master(), "/metrics/snapshot")
        .unwrap()
        .text();
    let metrics: Value = serde_json::from_str(&metrics).unwrap();
    assert_eq!(metrics["master/operations/create/finished"], 1.0);
    assert_eq!(metrics["master/operations/pending"], 0.0);
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn an_agent_killed_in_the_middle_agrees_with_its_master_afterwards() {
    let mut cluster = TestCluster::start();
    let agent_id = cluster.agent_id().to_owned();
    let reserve = json!({
        "type": "RESERVE_RESOURCES",
        "reserve_resources": {"agent_id": {"value": agent_id}, "resources": [reserved(8.0)]},
    });
    let mut least = 0.0;
    for round in 0..6 {
        wait_for("the operation is taken", || {
            match post(&cluster, &reserve) {
                (202, _) => Ok(()),
                // Its session may only just have been found broken.
                other => Err(other),
            }
        });
        if round % 2 == 0 {
            // Both at once, so that it may be anywhere.
            assert_eq!(post(&cluster, &reserve).0, 202);
        }
        cluster.kill_9_agent();
        cluster.restart_agent();
        wait_for_end(&cluster);
        let now = reserved_for_dev(&cluster);
        assert!(
            now >= least,
            "what was confirmed is not lost: {now} after {least}"
        );
        least = now;
    }
    cluster.restart_master();
    cluster.wait_for_agent();
    assert_eq!(reserved_for_dev(&cluster), least);
    cluster.finish();
}
