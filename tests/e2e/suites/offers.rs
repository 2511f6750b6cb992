//! Offers, filters, reconciliation, failover and teardown, seen by a framework.

use std::time::{Duration, Instant};

use mesos_test_support::http;
use mesos_test_support::scheduler::framework_info;
use mesos_test_support::task::Task;
use mesos_test_support::{Scheduler, TestCluster, wait_for};
use serde_json::{Value, json};

fn scalar(offer: &Value, name: &str) -> f64 {
    let resources = offer["resources"].as_array().unwrap();
    resources
        .iter()
        .filter(|r| r["name"] == name)
        .filter_map(|r| r["scalar"]["value"].as_f64())
        .sum()
}

#[test]
fn an_offer_shows_the_agent_with_its_resources() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "offer");
    let offer = scheduler.offer();
    assert_eq!(offer["agent_id"]["value"], cluster.agent_id());
    assert_eq!(offer["framework_id"]["value"], scheduler.id());
    assert_eq!(offer["hostname"], cluster.ip().to_string());
    assert_eq!(offer["url"]["address"]["ip"], cluster.ip().to_string());
    assert_eq!(offer["url"]["address"]["port"], 5051);
    assert_eq!(offer["allocation_info"]["role"], "*");
    assert_eq!(
        (
            scalar(&offer, "cpus"),
            scalar(&offer, "mem"),
            scalar(&offer, "disk")
        ),
        (4.0, 4096.0, 8192.0)
    );
    let ports = offer["resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["name"] == "ports")
        .unwrap();
    assert_eq!(
        ports["ranges"]["range"],
        json!([{"begin": cluster.port(0), "end": cluster.port(9)}])
    );
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn a_declined_offer_comes_back_after_its_filter_or_a_revive() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "decline");
    let offer = scheduler.offer();
    scheduler.decline(&offer, 2.0);
    let declined = Instant::now();
    let again = scheduler.offer();
    assert_ne!(
        again["id"], offer["id"],
        "an offer id is never issued twice"
    );
    assert!(
        declined.elapsed() >= Duration::from_millis(1900),
        "{:?}",
        declined.elapsed()
    );
    scheduler.decline(&again, 1000.0);
    scheduler.call(json!({"type": "REVIVE"}));
    scheduler.offer();
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn a_suppressed_framework_gets_no_offers_until_it_revives() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "suppress");
    let offer = scheduler.offer();
    scheduler.call(json!({"type": "SUPPRESS"}));
    scheduler.decline(&offer, 0.0);
    let until = Instant::now() + Duration::from_secs(3);
    while let Some(event) = scheduler.event(until.saturating_duration_since(Instant::now())) {
        assert_ne!(event["type"], "OFFERS", "{event:#}");
    }
    scheduler.call(json!({"type": "REVIVE"}));
    scheduler.offer();
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn what_one_framework_declines_another_gets_at_once() {
    let cluster = TestCluster::start();
    let mut first = Scheduler::subscribe(cluster.master(), "first");
    let offer = first.offer();
    let mut second = Scheduler::subscribe(cluster.master(), "second");
    first.decline(&offer, 1000.0);
    let declined = Instant::now();
    second.offer();
    assert!(
        declined.elapsed() < Duration::from_secs(5),
        "{:?}",
        declined.elapsed()
    );
    first.teardown();
    second.teardown();
    cluster.finish();
}

#[test]
fn reconciliation_tells_of_known_and_unknown_tasks() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "reconcile");
    scheduler.launch(vec![Task::new("here").shell("sleep 1000")]);
    scheduler.wait_state("here", "TASK_RUNNING");
    scheduler.reconcile(&["here", "nowhere"]);
    for (task, state) in [("here", "TASK_RUNNING"), ("nowhere", "TASK_UNKNOWN")] {
        let status = scheduler.status(task);
        assert_eq!(status["state"], state, "{status:#}");
        assert_eq!(status["reason"], "REASON_RECONCILIATION");
        assert_eq!(status["source"], "SOURCE_MASTER");
        assert!(status["uuid"].is_null());
    }
    scheduler.reconcile(&[]);
    assert_eq!(scheduler.status("here")["state"], "TASK_RUNNING");
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn a_second_scheduler_with_the_same_id_takes_over() {
    let cluster = TestCluster::start();
    let mut first = Scheduler::subscribe(cluster.master(), "failover");
    first.launch(vec![Task::new("task").shell("sleep 1000")]);
    first.wait_state("task", "TASK_RUNNING");
    let mut info = framework_info("failover");
    info["id"] = json!({"value": first.id()});
    let call = json!({
        "type": "SUBSCRIBE",
        "framework_id": {"value": first.id()},
        "subscribe": {"framework_info": info},
    });
    let headers = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
    ];
    let stream = http::post_stream(
        cluster.master(),
        "/api/v1/scheduler",
        &headers,
        call.to_string().as_bytes(),
    )
    .unwrap();
    assert_eq!(stream.status, 200);
    let error = first.find("the old stream's ERROR", |event| {
        (event["type"] == "ERROR").then(|| event.clone())
    });
    assert_eq!(error["error"]["message"], "Framework failed over");
    drop(stream);
    first.resubscribe();
    first.reconcile(&[]);
    assert_eq!(first.status("task")["state"], "TASK_RUNNING");
    first.teardown();
    cluster.finish();
}

#[test]
fn a_framework_that_stays_away_beyond_its_timeout_loses_its_tasks() {
    let cluster = TestCluster::start();
    let mut info = framework_info("away");
    info["failover_timeout"] = 1.0.into();
    let mut scheduler = Scheduler::subscribe_with(cluster.master(), info);
    scheduler.launch(vec![Task::new("task").shell("sleep 1000")]);
    scheduler.wait_state("task", "TASK_RUNNING");
    let id = scheduler.id().to_owned();
    drop(scheduler);
    wait_for("the framework is among the completed ones", || {
        let state = cluster.master_state();
        let completed = state["completed_frameworks"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        if completed
            .iter()
            .any(|framework| framework["id"] == id.as_str())
        {
            Ok(())
        } else {
            Err(state["frameworks"].clone())
        }
    });
    cluster.finish();
}

#[test]
fn teardown_ends_the_tasks_and_the_framework_cannot_come_back() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "teardown");
    scheduler.launch(vec![Task::new("task").shell("sleep 1000")]);
    scheduler.wait_state("task", "TASK_RUNNING");
    let id = scheduler.id().to_owned();
    scheduler.teardown();
    let mut info = framework_info("teardown");
    info["id"] = json!({"value": id});
    let call = json!({"type": "SUBSCRIBE", "framework_id": {"value": id}, "subscribe": {"framework_info": info}});
    let headers = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
    ];
    let stream = http::post_stream(
        cluster.master(),
        "/api/v1/scheduler",
        &headers,
        call.to_string().as_bytes(),
    )
    .unwrap();
    let mut records = http::Records::new(stream);
    let http::Next::Got(first) = records.next_json(Duration::from_secs(20)) else {
        panic!("no event came")
    };
    assert_eq!(first["type"], "ERROR", "{first:#}");
    assert_eq!(first["error"]["message"], "Framework has been removed");
    cluster.finish();
}

#[test]
fn what_is_not_built_yet_is_refused_and_says_so() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "not-built");
    let offer = scheduler.offer();
    let task = Task::new("grouped").shell("true").on(&offer);
    scheduler.accept(
        &offer,
        json!([{
            "type": "LAUNCH_GROUP",
            "launch_group": {
                "executor": {"type": "DEFAULT", "executor_id": {"value": "group"}},
                "task_group": {"tasks": [task]},
            },
        }]),
    );
    let end = scheduler.wait_end("grouped");
    assert!(
        end["message"]
            .as_str()
            .unwrap_or_default()
            .contains("not built yet"),
        "{end:#}"
    );
    scheduler.teardown();
    cluster.finish();
}
