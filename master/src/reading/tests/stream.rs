//! The operator event stream.
use http_body_util::{BodyExt, Full};
use mesos_http::Bytes;
use mesos_wire::v1::TaskState;
use serde_json::Value;

use super::{Master, cluster};
use crate::{MasterConfig, core::tests::world::World};

const SUBSCRIBE: &str = r#"{"type":"SUBSCRIBE"}"#;

async fn subscribe(
    master: &Master,
) -> impl BodyExt<Data = Bytes, Error: std::fmt::Debug> + Unpin + use<> {
    let request = http::Request::post("/api/v1").header("content-type", "application/json");
    let request = request.body(Full::<Bytes>::from(SUBSCRIBE)).unwrap();
    let response = master
        .service
        .call(request, ([127, 0, 0, 1], 9).into())
        .await;
    assert_eq!(
        (
            response.status().as_u16(),
            response.headers()["content-type"].to_str().unwrap()
        ),
        (200, "application/json")
    );
    response.into_body()
}

/// The next event, or nothing when the stream has ended. One record is one frame.
async fn next<B: BodyExt<Data = Bytes, Error: std::fmt::Debug> + Unpin>(
    body: &mut B,
) -> Option<Value> {
    let frame = body.frame().await?.unwrap().into_data().unwrap();
    let text = std::str::from_utf8(&frame).unwrap();
    let (length, record) = text.split_once('\n').unwrap();
    assert_eq!(length.parse::<usize>().unwrap(), record.len());
    Some(serde_json::from_str(record).unwrap())
}

async fn kind<B: BodyExt<Data = Bytes, Error: std::fmt::Debug> + Unpin>(body: &mut B) -> String {
    match next(body).await {
        Some(event) => event["type"].as_str().unwrap().to_owned(),
        None => "end".to_owned(),
    }
}

fn publish(world: &mut World, master: &Master) {
    let (snapshot, changes) = world.core.publish();
    master.published.publish(snapshot, changes);
}

#[tokio::test(start_paused = true)]
async fn the_state_comes_first_then_a_heartbeat_then_every_change() {
    let mut world = cluster();
    let master = Master::of(&mut world);
    let mut body = subscribe(&master).await;
    let first = next(&mut body).await.unwrap();
    assert_eq!(first["subscribed"]["heartbeat_interval_seconds"], 15.0);
    let state = master.call("GET_STATE").await.json();
    assert_eq!(first["subscribed"]["get_state"], state["get_state"]);
    assert_eq!(kind(&mut body).await, "HEARTBEAT");

    let (client, agent) = world.running(&["t"]);
    publish(&mut world, &master);
    world.update(&agent, &client, "t", TaskState::TaskFinished, 2);
    publish(&mut world, &master);
    world.call(&client, r#""type":"TEARDOWN""#);
    publish(&mut world, &master);
    let mut seen = Vec::new();
    for _ in 0..6 {
        let event = next(&mut body).await.unwrap();
        seen.push(event["type"].as_str().unwrap().to_owned());
        let name = event["type"].as_str().unwrap().to_lowercase();
        let inside: Vec<&str> = event[&name]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let expected: &[&str] = match name.as_str() {
            "framework_added" => &["framework"],
            "agent_added" => &["agent"],
            "task_added" => &["task"],
            "task_updated" => &["framework_id", "state", "status"],
            "framework_removed" => &["framework_info"],
            other => panic!("{other}"),
        };
        assert_eq!(inside, expected);
    }
    assert_eq!(
        seen,
        [
            "FRAMEWORK_ADDED",
            "AGENT_ADDED",
            "TASK_ADDED",
            "TASK_UPDATED",
            "TASK_UPDATED",
            "FRAMEWORK_REMOVED"
        ]
    );
    // Then nothing but heartbeats, each 15 seconds.
    let before = tokio::time::Instant::now();
    assert_eq!(kind(&mut body).await, "HEARTBEAT");
    assert_eq!(kind(&mut body).await, "HEARTBEAT");
    let passed = before.elapsed().as_secs_f64();
    assert!((29.0..=30.5).contains(&passed), "{passed}");
    master.stop.cancel();
    assert_eq!(kind(&mut body).await, "end");
}

#[tokio::test]
async fn events_look_as_recorded() {
    let recorded: Vec<Value> = include_str!("../../../tests/golden/subscribe.events.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line.split_once(' ').unwrap().1).unwrap())
        .collect();
    let mut world = cluster();
    let master = Master::of(&mut world);
    let mut body = subscribe(&master).await;
    let (client, _) = world.running(&["t"]);
    world.call(&client, r#""type":"TEARDOWN""#);
    publish(&mut world, &master);
    loop {
        let event = next(&mut body).await.unwrap();
        let kind = event["type"].as_str().unwrap();
        if kind == "FRAMEWORK_REMOVED" {
            break;
        }
        // Agents came before the recording began, and its state was empty.
        if ["AGENT_ADDED", "SUBSCRIBED"].contains(&kind) {
            continue;
        }
        let like = recorded
            .iter()
            .find(|like| like["type"] == kind)
            .unwrap_or_else(|| panic!("{kind} was recorded"));
        let names = |event: &Value| {
            let inside = event
                .get(kind.to_lowercase())
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default();
            let mut names: Vec<String> = inside.keys().cloned().collect();
            if let Some(framework) = inside.get("framework").and_then(Value::as_object) {
                names.extend(framework.keys().cloned());
            }
            names
        };
        assert_eq!(names(&event), names(like), "{kind}");
    }
}

#[tokio::test]
async fn a_new_subscriber_displaces_the_oldest() {
    let mut world = cluster();
    let snapshot = world.core.publish().0;
    let config = MasterConfig {
        max_operator_event_stream_subscribers: 2,
        ..MasterConfig::default()
    };
    let master = Master::with(snapshot, config, std::sync::Arc::new(mesos_http::AllowAll));
    let subscribers =
        || master.handle.metrics().snapshot()["master/operator_event_stream_subscribers"];
    let (mut first, mut second) = (subscribe(&master).await, subscribe(&master).await);
    assert_eq!(subscribers(), 2.0);
    let mut third = subscribe(&master).await;
    for body in [&mut second, &mut third] {
        assert_eq!(kind(body).await, "SUBSCRIBED");
        assert_eq!(kind(body).await, "HEARTBEAT");
    }
    while kind(&mut first).await != "end" {}
    assert_eq!(subscribers(), 2.0);
    drop((second, third));
    for _ in 0..1000 {
        if subscribers() == 0.0 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("subscribers that are gone are not counted");
}

#[tokio::test]
async fn a_subscriber_that_misses_changes_is_cut() {
    let mut world = cluster();
    let master = Master::of(&mut world);
    let mut body = subscribe(&master).await;
    // Nobody reads: changes pile up until some are lost.
    for _ in 0..40_000 {
        let client = world.subscribe(r#""failover_timeout":0"#);
        world.call(&client, r#""type":"TEARDOWN""#);
        if world.core.state().version.is_multiple_of(16) {
            world.events.clear();
        }
        publish(&mut world, &master);
    }
    let mut seen = 0;
    while next(&mut body).await.is_some() {
        seen += 1;
    }
    assert!((1..80_000).contains(&seen), "{seen}");
}
