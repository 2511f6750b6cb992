//! Clients that ask for too much, or read nothing: memory stays bounded, and others are served.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::time::Duration;

use common::{Agent, Client, TestMaster, task, wait_for};
use mesos_master::MasterConfig;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Bytes that wait for a framework at most.
const STREAM_BYTES: usize = 64 * 1024;

fn config() -> MasterConfig {
    MasterConfig {
        stream_bytes: STREAM_BYTES,
        ..MasterConfig::default()
    }
}

/// A connection with a POST on it whose answer nobody reads.
async fn unread(master: &TestMaster, path: &str, body: &str) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    // So that the kernel does not take what the program does not read.
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(master.running.address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: m\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    stream
}

fn subscribe(id: Option<&str>) -> String {
    let (outer, inner) = id.map_or_else(Default::default, |id| {
        (
            format!(r#""framework_id":{{"value":"{id}"}},"#),
            format!(r#","id":{{"value":"{id}"}}"#),
        )
    });
    format!(
        r#"{{"type":"SUBSCRIBE",{outer}"subscribe":{{"framework_info":{{"user":"u","name":"deaf","failover_timeout":3600{inner}}}}}}}"#
    )
}

/// A number of `/metrics`, which counts the streams of the whole process.
async fn metric(master: &TestMaster, name: &str) -> f64 {
    let text = reqwest::get(master.url("/metrics")).await.unwrap();
    let text = text.text().await.unwrap();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value
        .unwrap_or_else(|| panic!("no {name} in {text}"))
        .parse()
        .unwrap()
}

/// A framework is offered the agent and runs a task on it.
async fn others_are_served(master: &TestMaster, agent: &mut Agent, name: &str) {
    let mut client = Client::subscribe(master, r#""failover_timeout":0"#).await;
    let offers = client.next_of("OFFERS").await;
    let offer = &offers["offers"]["offers"][0];
    client.launch(offer, &[task(name, offer)]).await;
    loop {
        if let mesos_control::v1::master_message::Body::RunTask(run) = agent.next().await
            && run.task.unwrap().task_id.value == name
        {
            break;
        }
    }
    client.accepted(r#""type":"TEARDOWN""#).await;
}

#[tokio::test]
async fn a_framework_that_never_reads_is_cut_at_its_bound() {
    let master = TestMaster::start(config()).await;
    let mut agent = Agent::register(&master).await.welcomed().await;
    let connection = unread(&master, "/api/v1/scheduler", &subscribe(None)).await;
    let handle = master.running.handle.clone();
    let id = wait_for("the framework", || {
        let snapshot = handle.snapshot();
        let framework = snapshot.frameworks.values().next()?;
        framework.connected().then(|| framework.id.to_string())
    })
    .await;
    // Messages of an executor, until there are more than anybody keeps for it.
    let mut sent = 0usize;
    while handle.snapshot().frameworks[id.as_str()].connected() {
        let message = mesos_control::v1::ExecutorMessage {
            framework_id: Some(id.as_str().into()),
            executor_id: Some("e".into()),
            data: vec![0; 32 * 1024],
        };
        agent
            .say(mesos_control::v1::agent_message::Body::ExecutorMessage(
                message,
            ))
            .await;
        sent += 32 * 1024;
        // The kernel's buffers of both ends hold some megabytes.
        assert!(
            sent < 256 << 20,
            "{sent} bytes are kept for a framework that reads nothing"
        );
        tokio::task::yield_now().await;
    }
    others_are_served(&master, &mut agent, "beside").await;
    drop(connection);
    master.stop().await;
}

#[tokio::test]
async fn a_framework_that_reads_too_late_is_told_why_it_was_cut() {
    let master = TestMaster::start(config()).await;
    let mut agent = Agent::register(&master).await.welcomed().await;
    let mut connection = unread(&master, "/api/v1/scheduler", &subscribe(None)).await;
    let handle = master.running.handle.clone();
    let id = wait_for("the framework", || {
        let snapshot = handle.snapshot();
        let framework = snapshot.frameworks.values().next()?;
        framework.connected().then(|| framework.id.to_string())
    })
    .await;
    while handle.snapshot().frameworks[id.as_str()].connected() {
        let message = mesos_control::v1::ExecutorMessage {
            framework_id: Some(id.as_str().into()),
            executor_id: Some("e".into()),
            data: vec![0; 32 * 1024],
        };
        agent
            .say(mesos_control::v1::agent_message::Body::ExecutorMessage(
                message,
            ))
            .await;
        tokio::task::yield_now().await;
    }
    let mut all = Vec::new();
    let mut piece = vec![0; 1 << 20];
    let told = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let read = connection.read(&mut piece).await.unwrap_or(0);
            all.extend_from_slice(&piece[..read]);
            let end = &all[all.len().saturating_sub(1024)..];
            let end = String::from_utf8_lossy(end);
            if end.contains("The event stream was cut: the client does not read") {
                return true;
            }
            if read == 0 {
                return false;
            }
        }
    });
    assert!(told.await.expect("the stream ends"));
    master.stop().await;
}

#[tokio::test]
async fn a_framework_that_subscribes_again_and_again_leaves_nothing_behind() {
    let master = TestMaster::start(config()).await;
    let agent = Agent::register(&master).await.welcomed().await;
    let first = unread(&master, "/api/v1/scheduler", &subscribe(None)).await;
    let handle = master.running.handle.clone();
    let id = wait_for("the framework", || {
        let snapshot = handle.snapshot();
        snapshot.frameworks.keys().next().map(ToString::to_string)
    })
    .await;
    let mut connections = vec![first];
    for _ in 0..1000 {
        connections.push(unread(&master, "/api/v1/scheduler", &subscribe(Some(&id))).await);
    }
    wait_for("the last of them", || {
        let snapshot = handle.snapshot();
        let framework = snapshot.frameworks.get(id.as_str())?;
        framework.connected().then_some(())
    })
    .await;
    assert_eq!(handle.snapshot().frameworks.len(), 1);
    // It holds the offer of the only agent; everything else goes on.
    let client = Client::subscribe(&master, r#""failover_timeout":0"#).await;
    client.accepted(r#""type":"REVIVE""#).await;
    let state = reqwest::get(master.url("/state")).await.unwrap();
    assert_eq!(state.status().as_u16(), 200);
    drop(client);
    // Streams that ended do not stay, although their clients are still there and read nothing.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while metric(&master, "mesos_http_event_streams").await > 100.0 {
        assert!(tokio::time::Instant::now() < deadline, "streams stay open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop((agent, connections));
    master.stop().await;
}

#[tokio::test]
async fn operators_that_stop_reading_hold_nobody_up() {
    let master = TestMaster::start(config()).await;
    let mut agent = Agent::register(&master).await.welcomed().await;
    let mut connections = Vec::new();
    for _ in 0..50 {
        connections.push(unread(&master, "/api/v1", r#"{"type":"SUBSCRIBE"}"#).await);
    }
    for n in 0..20 {
        others_are_served(&master, &mut agent, &format!("t{n}")).await;
    }
    let waiting = metric(&master, "mesos_http_event_stream_queued_bytes").await;
    assert!(
        waiting < 256e6,
        "{waiting} bytes wait for operators that read nothing"
    );
    drop(connections);
    master.stop().await;
}

#[tokio::test]
async fn a_hundred_thousand_tasks_in_one_accept_are_all_answered() {
    const TASKS: usize = 100_000;
    // Enough for the answers; it reads as fast as it can.
    let master = TestMaster::start(MasterConfig::default()).await;
    let agent = Agent::register(&master).await.welcomed().await;
    let mut client = Client::subscribe(&master, r#""failover_timeout":0"#).await;
    let offers = client.next_of("OFFERS").await;
    let offer = offers["offers"]["offers"][0].clone();
    // The agent has room for some of them.
    let tasks: Vec<String> = (0..TASKS).map(|n| task(&format!("t{n}"), &offer)).collect();
    let call = format!(
        r#"{{"framework_id":{{"value":"{}"}},"type":"ACCEPT","accept":{{"offer_ids":[{}],"operations":[{{"type":"LAUNCH","launch":{{"task_infos":[{}]}}}}]}}}}"#,
        client.id,
        offer["id"],
        tasks.join(",")
    );
    let sent = reqwest::Client::new()
        .post(master.url("/api/v1/scheduler"))
        .header("Content-Type", "application/json")
        .header("Mesos-Stream-Id", &client.stream_id)
        .body(call)
        .send();
    let sent = tokio::spawn(sent);
    let mut refused = 0;
    let launched = |master: &TestMaster| {
        let snapshot = master.running.handle.snapshot();
        snapshot
            .frameworks
            .values()
            .map(|framework| framework.tasks.len())
            .sum::<usize>()
    };
    while refused + launched(&master) < TASKS {
        let event: Value = client.next_of("UPDATE").await;
        assert_eq!(event["update"]["status"]["state"], "TASK_ERROR", "{event}");
        refused += 1;
    }
    assert_eq!(sent.await.unwrap().unwrap().status().as_u16(), 202);
    assert_eq!(launched(&master), 40);
    let health = reqwest::get(master.url("/health")).await.unwrap();
    assert_eq!(health.status().as_u16(), 200);
    drop(agent);
    master.stop().await;
}
