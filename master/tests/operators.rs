//! What operators order, over real connections, beside what was recorded of Apache Mesos.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod common;

use std::path::Path;

use common::{
    Agent, Client, TestMaster,
    recorded::{fields, like},
    task, wait_for,
};
use mesos_control::v1::{Snapshot, master_message::Body};
use mesos_master::{MasterConfig, config::RegistryPlace};
use mesos_wire::v1::TaskState;
use serde_json::{Value, json};

const AWARE: &str = r#""capabilities":[{"type":"MULTI_ROLE"},{"type":"PARTITION_AWARE"},{"type":"TASK_KILLING_STATE"}],"roles":["*"],"failover_timeout":60"#;

/// A recorded message: its first line and its body.
fn message(name: &str) -> (String, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (head, body) = text.split_once("\r\n\r\n").expect("headers and a body");
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// Sends a recorded request, with our ids in it. Status and body of our answer and of the recorded one.
async fn replay(master: &TestMaster, agent: &Agent, name: &str) -> ((u16, String), (u16, String)) {
    let (first, body) = message(&format!("{name}.req"));
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let recorded_id = body
        .find("-S0\"")
        .map(|end| body[..end + 3].rsplit('"').next().unwrap().to_owned());
    let body = match recorded_id {
        Some(id) => body.replace(&id, &agent.id),
        None => body,
    };
    let response = reqwest::Client::new()
        .request(method.parse().unwrap(), master.url(path))
        .header("Content-Type", "application/json")
        .header("Accept", "application/json")
        .body(body)
        .send()
        .await
        .expect("an answer");
    let ours = (response.status().as_u16(), response.text().await.unwrap());
    let (first, body) = message(&format!("{name}.res"));
    let status = first.split(' ').nth(1).unwrap().parse().unwrap();
    (ours, (status, body))
}

/// Our answer is the recorded one, to the byte or at least by value.
async fn same(master: &TestMaster, agent: &Agent, name: &str) {
    let ((status, ours), (expected, theirs)) = replay(master, agent, name).await;
    assert_eq!(status, expected, "{name}: {ours}");
    match serde_json::from_str::<Value>(&theirs) {
        Ok(theirs) => assert_eq!(
            serde_json::from_str::<Value>(&ours).unwrap(),
            theirs,
            "{name}"
        ),
        // Our refusals also say where in the call it is.
        Err(_) => assert!(
            ours == theirs || (status >= 400 && ours.starts_with(&theirs)),
            "{name}: {ours}"
        ),
    }
}

/// Our answer has the fields of the recorded one.
async fn alike(master: &TestMaster, agent: &Agent, name: &str) -> Value {
    let ((status, ours), (expected, theirs)) = replay(master, agent, name).await;
    assert_eq!(status, expected, "{name}: {ours}");
    let (ours, theirs): (Value, Value) = (
        serde_json::from_str(&ours).unwrap(),
        serde_json::from_str(&theirs).unwrap(),
    );
    let mut missing = fields(&theirs);
    // Of v0, and never there in v1.
    missing.retain(|field| !field.ends_with(".agent_info.checkpoint"));
    let mut found = fields(&ours);
    // What an agent can do differs, and how it is described.
    let described = |field: &String| field.contains("capabilities") || field.contains("attributes");
    missing.retain(|field| !described(field));
    found.retain(|field| !described(field));
    assert_eq!(found, missing, "{name}\nrecorded {theirs}\nfound {ours}");
    ours
}

/// The next offer that was not rescinded since.
async fn standing(master: &TestMaster, client: &mut Client) -> Value {
    loop {
        let offers = client.next_of("OFFERS").await;
        let offer = offers["offers"]["offers"][0].clone();
        let id = offer["id"]["value"].as_str().unwrap();
        if master.running.handle.snapshot().offers.contains_key(id) {
            return offer;
        }
    }
}

async fn ask(master: &TestMaster, call: &str) -> Value {
    let response = reqwest::Client::new()
        .post(master.url("/api/v1"))
        .header("Content-Type", "application/json")
        .body(call.to_owned())
        .send()
        .await
        .expect("an answer");
    response.json().await.expect("JSON")
}

#[tokio::test]
async fn settings_are_answered_and_shown_as_recorded() {
    let master = TestMaster::start(MasterConfig::default()).await;
    let agent = Agent::register(&master).await.welcomed().await;
    for name in [
        "get_weights",
        "update_weights",
        "get_weights-after",
        "get_quota",
        "update_quota",
        "get_quota-after",
        "update_quota-guarantee-too-big",
        "get_maintenance_schedule",
        "get_maintenance_status",
        "update_maintenance_schedule",
        "get_maintenance_schedule-after",
        "get_maintenance_status-after",
        "clear_maintenance_schedule",
        "get_maintenance_schedule",
        "mark_agent_gone-unknown",
    ] {
        same(&master, &agent, &format!("settings/{name}")).await;
    }
    same(&master, &agent, "settings/deactivate_agent").await;
    let shown = ask(&master, r#"{"type":"GET_AGENTS"}"#).await;
    let shown = &shown["get_agents"]["agents"][0];
    assert_eq!(
        (&shown["active"], &shown["deactivated"]),
        (&json!(false), &json!(true))
    );
    same(&master, &agent, "settings/reactivate_agent").await;
    let shown = ask(&master, r#"{"type":"GET_AGENTS"}"#).await;
    let shown = &shown["get_agents"]["agents"][0];
    assert_eq!(
        (&shown["active"], &shown["deactivated"]),
        (&json!(true), &json!(false))
    );
    master.stop().await;
}

#[tokio::test]
async fn a_session_with_drain_and_maintenance_is_like_the_recorded_one() {
    let master = TestMaster::start(MasterConfig::default()).await;
    let mut agent = Agent::register(&master).await.welcomed().await;
    let mut client = Client::subscribe(&master, AWARE).await;
    let offers = client.next_of("OFFERS").await;
    let offer = offers["offers"]["offers"][0].clone();
    client.launch(&offer, &[task("m1", &offer)]).await;
    assert!(matches!(agent.next().await, Body::RunTask(_)));
    agent
        .update(&client.id, "m1", TaskState::TaskRunning, 1)
        .await;
    let running = client.update_of("m1", "TASK_RUNNING").await;
    client.acknowledge(&running).await;
    assert!(matches!(agent.next().await, Body::AcknowledgeUpdate(_)));

    same(&master, &agent, "maint/drain_agent-bad-duration-form").await;
    same(&master, &agent, "maint/drain_agent").await;
    let Body::DrainAgent(order) = agent.next().await else {
        panic!("the agent is to drain")
    };
    let grace = order.config.unwrap().max_grace_period.unwrap();
    assert_eq!(grace.nanoseconds, 2_000_000_000);
    alike(&master, &agent, "maint/get_agents-draining").await;
    alike(&master, &agent, "maint/master-slaves-draining").await;
    agent
        .update(&client.id, "m1", TaskState::TaskKilled, 2)
        .await;
    let killed = client.update_of("m1", "TASK_KILLED").await;
    client.acknowledge(&killed).await;
    assert!(matches!(agent.next().await, Body::AcknowledgeUpdate(_)));
    let shown = alike(&master, &agent, "maint/get_agents-drained").await;
    let shown = &shown["get_agents"]["agents"][0];
    assert_eq!(shown["drain_info"]["state"], "DRAINED");
    same(&master, &agent, "maint/reactivate").await;
    assert!(matches!(agent.next().await, Body::DrainAgent(over) if over.config.is_none()));

    let offer = standing(&master, &mut client).await;
    client.launch(&offer, &[task("m3", &offer)]).await;
    assert!(matches!(agent.next().await, Body::RunTask(_)));
    agent
        .update(&client.id, "m3", TaskState::TaskRunning, 3)
        .await;
    let running = client.update_of("m3", "TASK_RUNNING").await;
    client.acknowledge(&running).await;
    assert!(matches!(agent.next().await, Body::AcknowledgeUpdate(_)));

    same(&master, &agent, "maint/start_maintenance-unscheduled").await;
    same(&master, &agent, "maint/update_schedule").await;
    same(&master, &agent, "maint/legacy-schedule").await;
    let asked = client.next_of("INVERSE_OFFERS").await;
    like("maint", &asked, |event| event["type"] == "INVERSE_OFFERS");
    let id = &asked["inverse_offers"]["inverse_offers"][0]["id"];
    client
        .accepted(&format!(
            r#""type":"DECLINE_INVERSE_OFFERS","decline_inverse_offers":{{"inverse_offer_ids":[{id}],"filters":{{"refuse_seconds":0.1}}}}"#
        ))
        .await;
    let status = alike(&master, &agent, "maint/get_status-declined").await;
    assert_eq!(answer(&status), "DECLINE");
    let again = client.next_of("INVERSE_OFFERS").await;
    let id = &again["inverse_offers"]["inverse_offers"][0]["id"];
    client
        .accepted(&format!(
            r#""type":"ACCEPT_INVERSE_OFFERS","accept_inverse_offers":{{"inverse_offer_ids":[{id}]}}"#
        ))
        .await;
    let status = alike(&master, &agent, "maint/get_status-accepted").await;
    assert_eq!(answer(&status), "ACCEPT");
    alike(&master, &agent, "maint/legacy-status").await;

    same(&master, &agent, "maint/start_maintenance").await;
    assert!(matches!(agent.next().await, Body::Shutdown(_)));
    let lost = client.update_of("m3", "TASK_LOST").await;
    like("maint", &lost, |event| {
        event["update"]["status"]["state"] == "TASK_LOST"
    });
    assert_eq!(
        lost["update"]["status"]["message"],
        "Agent localhost removed: Operator initiated 'Machine DOWN'"
    );
    like("maint", &client.next_of("FAILURE").await, |event| {
        event["type"] == "FAILURE"
    });
    for name in [
        "get_status-down",
        "master-slaves-down",
        "start_maintenance-again",
        "machine-down-legacy",
    ] {
        same(&master, &agent, &format!("maint/{name}")).await;
    }
    let mut turned_away = Agent::register(&master).await;
    assert!(matches!(
        turned_away.next().await,
        Body::Refused(refused) if refused.shutdown
    ));
    for name in [
        "stop_maintenance",
        "get_status-up",
        "schedule-legacy-post",
        "schedule-legacy-post-empty",
    ] {
        same(&master, &agent, &format!("maint/{name}")).await;
    }
    Agent::register(&master).await.welcomed().await;
    master.stop().await;
}

fn answer(status: &Value) -> &Value {
    let status = &status["get_maintenance_status"]["status"];
    &status["draining_machines"][0]["statuses"][0]["status"]
}

#[tokio::test]
async fn a_gone_agent_is_like_the_recorded_one_and_stays_gone_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = || MasterConfig {
        registry: RegistryPlace::File(folder.path().join("registry")),
        ..MasterConfig::default()
    };
    for (session, info, lost) in [
        ("lost-session", AWARE, "TASK_GONE_BY_OPERATOR"),
        (
            "lost-session-not-partition-aware",
            r#""failover_timeout":60"#,
            "TASK_LOST",
        ),
    ] {
        let master = TestMaster::start(config()).await;
        let mut agent = Agent::register(&master).await.welcomed().await;
        let mut client = Client::subscribe(&master, info).await;
        let offers = client.next_of("OFFERS").await;
        let offer = offers["offers"]["offers"][0].clone();
        client.launch(&offer, &[task("t", &offer)]).await;
        assert!(matches!(agent.next().await, Body::RunTask(_)));
        agent
            .update(&client.id, "t", TaskState::TaskRunning, 1)
            .await;
        let running = client.update_of("t", "TASK_RUNNING").await;
        client.acknowledge(&running).await;
        assert!(matches!(agent.next().await, Body::AcknowledgeUpdate(_)));
        same(&master, &agent, "maint/lost-v1-mark_agent_gone").await;
        let gone = client.update_of("t", lost).await;
        like(session, &gone, |event| {
            event["update"]["status"]["message"] == "Agent has been marked gone"
        });
        assert_eq!(
            gone["update"]["status"]["message"],
            "Agent has been marked gone"
        );
        like(session, &client.next_of("FAILURE").await, |event| {
            event["type"] == "FAILURE"
        });
        assert!(matches!(agent.next().await, Body::Shutdown(_)));
        assert!(agent.try_next().await.is_none(), "its session ends");
        same(&master, &agent, "maint/lost-master-slaves-gone").await;
        master.stop().await;

        let master = TestMaster::start(config()).await;
        let mut again = Agent::open(&master, &agent.id, Some(Snapshot::default())).await;
        assert!(matches!(
            again.next().await,
            Body::Refused(refused) if refused.shutdown
        ));
        master.stop().await;
    }
}

#[tokio::test]
async fn what_operators_set_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = || MasterConfig {
        registry: RegistryPlace::File(folder.path().join("registry")),
        ..MasterConfig::default()
    };
    let master = TestMaster::start(config()).await;
    let agent = Agent::register(&master).await.welcomed().await;
    for name in [
        "settings/update_weights",
        "settings/update_quota",
        "maint/drain_agent",
        "settings/update_maintenance_schedule",
    ] {
        let ((status, text), _) = replay(&master, &agent, name).await;
        assert_eq!(status, 200, "{name}: {text}");
    }
    master.stop().await;
    let master = TestMaster::start(config()).await;
    for name in [
        "settings/get_weights-after",
        "settings/get_quota-after",
        "settings/get_maintenance_schedule-after",
        "settings/get_maintenance_status-after",
    ] {
        same(&master, &agent, name).await;
    }
    let handle = master.running.handle.clone();
    let known = handle.snapshot().recovered_agents[agent.id.as_str()].clone();
    assert!(known.deactivation.as_ref().unwrap().drain.is_some());
    let mut agent = Agent::open(&master, &agent.id, Some(Snapshot::default())).await;
    assert!(matches!(agent.next().await, Body::Welcome(_)));
    assert!(matches!(agent.next().await, Body::DrainAgent(_)));
    wait_for("the agent", || {
        handle.snapshot().agents.values().next().cloned()
    })
    .await;
    master.stop().await;
}

#[tokio::test]
async fn a_follower_hears_that_an_agent_is_gone() {
    let master = TestMaster::start(MasterConfig::default()).await;
    let agent = Agent::register(&master).await.welcomed().await;
    let (_, mut changes) = master.running.handle.follow();
    same(&master, &agent, "maint/lost-v1-mark_agent_gone").await;
    loop {
        let (_, change) = changes.recv().await.expect("changes go on");
        if let mesos_master::state::Change::AgentRemoved(id) = change {
            assert_eq!(id.as_str(), agent.id);
            break;
        }
    }
    master.stop().await;
}
