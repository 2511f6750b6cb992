//! Offer operations over real connections, with the calls that were recorded from a Mesos 1.11.0: frameworks in
//! ACCEPT, operators in both of their APIs, and an agent that does what it is told.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod common;

use std::time::Duration;

use common::{
    Agent, Client, TestMaster,
    recorded::{like, recorded, recorded_body},
};
use mesos_control::v1::{ApplyOperation, OperationUpdate, agent_message, master_message::Body};
use mesos_master::MasterConfig;
use mesos_wire::v1::{self, OperationState, OperationStatus};
use serde_json::{Value, json};

/// As the recorded framework subscribed.
const DEV: &str = r#""capabilities":[{"type":"MULTI_ROLE"},{"type":"PARTITION_AWARE"},{"type":"TASK_KILLING_STATE"},
    {"type":"RESERVATION_REFINEMENT"}],"roles":["dev"],"principal":"p""#;

async fn told(agent: &mut Agent) -> ApplyOperation {
    match agent.next().await {
        Body::ApplyOperation(apply) => apply,
        other => panic!("an operation comes, not {other:?}"),
    }
}

async fn done(agent: &mut Agent, apply: &ApplyOperation, uuid: u8) {
    let status = OperationStatus {
        state: OperationState::OperationFinished.into(),
        uuid: Some(v1::Uuid {
            value: vec![uuid; 16],
        }),
        ..OperationStatus::default()
    };
    let update = OperationUpdate {
        framework_id: apply.framework_id.clone(),
        operation_uuid: apply.operation_uuid.clone(),
        status: Some(status),
    };
    agent
        .say(agent_message::Body::OperationUpdate(update))
        .await;
}

/// A recorded call of the framework, about this offer.
fn accept(name: &str, offer: &Value) -> String {
    let mut call = recorded_body(&format!("calls/{name}.req"));
    call["accept"]["offer_ids"] = json!([offer["id"]]);
    for operation in call["accept"]["operations"].as_array_mut().unwrap() {
        if let Some(tasks) = operation["launch"]["task_infos"].as_array_mut() {
            for task in tasks {
                task["agent_id"] = offer["agent_id"].clone();
            }
        }
    }
    format!(r#""type":"ACCEPT","accept":{}"#, call["accept"])
}

/// Resources in the order of their names and sizes, to compare.
fn sorted(resources: &Value) -> Vec<String> {
    let mut all: Vec<String> = resources
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    all.sort();
    all
}

async fn offered(client: &mut Client) -> Value {
    client.next_of("OFFERS").await["offers"]["offers"][0].clone()
}

#[tokio::test]
async fn a_session_with_a_volume_is_like_the_recorded_one() {
    let master = TestMaster::start(MasterConfig::default()).await;
    let mut agent = Agent::register(&master).await.welcomed().await;
    let mut client = Client::subscribe(&master, DEV).await;
    let offer = offered(&mut client).await;
    client
        .accepted(&accept("accept-reserve-create", &offer))
        .await;
    let applies = [told(&mut agent).await, told(&mut agent).await];
    for ((id, uuid), apply) in [("op-reserve", 1), ("op-create", 2)]
        .into_iter()
        .zip(applies)
    {
        done(&mut agent, &apply, uuid).await;
        let update = loop {
            // An offer of what was made may come first.
            let event = client.next_of("UPDATE_OPERATION_STATUS").await;
            if event["update_operation_status"]["status"]["operation_id"]["value"] == id {
                break event;
            }
        };
        like("session-dev", &update, |event| {
            event["type"] == "UPDATE_OPERATION_STATUS"
        });
        let status = &update["update_operation_status"]["status"];
        assert_eq!(status["state"], "OPERATION_FINISHED");
        client
            .accepted(&format!(
                r#""type":"ACKNOWLEDGE_OPERATION_STATUS","acknowledge_operation_status":{{"agent_id":{},"operation_id":{},"uuid":{}}}"#,
                status["agent_id"], status["operation_id"], status["uuid"]["value"]
            ))
            .await;
        assert!(matches!(agent.next().await, Body::AcknowledgeOperation(_)));
    }
    master.stop().await;
}

#[tokio::test]
async fn offers_with_a_volume_are_those_recorded_and_its_tasks_get_it() {
    let master = TestMaster::start(MasterConfig::default()).await;
    let mut agent = Agent::register(&master).await.welcomed().await;
    let mut client = Client::subscribe(&master, DEV).await;
    let first = offered(&mut client).await;
    client
        .accepted(&accept("accept-reserve-create", &first))
        .await;
    let offer = offered(&mut client).await;
    let with_volume = |event: &Value| {
        let resources = &event["offers"]["offers"][0]["resources"];
        event["type"] == "OFFERS" && resources.to_string().contains("vol1")
    };
    let theirs = &recorded("session-dev", with_volume)["offers"]["offers"][0];
    // Another task of that session held a tenth of a cpu and 32 MB.
    let theirs: Vec<Value> = theirs["resources"].as_array().unwrap().clone();
    let theirs: Vec<Value> = theirs
        .into_iter()
        .map(|mut resource| {
            match resource["name"].as_str() {
                Some("cpus") => resource["scalar"]["value"] = json!(4.0),
                Some("mem") => resource["scalar"]["value"] = json!(4096.0),
                _ => {}
            }
            resource
        })
        .collect();
    assert_eq!(
        sorted(&offer["resources"]),
        sorted(&Value::Array(theirs)),
        "reserved, made into a volume, and offered so"
    );
    for uuid in [1, 2] {
        let apply = told(&mut agent).await;
        done(&mut agent, &apply, uuid).await;
    }
    client.accepted(&accept("launch-with-volume", &offer)).await;
    let Body::RunTask(run) = agent.next().await else {
        panic!("a task to run");
    };
    let task = run.task.unwrap();
    let volume = task
        .resources
        .iter()
        .find_map(|resource| resource.disk.as_ref())
        .expect("the task has its volume");
    assert_eq!(volume.persistence.as_ref().unwrap().id, "vol1");
    assert_eq!(volume.volume.as_ref().unwrap().container_path, "data");
    agent
        .update(&client.id, "usevol", v1::TaskState::TaskFinished, 3)
        .await;
    client.update_of("usevol", "TASK_FINISHED").await;
    let mut offers = vec![offered(&mut client).await];
    while !offers
        .iter()
        .any(|offer| offer["resources"].to_string().contains("vol1"))
    {
        offers.push(offered(&mut client).await);
    }
    let mut call = recorded_body("calls/accept-destroy-unreserve.req");
    let ids: Vec<Value> = master
        .running
        .handle
        .snapshot()
        .offers
        .keys()
        .map(|id| json!({"value": id.as_str()}))
        .collect();
    call["accept"]["offer_ids"] = Value::Array(ids);
    client
        .accepted(&format!(r#""type":"ACCEPT","accept":{}"#, call["accept"]))
        .await;
    for kind in ["DESTROY", "UNRESERVE"] {
        let apply = told(&mut agent).await;
        assert_eq!(apply.operation.unwrap().r#type().as_str_name(), kind);
    }
    let last = offered(&mut client).await;
    assert_eq!(sorted(&last["resources"]), sorted(&first["resources"]));
    master.stop().await;
}

/// Sends a request and gives status and body.
async fn post(master: &TestMaster, path: &str, content_type: &str, body: String) -> (u16, String) {
    let request = reqwest::Client::new()
        .post(master.url(path))
        .header("Content-Type", content_type)
        .body(body);
    let answer = async {
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    tokio::time::timeout(Duration::from_secs(10), answer)
        .await
        .expect("an answer in time")
}

/// A recorded call of the operator, about this agent.
async fn operate(master: &TestMaster, agent: &Agent, name: &str) -> (u16, String) {
    let mut call = recorded_body(&format!("operator/{name}.req"));
    let kind = call["type"].as_str().unwrap().to_lowercase();
    call[&kind]["agent_id"]["value"] = json!(agent.id);
    post(master, "/api/v1", "application/json", call.to_string()).await
}

async fn ask(master: &TestMaster, call: &str) -> Value {
    let body = format!(r#"{{"type":"{call}"}}"#);
    let (status, text) = post(master, "/api/v1", "application/json", body).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn an_operators_session_is_like_the_recorded_one() {
    let master = TestMaster::start(MasterConfig::default()).await;
    let mut agent = Agent::register(&master).await.welcomed().await;
    let accepted = (202, String::new());
    assert_eq!(
        operate(&master, &agent, "reserve_resources").await,
        accepted
    );
    let pending = ask(&master, "GET_OPERATIONS").await;
    let operation = &pending["get_operations"]["operations"][0];
    assert_eq!(operation["latest_status"]["state"], "OPERATION_PENDING");
    assert_eq!(operation["info"]["type"], "RESERVE");
    assert_eq!(operation["agent_id"]["value"], agent.id.as_str());
    assert_eq!(operate(&master, &agent, "create_volumes").await, accepted);
    let applies = [told(&mut agent).await, told(&mut agent).await];
    for (uuid, apply) in [1, 2].into_iter().zip(applies) {
        assert_eq!(apply.framework_id, None);
        done(&mut agent, &apply, uuid).await;
        assert!(matches!(agent.next().await, Body::AcknowledgeOperation(_)));
    }
    let theirs = recorded_body("operator/get_agents-reserved.res");
    let ours = ask(&master, "GET_AGENTS").await;
    assert_eq!(
        ours["get_agents"]["agents"][0]["total_resources"],
        theirs["get_agents"]["agents"][0]["total_resources"]
    );
    assert_eq!(
        ask(&master, "GET_OPERATIONS").await,
        json!({"type": "GET_OPERATIONS", "get_operations": {}})
    );
    let body = reqwest::get(master.url("/slaves")).await.unwrap();
    let slaves: Value = serde_json::from_str(&body.text().await.unwrap()).unwrap();
    let slave = &slaves["slaves"][0];
    assert_eq!(slave["reserved_resources"]["dev"]["disk"], 50.0);
    assert_eq!(slave["unreserved_resources"]["disk"], 9950.0);
    assert_eq!(slave["resources"]["disk"], 10000.0);
    assert_eq!(
        slave["reserved_resources_full"]["dev"][0],
        theirs["get_agents"]["agents"][0]["total_resources"][4]
    );
    assert_eq!(operate(&master, &agent, "destroy_volumes").await, accepted);
    assert_eq!(
        operate(&master, &agent, "unreserve_resources").await,
        accepted
    );
    let (status, text) = operate(&master, &agent, "unreserve-notreserved").await;
    assert_eq!(
        (status, text.as_str()),
        (
            409,
            "cpus:4; mem:4096; disk:10000; ports:[31000-32000] does not contain disk(reservations: \
             [(DYNAMIC,dev,op)]):9999"
        )
    );
    master.stop().await;
}

fn form(agent: &Agent, list: &str, json: &str) -> String {
    let mut encoded = String::new();
    for byte in json.bytes() {
        encoded.push_str(&format!("%{byte:02X}"));
    }
    format!("slaveId={}&{list}={encoded}", agent.id)
}

const RESERVED: &str = r#"[{"name":"disk","type":"SCALAR","scalar":{"value":50},"role":"dev","reservation":{"principal":"op"}}]"#;
const VOLUME: &str = r#"[{"name":"disk","type":"SCALAR","scalar":{"value":50},"role":"dev","reservation":{"principal":"op"},
    "disk":{"persistence":{"id":"v","principal":"op"},"volume":{"container_path":"d","mode":"RW"}}}]"#;

#[tokio::test]
async fn the_older_endpoints_do_the_same() {
    let master = TestMaster::start(MasterConfig::default()).await;
    let mut agent = Agent::register(&master).await.welcomed().await;
    let url = "application/x-www-form-urlencoded";
    for (path, list, json, kind) in [
        ("/reserve", "resources", RESERVED, "RESERVE"),
        ("/create-volumes", "volumes", VOLUME, "CREATE"),
        ("/master/destroy-volumes", "volumes", VOLUME, "DESTROY"),
        ("/unreserve", "resources", RESERVED, "UNRESERVE"),
    ] {
        let answer = post(&master, path, url, form(&agent, list, json)).await;
        assert_eq!(answer, (202, String::new()), "{path}");
        let apply = told(&mut agent).await;
        assert_eq!(apply.operation.unwrap().r#type().as_str_name(), kind);
    }
    let id = &agent.id;
    for (path, body, status, text) in [
        (
            "/reserve",
            "resources=[]".to_owned(),
            400,
            "Missing 'slaveId' query parameter in the request body",
        ),
        (
            "/reserve",
            "slaveId=x&resources=[]".to_owned(),
            400,
            "No agent found with specified ID",
        ),
        (
            "/unreserve",
            format!("slaveId={id}"),
            400,
            "Missing 'resources' query parameter in the request body",
        ),
        (
            "/create-volumes",
            format!("slaveId={id}&volumes=%5B"),
            400,
            "Error in parsing 'volumes' query parameter in the request body: ",
        ),
        (
            "/create-volumes",
            format!("slaveId={id}&volumes=%5B1%5D"),
            400,
            "Error in parsing 'volumes' query parameter in the request body: ",
        ),
        (
            "/reserve",
            format!("slaveId={id}&resources=[]"),
            400,
            "Invalid RESERVE operation on agent ",
        ),
        (
            "/unreserve",
            form(&agent, "resources", RESERVED),
            409,
            "cpus:4; mem:4096; disk:10000; ports:[31000-32000] does not contain disk",
        ),
    ] {
        let (found, answer) = post(&master, path, url, body).await;
        assert_eq!(found, status, "{path}: {answer}");
        assert!(answer.starts_with(text), "{path}: {answer}");
    }
    master.stop().await;
}
