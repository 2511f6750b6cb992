//! How many tasks and status updates a second go through a master, over real connections on loopback:
//! `cargo run --release -p mesos-master --example updates_bench -- [tasks] [agents]`.
//!
//! One framework speaks HTTP with JSON, each agent has its own control stream and answers at once, so the
//! figures are the master's and this program's together. Each task takes three updates and three
//! acknowledgements. Prints figures and asserts nothing about them.
#![allow(clippy::unwrap_used, reason = "a panic is how a benchmark fails")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use common::{Agent, Client, TestMaster, task};
use mesos_control::v1::master_message::Body;
use mesos_master::{MasterConfig, config::RegistryPlace};
use mesos_wire::v1::TaskState;

/// Tasks launched with one offer.
const PER_OFFER: usize = 30;

#[tokio::main]
async fn main() {
    let mut args = std::env::args()
        .skip(1)
        .map(|arg| arg.parse::<usize>().unwrap());
    let (tasks, agents) = (args.next().unwrap_or(10_000), args.next().unwrap_or(4));
    let folder = tempfile::tempdir().unwrap();
    let config = MasterConfig {
        registry: RegistryPlace::File(folder.path().join("registry")),
        ..MasterConfig::default()
    };
    let master = TestMaster::start(config).await;
    let registering = Instant::now();
    for n in 0..agents {
        let agent = Agent::register_at(&master, 6000 + i32::try_from(n).unwrap()).await;
        tokio::spawn(serve(agent.welcomed().await));
    }
    println!(
        "{agents} agents registered, one after the other: {:?} each",
        registering.elapsed() / u32::try_from(agents).unwrap()
    );
    let mut client = Client::subscribe(
        &master,
        r#""capabilities":[{"type":"PARTITION_AWARE"}],"failover_timeout":60"#,
    )
    .await;

    let start = Instant::now();
    let (mut launched, mut ended, mut updates) = (0, 0, 0);
    let mut accepted: HashMap<String, Instant> = HashMap::new();
    let mut to_running: Vec<Duration> = Vec::new();
    let mut acknowledgements = VecDeque::new();
    while ended < tasks {
        let event = client.next().await;
        match event["type"].as_str().unwrap() {
            "OFFERS" => {
                for offer in event["offers"]["offers"].as_array().unwrap() {
                    let count = fit(offer).min(PER_OFFER).min(tasks - launched);
                    let ids: Vec<String> = (launched..launched + count)
                        .map(|n| format!("t{n}"))
                        .collect();
                    launched += count;
                    let infos: Vec<String> = ids.iter().map(|id| task(id, offer)).collect();
                    let now = Instant::now();
                    accepted.extend(ids.into_iter().map(|id| (id, now)));
                    client.launch(offer, &infos).await;
                }
            }
            "UPDATE" => {
                updates += 1;
                let status = &event["update"]["status"];
                match status["state"].as_str().unwrap() {
                    "TASK_RUNNING" => {
                        let id = status["task_id"]["value"].as_str().unwrap();
                        to_running.push(accepted[id].elapsed());
                    }
                    "TASK_FINISHED" => ended += 1,
                    "TASK_STARTING" => {}
                    other => panic!("unexpected {other}: {event}"),
                }
                acknowledgements.push_back(tokio::spawn(client.acknowledging(&event)));
                while acknowledgements.len() > 64 {
                    acknowledgements.pop_front().unwrap().await.unwrap();
                }
            }
            _ => {}
        }
    }
    let took = start.elapsed().as_secs_f64();
    for acknowledgement in acknowledgements {
        acknowledgement.await.unwrap();
    }
    #[allow(clippy::cast_precision_loss, reason = "counts are small")]
    let per_second = |count: usize| count as f64 / took;
    to_running.sort();
    println!(
        "{tasks} tasks in {took:.2} s: {:.0} tasks/s, {:.0} updates/s",
        per_second(tasks),
        per_second(updates)
    );
    println!(
        "accept to TASK_RUNNING, in batches of {PER_OFFER}: median {:?}, 99% {:?}",
        to_running[to_running.len() / 2],
        to_running[to_running.len() * 99 / 100]
    );
    master.stop().await;
}

/// How many of our tasks an offer has room for: 0.1 cpus and 32 MB each.
fn fit(offer: &serde_json::Value) -> usize {
    let amount = |name: &str| {
        let resources = offer["resources"].as_array().unwrap();
        let found = resources.iter().find(|resource| resource["name"] == name);
        found.map_or(0.0, |resource| {
            resource["scalar"]["value"].as_f64().unwrap()
        })
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small and positive"
    )]
    let count = (amount("cpus") * 10.0 + 1e-6).min(amount("mem") / 32.0) as usize;
    count
}

/// Plays an agent whose tasks start, run and finish as fast as they are acknowledged.
async fn serve(mut agent: Agent) {
    let mut waiting: HashMap<String, (String, u8)> = HashMap::new();
    while let Some(body) = agent.try_next().await {
        match body {
            Body::RunTask(run) => {
                let framework = run.framework.unwrap().id.unwrap().value;
                let task = run.task.unwrap().task_id.value;
                agent
                    .update(&framework, &task, TaskState::TaskStarting, 1)
                    .await;
                waiting.insert(task, (framework, 1));
            }
            Body::AcknowledgeUpdate(acknowledge) => {
                let task = acknowledge.task_id.unwrap().value;
                let Some((framework, step)) = waiting.remove(&task) else {
                    continue;
                };
                let next = match step {
                    1 => TaskState::TaskRunning,
                    2 => TaskState::TaskFinished,
                    _ => continue,
                };
                agent.update(&framework, &task, next, step + 1).await;
                waiting.insert(task, (framework, step + 1));
            }
            _ => {}
        }
    }
}
