//! Paths, prefixes, JSONP, gzip, HEAD, and who shares a body.
use http::{Method, Request};

use super::{Master, cluster, cluster::ids};

#[tokio::test]
async fn every_path_answers_with_and_without_the_prefix() {
    let master = Master::of(&mut cluster());
    for path in [
        "/state",
        "/state.json",
        "/state-summary",
        "/slaves",
        "/frameworks",
        "/tasks",
        "/roles",
        "/flags",
        "/health",
        "/weights",
        "/quota",
        "/maintenance/schedule",
        "/maintenance/status",
    ] {
        let (bare, prefixed) = (
            master.get(path).await,
            master.get(&format!("/master{path}")).await,
        );
        assert_eq!((bare.status, &bare.body), (200, &prefixed.body), "{path}");
        assert_eq!(
            bare.header("content-type"),
            prefixed.header("content-type"),
            "{path}"
        );
    }
    for path in [
        "/version",
        "/metrics/snapshot",
        "/system/stats.json",
        "/__processes__",
        "/logging/toggle",
        "/files/debug",
        "/files/debug.json",
        "/registrar(1)/registry",
    ] {
        assert_eq!(master.get(path).await.status, 200, "{path}");
    }
    for path in [
        "/",
        "/nosuch",
        "/redirect/state",
        "/master/metrics/snapshot",
        "/tasks.json",
    ] {
        assert_eq!(master.get(path).await.status, 404, "{path}");
    }
    let redirect = master.get("/master/redirect").await;
    assert_eq!(
        (redirect.status, redirect.header("location")),
        (307, Some("//:5050"))
    );
}

#[tokio::test]
async fn operator_calls_reach_every_path_beneath_theirs() {
    let master = Master::of(&mut cluster());
    for path in ["/api/v1", "/api/v1/", "/api/v1/operator", "/master/api/v1"] {
        let answer = master.post(path, r#"{"type":"GET_HEALTH"}"#).await;
        assert_eq!(
            answer.text(),
            r#"{"type":"GET_HEALTH","get_health":{"healthy":true}}"#,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_jsonp_name_wraps_the_body() {
    let master = Master::of(&mut cluster());
    let plain = master.get("/roles").await;
    let wrapped = master.get("/roles?jsonp=cb").await;
    assert_eq!(wrapped.header("content-type"), Some("text/javascript"));
    assert_eq!(wrapped.text(), format!("cb({})", plain.text()));
}

#[tokio::test]
async fn a_long_body_is_zipped_for_those_who_take_it() {
    let master = Master::of(&mut cluster());
    let plain = master.get("/state").await;
    let request = Request::get("/state")
        .header("accept-encoding", "gzip")
        .body(String::new());
    let zipped = master.answer(request.unwrap()).await;
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    assert!(zipped.body.len() < plain.body.len() / 2 && zipped.body.starts_with(&[0x1f, 0x8b]));
    assert_eq!(plain.header("content-encoding"), None);
}

#[tokio::test]
async fn any_method_reads() {
    let master = Master::of(&mut cluster());
    let length = master.get("/state").await.body.len().to_string();
    for method in [Method::HEAD, Method::OPTIONS, Method::POST, Method::DELETE] {
        let request = Request::builder()
            .method(method.clone())
            .uri("/state")
            .body(String::new());
        let answer = master.answer(request.unwrap()).await;
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (200, Some(length.as_str())),
            "{method}"
        );
    }
}

#[tokio::test]
async fn one_body_serves_all_who_ask_for_the_same_state() {
    let mut world = cluster();
    let master = Master::of(&mut world);
    let hits = master
        .handle
        .metrics()
        .counter("master/http_cache_hits", "");
    let first = master.get("/state").await.body;
    let second = master.get("/master/state").await.body;
    assert_eq!((first.as_ptr(), hits.get()), (second.as_ptr(), 1));
    // A newer state is never answered with an older body.
    world.subscribe(r#""failover_timeout":0"#);
    let (snapshot, changes) = world.core.publish();
    master.published.publish(snapshot, changes);
    let third = master.get("/state").await.body;
    assert_eq!(hits.get(), 1);
    assert_ne!(first, third);
}

#[tokio::test]
async fn one_framework_or_agent_can_be_asked_for() {
    let mut world = cluster();
    let ids = ids(&world);
    let master = Master::of(&mut world);
    let one = master
        .get(&format!("/frameworks?framework_id={}", ids[0]))
        .await
        .json();
    assert_eq!(
        (
            one["frameworks"].as_array().unwrap().len(),
            &one["frameworks"][0]["id"]
        ),
        (1, &ids[0].as_str().into())
    );
    assert_eq!(one["completed_frameworks"], serde_json::json!([]));
    let gone = master
        .get(&format!("/frameworks?framework_id={}", ids[2]))
        .await
        .json();
    assert_eq!(gone["completed_frameworks"][0]["id"], ids[2].as_str());
    assert_eq!(
        master.get("/slaves?slave_id=x").await.text(),
        r#"{"slaves":[],"recovered_slaves":[]}"#
    );
    let agent = master.get("/slaves").await.json()["slaves"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let one = master
        .get(&format!("/slaves?slave_id={agent}"))
        .await
        .json();
    assert_eq!(one["slaves"][0]["id"], agent.as_str());
}

#[tokio::test]
async fn weights_are_shown() {
    let mut world = cluster();
    world.order(r#""type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":[{"role":"dev","weight":2.5}]}"#);
    let master = Master::of(&mut world);
    assert_eq!(
        master.get("/weights").await.text(),
        r#"[{"role":"dev","weight":2.5}]"#
    );
    assert_eq!(
        master.call("GET_WEIGHTS").await.text(),
        r#"{"type":"GET_WEIGHTS","get_weights":{"weight_infos":[{"weight":2.5,"role":"dev"}]}}"#
    );
    let roles = master.get("/roles").await.json();
    let names: Vec<_> = roles["roles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|role| role["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["*", "dev"]);
    assert_eq!(roles["roles"][1]["weight"], 2.5);
}

#[tokio::test]
async fn changes_are_checked_before_the_owner_is_asked() {
    let master = Master::of(&mut cluster());
    let agent = master.get("/slaves").await.json()["slaves"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let id = format!(r#"{{"agent_id":{{"value":"{agent}"}}"#);
    for (kind, field, body) in [
        ("UPDATE_WEIGHTS", "update_weights", "{}".to_owned()),
        (
            "UPDATE_MAINTENANCE_SCHEDULE",
            "update_maintenance_schedule",
            r#"{"schedule":{}}"#.to_owned(),
        ),
        ("START_MAINTENANCE", "start_maintenance", "{}".to_owned()),
        ("STOP_MAINTENANCE", "stop_maintenance", "{}".to_owned()),
        ("UPDATE_QUOTA", "update_quota", "{}".to_owned()),
        (
            "SET_QUOTA",
            "set_quota",
            r#"{"quota_request":{}}"#.to_owned(),
        ),
        ("REMOVE_QUOTA", "remove_quota", r#"{"role":"r"}"#.to_owned()),
        ("RESERVE_RESOURCES", "reserve_resources", format!("{id}}}")),
        (
            "UNRESERVE_RESOURCES",
            "unreserve_resources",
            format!("{id}}}"),
        ),
        ("CREATE_VOLUMES", "create_volumes", format!("{id}}}")),
        ("DESTROY_VOLUMES", "destroy_volumes", format!("{id}}}")),
        ("DRAIN_AGENT", "drain_agent", format!("{id}}}")),
        ("DEACTIVATE_AGENT", "deactivate_agent", format!("{id}}}")),
        ("REACTIVATE_AGENT", "reactivate_agent", format!("{id}}}")),
        ("MARK_AGENT_GONE", "mark_agent_gone", format!("{id}}}")),
    ] {
        let missing = master
            .post("/api/v1", &format!(r#"{{"type":"{kind}"}}"#))
            .await;
        assert_eq!(
            (missing.status, missing.text()),
            (
                400,
                format!("Failed to validate master::Call: Expecting '{field}' to be present")
                    .as_str()
            )
        );
        let answer = master
            .post(
                "/api/v1",
                &format!(r#"{{"type":"{kind}","{field}":{body}}}"#),
            )
            .await;
        // Nobody takes commands here.
        assert_eq!(answer.status, 503, "{kind}: {}", answer.text());
    }
    for (method, path, body, expected) in [
        (
            "PUT",
            "/weights",
            "{",
            "Failed to parse update weights request JSON",
        ),
        (
            "PUT",
            "/weights",
            "{}",
            "Failed to parse update weights request JSON",
        ),
        (
            "PUT",
            "/weights",
            r#"[{"role":"dev"}]"#,
            "Failed to parse update weights request JSON",
        ),
        ("POST", "/quota", "[", "Failed to parse set quota request"),
        (
            "DELETE",
            "/quota",
            "",
            "Failed to parse remove quota request",
        ),
        (
            "POST",
            "/maintenance/schedule",
            r#"{"windows":[{}]}"#,
            "Failed to parse maintenance schedule",
        ),
        (
            "POST",
            "/machine/down",
            "{}",
            "Failed to parse list of machines",
        ),
        (
            "POST",
            "/machine/up",
            "7",
            "Failed to parse list of machines",
        ),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(body.to_owned());
        let answer = master.answer(request.unwrap()).await;
        assert_eq!(answer.status, 400, "{method} {path}: {}", answer.text());
        assert!(
            answer.text().starts_with(expected),
            "{method} {path}: {}",
            answer.text()
        );
    }
    for (method, path) in [
        ("DELETE", "/weights"),
        ("PUT", "/quota"),
        ("PUT", "/maintenance/schedule"),
        ("POST", "/maintenance/status"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(String::new());
        let answer = master.answer(request.unwrap()).await;
        assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text());
    }
    for path in [
        "/reserve",
        "/unreserve",
        "/create-volumes",
        "/destroy-volumes",
    ] {
        assert_eq!(
            master.post(path, "").await.text(),
            "Missing 'slaveId' query parameter in the request body"
        );
    }
}
