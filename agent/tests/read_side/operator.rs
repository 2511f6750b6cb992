//! The v1 operator API beside recorded answers.

use mesos_wire::v1::agent::Response;

use super::{
    assert_alike, scripted,
    server::{Reply, call, call_with, get, recorded, replay},
};

#[tokio::test]
async fn v1_answers_are_those_of_mesos() {
    let agent = scripted().await;
    for name in [
        "get_state",
        "get_tasks",
        "get_executors",
        "get_frameworks",
        "get_agent",
        "get_containers",
        "get_operations",
        "get_resource_providers",
        "get_logging_level",
        "get_flags",
        "get_health",
    ] {
        let (request, expected) = recorded(&format!("agent-{name}"));
        let found = replay(agent.address, &request).await;
        assert_eq!(
            found.headers["Content-Type"],
            expected.headers["Content-Type"]
        );
        assert_alike(name, &expected.json(), &found.json());
    }
    // Those within others are not shown unless asked for.
    let plain = replay(agent.address, &recorded("agent-get_containers-plain").0)
        .await
        .json();
    assert_eq!(
        plain["get_containers"]["containers"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn v1_answers_come_in_protobuf() {
    let agent = scripted().await;
    let (request, expected) = recorded("agent-get_state-pb");
    let found = replay(agent.address, &request).await;
    assert_eq!(found.headers["Content-Type"], "application/x-protobuf");
    let json = |reply: &Reply| {
        let message: Response = mesos_wire::protobuf::from_slice(&reply.body).unwrap();
        mesos_wire::json::to_value(&message)
    };
    assert_alike("agent-get_state-pb", &json(&expected), &json(&found));
}

#[tokio::test]
async fn odd_requests_are_refused_as_mesos_refuses_them() {
    let agent = scripted().await;
    for name in [
        "op-agent-bad-accept",
        "op-agent-bad-content-type",
        "op-agent-files-browse-nopath",
        "op-agent-files-read-badoffset",
        "op-agent-get-method",
        "op-agent-list-files-missing",
        "op-agent-missing-body",
        "op-agent-no-accept",
        "op-agent-not-found-path",
        "op-agent-read-file-missing",
        "op-agent-unknown-type",
        "agent-slave1_api_v1",
        "agent-containerizer_debug",
    ] {
        let (request, expected) = recorded(name);
        assert_eq!(replay(agent.address, &request).await, expected, "{name}");
    }
}

#[tokio::test]
async fn calls_that_are_not_built_are_checked_and_then_refused_by_name() {
    let agent = scripted().await;
    let id = r#"{"value":"a"}"#;
    let nested = r#"{"value":"a","parent":{"value":"b"}}"#;
    for (kind, part) in [
        (
            "LAUNCH_NESTED_CONTAINER",
            format!(r#"{{"container_id":{nested}}}"#),
        ),
        (
            "WAIT_NESTED_CONTAINER",
            format!(r#"{{"container_id":{nested}}}"#),
        ),
        (
            "KILL_NESTED_CONTAINER",
            format!(r#"{{"container_id":{nested}}}"#),
        ),
        (
            "REMOVE_NESTED_CONTAINER",
            format!(r#"{{"container_id":{nested}}}"#),
        ),
        (
            "LAUNCH_NESTED_CONTAINER_SESSION",
            format!(r#"{{"container_id":{nested}}}"#),
        ),
        (
            "ATTACH_CONTAINER_OUTPUT",
            format!(r#"{{"container_id":{id}}}"#),
        ),
        ("LAUNCH_CONTAINER", format!(r#"{{"container_id":{id}}}"#)),
        ("WAIT_CONTAINER", format!(r#"{{"container_id":{id}}}"#)),
        ("KILL_CONTAINER", format!(r#"{{"container_id":{id}}}"#)),
        ("REMOVE_CONTAINER", format!(r#"{{"container_id":{id}}}"#)),
        (
            "ADD_RESOURCE_PROVIDER_CONFIG",
            r#"{"info":{"type":"t","name":"n"}}"#.to_owned(),
        ),
        (
            "UPDATE_RESOURCE_PROVIDER_CONFIG",
            r#"{"info":{"type":"t","name":"n"}}"#.to_owned(),
        ),
        (
            "REMOVE_RESOURCE_PROVIDER_CONFIG",
            r#"{"type":"t","name":"n"}"#.to_owned(),
        ),
        (
            "MARK_RESOURCE_PROVIDER_GONE",
            format!(r#"{{"resource_provider_id":{id}}}"#),
        ),
        ("PRUNE_IMAGES", "{}".to_owned()),
    ] {
        let field = kind.to_lowercase();
        let found = call(
            agent.address,
            &format!(r#"{{"type":"{kind}","{field}":{part}}}"#),
        )
        .await;
        assert_eq!(
            found.status,
            "HTTP/1.1 501 Not Implemented",
            "{kind}: {}",
            found.text()
        );
        let expected = format!("{kind} is not built yet; the request changed nothing");
        assert_eq!(found.text(), expected);
        let found = call(agent.address, &format!(r#"{{"type":"{kind}"}}"#)).await;
        assert_eq!(found.status, "HTTP/1.1 400 Bad Request", "{kind}");
        let expected = format!("Failed to validate agent::Call: Expecting '{field}' to be present");
        assert_eq!(found.text(), expected);
    }
}

#[tokio::test]
async fn headers_of_streams_are_refused_where_nothing_streams() {
    let agent = scripted().await;
    let json = "Content-Type: application/json\r\n";
    let health = r#"{"type":"GET_HEALTH"}"#;
    let output = r#"{"type":"ATTACH_CONTAINER_OUTPUT","attach_container_output":{"container_id":{"value":"a"}}}"#;
    let input =
        r#"{"type":"ATTACH_CONTAINER_INPUT","attach_container_input":{"type":"PROCESS_IO"}}"#;
    for (headers, body, status, text) in [
        (
            format!("{json}Message-Accept: application/json\r\n"),
            health,
            "406 Not Acceptable",
            "Expecting 'Message-Accept' to be not set for non-streaming responses",
        ),
        (
            format!("{json}Message-Content-Type: application/json\r\n"),
            health,
            "415 Unsupported Media Type",
            "Expecting 'Message-Content-Type' to be not set for non-streaming requests",
        ),
        (
            format!("{json}Accept: application/recordio\r\n"),
            health,
            "406 Not Acceptable",
            "Streaming response is not supported for GET_HEALTH call",
        ),
        (
            format!("{json}Accept: application/recordio\r\nMessage-Accept: application/json\r\n"),
            output,
            "501 Not Implemented",
            "ATTACH_CONTAINER_OUTPUT is not built yet; the request changed nothing",
        ),
        (
            json.to_owned(),
            input,
            "415 Unsupported Media Type",
            "Expecting 'Content-Type' to be application/recordio for ATTACH_CONTAINER_INPUT call",
        ),
        (
            json.to_owned(),
            r#"{"type":"UNKNOWN"}"#,
            "501 Not Implemented",
            "501 Not Implemented.",
        ),
    ] {
        let found = call_with(agent.address, &headers, body).await;
        assert_eq!(
            found.status,
            format!("HTTP/1.1 {status}"),
            "{headers}{body}"
        );
        assert_eq!(found.text(), text);
    }
}

#[tokio::test]
async fn the_level_of_the_log_is_set_for_a_while() {
    let agent = scripted().await;
    let set = |level: u32, nanos: i64| {
        let body = format!(
            r#"{{"type":"SET_LOGGING_LEVEL","set_logging_level":{{"level":{level},"duration":{{"nanoseconds":{nanos}}}}}}}"#
        );
        async move { call(agent.address, &body).await }
    };
    let done = set(2, 60_000_000_000).await;
    assert_eq!(
        (done.status.as_str(), done.text().as_str()),
        ("HTTP/1.1 200 OK", "")
    );
    assert_eq!(get(agent.address, "/logging/toggle").await.text(), "2\n");
    let found = call(agent.address, r#"{"type":"GET_LOGGING_LEVEL"}"#).await;
    assert_eq!(
        found.text(),
        r#"{"type":"GET_LOGGING_LEVEL","get_logging_level":{"level":2}}"#
    );
    let refused = set(1, -1).await;
    assert_eq!(
        refused.text(),
        "duration is -1 nanoseconds; allowed: 0 or more"
    );
    assert_eq!(get(agent.address, "/logging/toggle").await.text(), "2\n");
}
