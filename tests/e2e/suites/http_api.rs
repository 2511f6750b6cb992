//! Endpoints of both daemons: prefixes, aliases, JSONP, metrics, files, operator calls.

use mesos_test_support::http::{Next, Records, get, post_json, post_stream, request};
use mesos_test_support::task::Task;
use mesos_test_support::wait::PATIENCE;
use mesos_test_support::{Scheduler, TestCluster};
use serde_json::json;

#[test]
fn legacy_endpoints_of_the_master_answer_with_and_without_prefix_and_json() {
    let cluster = TestCluster::start();
    let paths = [
        "/state",
        "/master/state",
        "/state.json",
        "/master/state.json",
        "/state-summary",
        "/slaves",
        "/frameworks",
        "/tasks",
        "/roles",
        "/flags",
        "/version",
        "/metrics/snapshot",
        "/system/stats.json",
        "/weights",
    ];
    for path in paths {
        let response = get(cluster.master(), path).unwrap();
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        assert_eq!(
            response.header("content-type"),
            Some("application/json"),
            "{path}"
        );
        response.json();
    }
    assert_eq!(get(cluster.master(), "/health").unwrap().status, 200);
    let redirect = get(cluster.master(), "/redirect").unwrap();
    assert_eq!(redirect.status, 307);
    assert_eq!(
        redirect.header("location"),
        Some(format!("//{}", cluster.master()).as_str())
    );
    let jsonp = get(cluster.master(), "/version?jsonp=call").unwrap();
    assert_eq!(jsonp.header("content-type"), Some("text/javascript"));
    assert!(
        jsonp.text().starts_with("call({") && jsonp.text().ends_with("})"),
        "{}",
        jsonp.text()
    );
    let text = get(cluster.master(), "/state").unwrap().text();
    assert!(
        text.contains("\"activated_slaves\":1.0"),
        "counters are doubles: {text}"
    );
    assert_eq!(
        get(cluster.master(), "/no/such").unwrap().text(),
        "404 Not Found."
    );
}

#[test]
fn legacy_endpoints_of_the_agent_answer_with_and_without_prefix_and_json() {
    let cluster = TestCluster::start();
    let paths = [
        "/state",
        "/slave(1)/state",
        "/state.json",
        "/slave(1)/state.json",
        "/containers",
        "/monitor/statistics",
        "/monitor/statistics.json",
        "/flags",
        "/version",
        "/metrics/snapshot",
    ];
    for path in paths {
        let response = get(cluster.agent(), path).unwrap();
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        response.json();
    }
    let state = cluster.agent_state();
    assert_eq!(state["id"], cluster.agent_id());
    assert_eq!(state["resources"]["cpus"], 4.0);
}

#[test]
fn version_is_three_numbers() {
    let cluster = TestCluster::start();
    for address in [cluster.master(), cluster.agent()] {
        let version = get(address, "/version").unwrap().json();
        let parts: Vec<u32> = version["version"]
            .as_str()
            .unwrap()
            .split('.')
            .map(|part| part.parse().unwrap())
            .collect();
        assert_eq!(parts.len(), 3, "{version}");
    }
}

#[test]
fn operator_calls_show_tasks_frameworks_and_agents() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "operator");
    scheduler.launch(vec![Task::new("task").shell("sleep 1000")]);
    scheduler.wait_state("task", "TASK_RUNNING");
    let call = |kind: &str| {
        // GET_METRICS wants its message, even an empty one; the others pass over it.
        let body = json!({"type": kind, "get_metrics": {}});
        let response = post_json(cluster.master(), "/api/v1", &body).unwrap();
        assert_eq!(response.status, 200, "{kind}: {}", response.text());
        let answer = response.json();
        assert_eq!(answer["type"], kind);
        answer[kind.to_lowercase()].clone()
    };
    assert_eq!(call("GET_HEALTH"), json!({"healthy": true}));
    assert_eq!(
        call("GET_AGENTS")["agents"][0]["agent_info"]["id"]["value"],
        cluster.agent_id()
    );
    assert_eq!(
        call("GET_FRAMEWORKS")["frameworks"][0]["framework_info"]["name"],
        "operator"
    );
    assert_eq!(call("GET_TASKS")["tasks"][0]["state"], "TASK_RUNNING");
    for kind in [
        "GET_FLAGS",
        "GET_VERSION",
        "GET_METRICS",
        "GET_STATE",
        "GET_EXECUTORS",
        "GET_OPERATIONS",
        "GET_ROLES",
        "GET_MASTER",
    ] {
        call(kind);
    }
    // Clients append words to the path; routes match by prefix.
    let response = post_json(
        cluster.master(),
        "/api/v1/operator",
        &json!({"type": "GET_HEALTH"}),
    )
    .unwrap();
    assert_eq!(response.json()["get_health"]["healthy"], true);
    for kind in [
        "GET_HEALTH",
        "GET_FLAGS",
        "GET_VERSION",
        "GET_METRICS",
        "GET_STATE",
        "GET_CONTAINERS",
        "GET_TASKS",
        "GET_EXECUTORS",
        "GET_FRAMEWORKS",
        "GET_AGENT",
    ] {
        let body = json!({"type": kind, "get_metrics": {}});
        let response = post_json(cluster.agent(), "/api/v1", &body).unwrap();
        assert_eq!(response.status, 200, "{kind}: {}", response.text());
    }
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn files_of_a_sandbox_are_browsed_read_and_downloaded() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "files");
    scheduler.launch(vec![
        Task::new("files").shell("printf 0123456789 >data; mkdir sub"),
    ]);
    assert_eq!(scheduler.wait_end("files")["state"], "TASK_FINISHED");
    let folder = cluster
        .sandbox(scheduler.id(), "files")
        .display()
        .to_string();
    let listing = get(cluster.agent(), &format!("/files/browse?path={folder}"))
        .unwrap()
        .json();
    let names: Vec<&str> = listing
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|file| file["path"].as_str()?.rsplit('/').next())
        .collect();
    for name in ["data", "stderr", "stdout", "sub"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let read = get(
        cluster.agent(),
        &format!("/files/read?path={folder}/data&offset=2&length=3"),
    )
    .unwrap()
    .json();
    assert_eq!(read, json!({"data": "234", "offset": 2}));
    let download = get(
        cluster.agent(),
        &format!("/files/download?path={folder}/data"),
    )
    .unwrap();
    assert_eq!(download.text(), "0123456789");
    // Nothing outside of what is attached can be read, however it is spelt.
    for path in [
        "/etc/passwd",
        &format!("{folder}/../../../../../../../../../../../etc/passwd"),
    ] {
        let response = get(cluster.agent(), &format!("/files/read?path={path}")).unwrap();
        assert!(
            matches!(response.status, 400 | 403 | 404),
            "{path}: {}",
            response.status
        );
    }
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn protobuf_is_answered_with_protobuf_when_it_is_asked_for() {
    let cluster = TestCluster::builder().start();
    let headers = [
        ("Content-Type", "application/json"),
        ("Accept", "application/x-protobuf"),
    ];
    let body = json!({"type": "GET_HEALTH"}).to_string();
    let response = request(
        cluster.master(),
        "POST",
        "/api/v1",
        &headers,
        body.as_bytes(),
    )
    .unwrap();
    assert_eq!(
        response.header("content-type"),
        Some("application/x-protobuf")
    );
    // type = GET_HEALTH (1), get_health (2) { healthy (1) = true }
    assert_eq!(response.body, [8, 1, 18, 2, 8, 1]);
}

#[test]
fn a_framework_may_speak_protobuf() {
    let cluster = TestCluster::builder().start();
    // type = SUBSCRIBE, subscribe { framework_info { user = root, name = pb-fw, roles? none } }
    let call = b"\x10\x01\x1a\x0f\x0a\x0d\x0a\x04root\x12\x05pb-fw";
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Accept", "application/x-protobuf"),
    ];
    let stream = post_stream(cluster.master(), "/api/v1/scheduler", &headers, call).unwrap();
    assert_eq!(
        (stream.status, stream.header("content-type")),
        (200, Some("application/x-protobuf"))
    );
    let mut records = Records::new(stream);
    let Next::Got(first) = records.next(PATIENCE) else {
        panic!("no event came")
    };
    // type = SUBSCRIBED (1), subscribed (2) { framework_id (1) { value (1) ... } ... }
    assert_eq!(first[..3], [8, 1, 18], "{first:?}");
    assert!(
        String::from_utf8_lossy(&first).contains("-0000"),
        "the first framework's id: {first:?}"
    );
    // type = HEARTBEAT (8)
    assert_eq!(records.next(PATIENCE), Next::Got(vec![8, 8]));
}

#[test]
fn a_body_can_be_compressed_when_that_is_asked_for() {
    let cluster = TestCluster::start();
    let response = request(
        cluster.master(),
        "GET",
        "/state",
        &[("Accept-Encoding", "gzip")],
        b"",
    )
    .unwrap();
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    assert_eq!(response.body[..2], [0x1f, 0x8b]);
}
