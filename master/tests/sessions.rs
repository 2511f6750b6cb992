//! Whole sessions over real connections: frameworks over HTTP, agents over the control stream.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod common;

use std::time::Duration;

use common::{Agent, Client, TestMaster, recorded::like, task, wait_for};
use mesos_control::v1::{Snapshot, agent_message, master_message::Body};
use mesos_master::{MasterConfig, config::RegistryPlace};
use mesos_wire::v1::TaskState;
use serde_json::Value;

const AWARE: &str = r#""capabilities":[{"type":"MULTI_ROLE"},{"type":"PARTITION_AWARE"},{"type":"TASK_KILLING_STATE"}],"roles":["*"],"failover_timeout":60"#;

fn update(reason: &'static str, state: &'static str) -> impl Fn(&Value) -> bool {
    move |event| {
        let status = &event["update"]["status"];
        status["reason"] == reason && status["state"] == state
    }
}

#[tokio::test]
async fn a_session_looks_like_the_recorded_one() {
    let master = TestMaster::start(MasterConfig::default()).await;
    let mut agent = Agent::register(&master).await.welcomed().await;
    let mut client = Client::subscribe(&master, AWARE).await;
    let event = client.next().await;
    like("session-main", &event, |event| {
        event["type"] == "SUBSCRIBED"
    });
    assert_eq!(client.next().await["type"], "HEARTBEAT");
    let offers = client.next_of("OFFERS").await;
    like("session-main", &offers, |event| event["type"] == "OFFERS");
    let offer = &offers["offers"]["offers"][0];

    client
        .launch(offer, &[task("t", offer), task("bad/id", offer)])
        .await;
    let error = client.next_of("UPDATE").await;
    like(
        "session-main",
        &error,
        update("REASON_TASK_INVALID", "TASK_ERROR"),
    );
    let message = error["update"]["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("'bad/id' contains invalid characters"),
        "{message}"
    );
    assert!(matches!(agent.next().await, Body::RunTask(_)));
    agent
        .update(&client.id, "t", TaskState::TaskRunning, 1)
        .await;
    let running = client.update_of("t", "TASK_RUNNING").await;
    like("session-main", &running, |event| {
        event["update"]["status"]["state"] == "TASK_RUNNING"
    });
    client.acknowledge(&running).await;
    assert!(matches!(agent.next().await, Body::AcknowledgeUpdate(_)));

    client.launch(offer, &[task("late", offer)]).await;
    let dropped = client.update_of("late", "TASK_DROPPED").await;
    like(
        "session-main",
        &dropped,
        update("REASON_INVALID_OFFERS", "TASK_DROPPED"),
    );
    client
        .accepted(r#""type":"RECONCILE","reconcile":{"tasks":[]}"#)
        .await;
    let known = client.update_of("t", "TASK_RUNNING").await;
    like(
        "session-main",
        &known,
        update("REASON_RECONCILIATION", "TASK_RUNNING"),
    );
    client
        .accepted(r#""type":"KILL","kill":{"task_id":{"value":"never"}}"#)
        .await;
    let unknown = client.update_of("never", "TASK_UNKNOWN").await;
    like(
        "session-main",
        &unknown,
        update("REASON_RECONCILIATION", "TASK_UNKNOWN"),
    );

    let info = format!(r#""id":{{"value":"{}"}},{AWARE}"#, client.id);
    let second = Client::subscribe(&master, &info).await;
    let error = client.next_of("ERROR").await;
    like("session-main", &error, |event| event["type"] == "ERROR");
    assert!(client.try_next().await.is_none(), "the old stream ends");
    assert_eq!(second.id, client.id);
    let (status, text) = client.call(r#""type":"REVIVE""#).await;
    assert_eq!(status, 400);
    assert!(text.contains("didn't match the stream ID"), "{text}");
    master.stop().await;
}

#[tokio::test]
async fn a_lost_agent_looks_like_the_recorded_one() {
    for (session, info, lost) in [
        ("lost-session", AWARE, "TASK_UNREACHABLE"),
        (
            "lost-session-not-partition-aware",
            r#""failover_timeout":60"#,
            "TASK_LOST",
        ),
    ] {
        let config = MasterConfig {
            agent_ping_timeout: Duration::from_millis(50),
            max_agent_ping_timeouts: 2,
            ..MasterConfig::default()
        };
        let master = TestMaster::start(config).await;
        let mut agent = Agent::register(&master).await.welcomed().await;
        let mut client = Client::subscribe(&master, info).await;
        let offers = client.next_of("OFFERS").await;
        let offer = offers["offers"]["offers"][0].clone();
        client.launch(&offer, &[task("t", &offer)]).await;
        let Body::RunTask(_) = agent.next().await else {
            panic!("a task to run")
        };
        agent
            .update(&client.id, "t", TaskState::TaskRunning, 1)
            .await;
        client.update_of("t", "TASK_RUNNING").await;
        let snapshot = holding(&master, &client.id);
        let id = agent.id.clone();
        drop(agent);
        let event = client.update_of("t", lost).await;
        like(session, &event, update("REASON_AGENT_REMOVED", lost));
        let event = client.next_of("FAILURE").await;
        like(session, &event, |event| event["type"] == "FAILURE");
        let _agent = Agent::open(&master, &id, Some(snapshot))
            .await
            .welcomed()
            .await;
        let event = client.update_of("t", "TASK_RUNNING").await;
        like(
            session,
            &event,
            update("REASON_AGENT_REREGISTERED", "TASK_RUNNING"),
        );
        master.stop().await;
    }
}

/// What an agent that runs all of a framework's tasks would say.
fn holding(master: &TestMaster, framework: &str) -> Snapshot {
    let state = master.running.handle.snapshot();
    let framework = &state.frameworks[framework];
    Snapshot {
        frameworks: vec![(*framework.info).clone()],
        tasks: framework
            .tasks
            .values()
            .map(|task| task.to_wire())
            .collect(),
        ..Snapshot::default()
    }
}

#[tokio::test]
async fn a_master_that_restarts_knows_its_agents_and_takes_their_tasks_back() {
    let folder = tempfile::tempdir().unwrap();
    let config = || MasterConfig {
        registry: RegistryPlace::File(folder.path().join("registry")),
        ..MasterConfig::default()
    };
    let master = TestMaster::start(config()).await;
    let mut agent = Agent::register(&master).await.welcomed().await;
    let mut client = Client::subscribe(&master, AWARE).await;
    let offers = client.next_of("OFFERS").await;
    let offer = offers["offers"]["offers"][0].clone();
    client.launch(&offer, &[task("t", &offer)]).await;
    assert!(matches!(agent.next().await, Body::RunTask(_)));
    agent
        .update(&client.id, "t", TaskState::TaskRunning, 1)
        .await;
    client.update_of("t", "TASK_RUNNING").await;
    let held = holding(&master, &client.id);
    let first_id = master.running.handle.snapshot().identity.info.id.clone();
    master.stop().await;
    assert!(
        client.try_next().await.is_none(),
        "the stream ends with the master"
    );
    assert!(agent.try_next().await.is_none(), "and so does the session");

    let master = TestMaster::start(config()).await;
    let state = master.running.handle.snapshot();
    assert_ne!(state.identity.info.id, first_id);
    assert_eq!(
        state
            .recovered_agents
            .keys()
            .map(|id| id.as_str())
            .collect::<Vec<_>>(),
        [agent.id.as_str()]
    );
    let info = format!(r#""id":{{"value":"{}"}},{AWARE}"#, client.id);
    let mut client = Client::subscribe(&master, &info).await;
    let id = agent.id.clone();
    let agent = Agent::open(&master, &id, Some(held)).await.welcomed().await;
    assert_eq!(agent.id, id);
    let handle = master.running.handle.clone();
    wait_for("the task", || {
        handle.snapshot().frameworks[client.id.as_str()]
            .tasks
            .get("t")
            .cloned()
    })
    .await;
    client
        .accepted(r#""type":"RECONCILE","reconcile":{"tasks":[{"task_id":{"value":"t"}}]}"#)
        .await;
    client.update_of("t", "TASK_RUNNING").await;
    master.stop().await;
}

#[tokio::test]
async fn what_the_agent_said_is_acknowledged_in_time() {
    let master = TestMaster::start(MasterConfig::default()).await;
    let mut agent = Agent::register(&master).await.welcomed().await;
    let welcome = agent.last.clone().unwrap();
    assert_eq!((welcome.sequence, welcome.acknowledged), (1, 1));
    // Something that an agent keeps until it hears that it was taken over; of nobody, so nothing follows.
    let message = mesos_control::v1::ExecutorMessage::default();
    agent
        .say(agent_message::Body::ExecutorMessage(message))
        .await;
    let kill = master.running.handle.snapshot().identity.info.id.clone();
    assert_eq!(welcome.master_id, kill);
    // Nothing else is said to the agent: the acknowledgement comes by itself.
    let client = Client::subscribe(&master, AWARE).await;
    let handle = master.running.handle.clone();
    wait_for("the framework", || {
        handle
            .snapshot()
            .frameworks
            .get(client.id.as_str())
            .cloned()
    })
    .await;
    let next = tokio::time::timeout(Duration::from_millis(1500), agent.try_next()).await;
    assert!(next.is_err(), "{next:?}");
    assert_eq!(agent.last.unwrap().acknowledged, 2);
    master.stop().await;
}

#[tokio::test]
async fn a_session_that_begins_with_something_else_is_refused() {
    let master = TestMaster::start(MasterConfig::default()).await;
    let mut client =
        mesos_control::v1::agent_control_client::AgentControlClient::connect(master.url(""))
            .await
            .unwrap();
    let message = mesos_control::v1::AgentMessage {
        sequence: 1,
        acknowledged: 0,
        body: Some(agent_message::Body::Pong(mesos_control::v1::Pong {})),
    };
    let (out, stream) = tokio::sync::mpsc::channel(1);
    out.send(message).await.unwrap();
    let mut incoming = client
        .session(tokio_stream::wrappers::ReceiverStream::new(stream))
        .await
        .unwrap()
        .into_inner();
    let answer = incoming.message().await.unwrap().unwrap();
    assert!(matches!(answer.body, Some(Body::Refused(_))), "{answer:?}");
    assert!(incoming.message().await.unwrap().is_none());
    master.stop().await;
}

#[tokio::test]
async fn a_framework_that_does_not_read_is_cut_off_and_others_go_on() {
    let config = MasterConfig {
        stream_records: 64,
        stream_bytes: 64 << 10,
        ..MasterConfig::default()
    };
    let master = TestMaster::start(config).await;
    let slow = Client::subscribe(&master, AWARE).await;
    let handle = master.running.handle.clone();
    let asked: Vec<String> = (0..2000)
        .map(|n| format!(r#"{{"task_id":{{"value":"t{n}"}}}}"#))
        .collect();
    let call = format!(
        r#""type":"RECONCILE","reconcile":{{"tasks":[{}]}}"#,
        asked.join(",")
    );
    // The kernel's buffers take some before ours are full.
    for _ in 0..200 {
        if slow.call(&call).await.0 != 202 {
            break;
        }
    }
    wait_for("the slow framework is disconnected", || {
        handle
            .snapshot()
            .frameworks
            .get(slow.id.as_str())
            .filter(|f| !f.connected())
            .cloned()
    })
    .await;
    let mut other = Client::subscribe(&master, AWARE).await;
    assert_eq!(other.next().await["type"], "SUBSCRIBED");
    master.stop().await;
}

#[tokio::test]
async fn a_client_reads_its_own_writes() {
    let master = TestMaster::start(MasterConfig::default()).await;
    let client = Client::subscribe(&master, AWARE).await;
    for n in 0..50 {
        let (status, _) = client
            .call(&format!(
                r#""type":"UPDATE_FRAMEWORK","update_framework":{{"framework_info":{{"user":"u","name":"n{n}",
                   "id":{{"value":"{}"}},{AWARE}}}}}"#,
                client.id
            ))
            .await;
        assert_eq!(status, 200);
        let state = master.running.handle.snapshot();
        assert_eq!(state.frameworks[client.id.as_str()].name(), format!("n{n}"));
    }
    master.stop().await;
}
