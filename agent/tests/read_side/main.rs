//! What the agent shows of itself, beside what a Mesos 1.11.0 agent in the same state showed.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod fake;
mod files;
mod operator;
mod script;
mod server;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use mesos_agent::state::{AgentState, Phase};
use mesos_types::ContainerId;
use serde_json::Value;

use fake::Fake;
use server::{
    Reply, Running, call, differences, get, recorded, recorded_metrics, replay, serve, sorted,
};

async fn scripted() -> Running {
    let fake = script::containerizer("agent-get_containers");
    serve(script::state(), fake, script::flags()).await
}

fn assert_alike(name: &str, expected: &Value, found: &Value) {
    let (expected, found) = (sorted(expected.clone()), sorted(found.clone()));
    let found = differences(&expected, &found);
    assert!(found.is_empty(), "{name}: {found:#?}");
}

#[tokio::test]
async fn state_says_what_mesos_said() {
    let agent = scripted().await;
    let (request, expected) = recorded("agent-state");
    let mut expected = expected.json();
    let mut found = replay(agent.address, &request).await.json();
    // What is of this build; its kinds of values must be the same.
    for name in ["build_date", "build_time", "build_user"] {
        let (theirs, ours) = (expected[name].take(), found[name].take());
        assert_eq!(theirs.is_string(), ours.is_string(), "{name}");
        assert_eq!(theirs.is_f64(), ours.is_f64(), "{name}");
    }
    for name in ["git_sha", "git_tag"] {
        expected.as_object_mut().unwrap().remove(name);
        found.as_object_mut().unwrap().remove(name);
    }
    // Fewer than Mesos's, and none of our own.
    let capabilities = |state: &mut Value| -> BTreeSet<String> {
        serde_json::from_value(state["capabilities"].take()).unwrap()
    };
    assert!(capabilities(&mut found).is_subset(&capabilities(&mut expected)));
    assert_alike("agent-state", &expected, &found);
}

#[tokio::test]
async fn the_old_and_the_prefixed_paths_show_the_same() {
    let agent = scripted().await;
    let expected = get(agent.address, "/state").await;
    for path in [
        "/state.json",
        "/slave(1)/state",
        "/slave(1)/state.json",
        "/state/",
    ] {
        assert_eq!(get(agent.address, path).await, expected, "{path}");
    }
    let expected = get(agent.address, "/monitor/statistics").await;
    for path in ["/monitor/statistics.json", "/slave(1)/monitor/statistics"] {
        assert_eq!(get(agent.address, path).await, expected, "{path}");
    }
    let jsonp = get(agent.address, "/containers?jsonp=cb").await;
    assert_eq!(jsonp.headers["Content-Type"], "text/javascript");
    assert!(
        jsonp.text().starts_with("cb([{\"container_id\":"),
        "{}",
        jsonp.text()
    );
    assert_eq!(
        get(agent.address, "/slave/state").await.status,
        "HTTP/1.1 404 Not Found"
    );
}

#[tokio::test]
async fn keys_stand_in_mesos_order() {
    let agent = scripted().await;
    let keys = |reply: &Reply| -> Vec<String> {
        // The outermost keys, as they come in the text.
        let text = reply.text();
        let mut found: Vec<(usize, String)> = reply
            .json()
            .as_object()
            .unwrap()
            .keys()
            .map(|key| (text.find(&format!("\"{key}\":")).unwrap(), key.clone()))
            .collect();
        found.sort();
        found.into_iter().map(|(_, key)| key).collect()
    };
    let (request, expected) = recorded("agent-state");
    let found = keys(&replay(agent.address, &request).await);
    let mut expected = keys(&expected);
    expected.retain(|key| found.contains(key));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn containers_tell_what_they_use() {
    for name in ["agent-containers", "agent-monitor_statistics"] {
        // These two were recorded at other moments than GET_CONTAINERS, so the figures come from themselves.
        let (request, expected) = recorded(name);
        let mut fake = script::containerizer("agent-get_containers-plain");
        let state = script::state();
        for entry in expected.json().as_array().unwrap() {
            let executor = entry["executor_id"].as_str().unwrap();
            let (_, found) = state
                .executors()
                .find(|(_, e)| e.id.as_str() == executor)
                .unwrap();
            let statistics = mesos_wire::json::from_value(entry["statistics"].clone()).unwrap();
            fake.statistics.insert(found.container.clone(), statistics);
        }
        let agent = serve(state, fake, BTreeMap::new()).await;
        let found = replay(agent.address, &request).await;
        assert_alike(name, &expected.json(), &found.json());
    }
}

#[tokio::test]
async fn one_container_can_be_asked_for() {
    let agent = scripted().await;
    let all = get(agent.address, "/containers").await.json();
    let wanted = all[1]["container_id"].as_str().unwrap();
    let one = get(agent.address, &format!("/containers?container_id={wanted}"))
        .await
        .json();
    assert_eq!(one.as_array().unwrap().len(), 1);
    assert_eq!(one[0]["container_id"], all[1]["container_id"]);
    assert_eq!(
        get(agent.address, "/containers?container_id=none")
            .await
            .text(),
        "[]"
    );
}

#[tokio::test]
async fn what_cannot_be_had_of_a_container_is_left_out_in_time() {
    let state = script::state();
    let ids: Vec<ContainerId> = state
        .executors()
        .map(|(_, e)| e.container.clone())
        .collect();
    let mut fake = script::containerizer("agent-get_containers-plain");
    fake.failing.insert(ids[0].clone());
    fake.stalled.insert(ids[1].clone());
    let agent = serve(state, fake, BTreeMap::new()).await;
    let start = Instant::now();
    let found = get(agent.address, "/containers").await.json();
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    let found = found.as_array().unwrap();
    assert_eq!(found.len(), 2);
    for entry in found {
        let fields = entry.as_object().unwrap();
        assert!(fields.contains_key("executor_id"), "{entry}");
        assert!(
            !fields.contains_key("statistics") && !fields.contains_key("status"),
            "{entry}"
        );
    }
    assert_eq!(get(agent.address, "/monitor/statistics").await.text(), "[]");
    let debug = get(agent.address, "/containerizer/debug").await.text();
    let expected = format!(
        r#"{{"pending":[{{"args":{{"containerId":"{}"}},"operation":"inspect"}}]}}"#,
        ids[1]
    );
    assert_eq!(debug, expected);
}

#[tokio::test]
async fn nothing_but_health_is_told_while_recovering() {
    let mut state = script::state();
    state.phase = Phase::Recovering;
    let agent = serve(state, Fake::default(), BTreeMap::new()).await;
    for name in [
        "agent-health-while-recovering",
        "agent-state-while-recovering-2",
        "agent-v1-while-recovering",
    ] {
        let (request, expected) = recorded(name);
        assert_eq!(replay(agent.address, &request).await, expected, "{name}");
    }
    for path in [
        "/containers",
        "/monitor/statistics",
        "/slave(1)/state.json",
        "/api/v1",
    ] {
        let found = get(agent.address, path).await;
        assert_eq!(found.status, "HTTP/1.1 503 Service Unavailable", "{path}");
        assert_eq!(found.text(), "Agent has not finished recovery", "{path}");
    }
    for path in [
        "/version",
        "/flags",
        "/metrics/snapshot",
        "/system/stats.json",
        "/__processes__",
    ] {
        assert_eq!(
            get(agent.address, path).await.status,
            "HTTP/1.1 200 OK",
            "{path}"
        );
    }
}

#[tokio::test]
async fn metrics_have_mesos_names_and_both_ways_show_the_same() {
    let agent = scripted().await;
    let shown = get(agent.address, "/metrics/snapshot").await.json();
    let ours: BTreeSet<String> = shown.as_object().unwrap().keys().cloned().collect();
    let theirs: BTreeSet<String> = recorded_metrics().into_iter().collect();
    let extra: Vec<_> = ours.difference(&theirs).collect();
    assert!(extra.is_empty(), "{extra:?}");
    // What nothing updates yet is not shown.
    let absent = |name: &str| {
        name.contains("revocable")
            || name.starts_with("resource_provider_manager/")
            || name.starts_with("containerizer/")
            || ["slave/executors_preempted", "slave/recovery_time_secs"].contains(&name)
    };
    let missing: Vec<_> = theirs
        .difference(&ours)
        .filter(|name| !absent(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(
        shown.as_object().unwrap().values().all(Value::is_f64),
        "{shown}"
    );
    for (name, value) in [
        ("slave/tasks_running", 3.0),
        ("slave/executors_running", 2.0),
        ("slave/cpus_used", 0.6),
        ("slave/cpus_percent", 0.15),
        ("slave/mem_percent", 0.04296875),
        ("slave/disk_used", 30.0),
        ("slave/registered", 1.0),
    ] {
        assert_eq!(shown[name], Value::from(value), "{name}");
    }
    let v1 = call(agent.address, r#"{"type":"GET_METRICS","get_metrics":{}}"#)
        .await
        .json();
    let names: BTreeSet<String> = v1["get_metrics"]["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|metric| metric["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ours);
}

#[tokio::test]
async fn what_waits_for_its_executor_is_shown_as_queued() {
    let mut state: AgentState = script::state();
    let (id, framework) = state
        .frameworks
        .iter()
        .next()
        .map(|(id, f)| (id.clone(), (**f).clone()))
        .unwrap();
    let mut framework = framework;
    let mut executor = (**framework.executors.values().next().unwrap()).clone();
    let mut task = (**executor.tasks.values().next().unwrap()).clone();
    task.place = mesos_agent::state::TaskPlace::Queued;
    task.info = std::sync::Arc::new(mesos_wire::v1::TaskInfo {
        command: Some(mesos_wire::json::from_slice(
            br#"{"value":"x","uris":[{"value":"http://u"}],"environment":{"variables":[{"name":"N","value":"V"}]}}"#,
        ).unwrap()),
        ..(*task.info).clone()
    });
    executor
        .tasks
        .insert(task.id.clone(), std::sync::Arc::new(task.clone()));
    framework
        .executors
        .insert(executor.id.clone(), std::sync::Arc::new(executor.clone()));
    state.frameworks.insert(id, std::sync::Arc::new(framework));
    let agent = serve(state, Fake::default(), BTreeMap::new()).await;
    let shown = get(agent.address, "/state").await.json();
    let executors = shown["frameworks"][0]["executors"].as_array().unwrap();
    let shown = executors
        .iter()
        .find(|e| e["id"] == executor.id.as_str())
        .unwrap();
    let queued = &shown["queued_tasks"][0];
    assert_eq!(queued["id"], task.id.as_str());
    assert_eq!(queued["role"], "*");
    assert_eq!(
        queued["command"].to_string(),
        r#"{"argv":[],"environment":{"variables":[{"name":"N","type":"VALUE","value":"V"}]},"uris":[{"executable":false,"value":"http://u"}],"value":"x"}"#
    );
    let v1 = call(agent.address, r#"{"type":"GET_TASKS"}"#).await.json();
    assert_eq!(
        v1["get_tasks"]["queued_tasks"][0]["task_id"]["value"],
        task.id.as_str()
    );
}
