//! What reading a big cluster costs: `cargo run --release -p mesos-master --example state_bench [AGENTS] [TASKS]`.
//!
//! Prints the size of each answer and the time from request to body: for a state of which nothing was shown
//! before, for one whose tasks were, and when the body is shared with a request before it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt as _, Full};
use mesos_http::{Bytes, Service};
use mesos_master::{
    MasterConfig, reading,
    state::{Agent, Framework, Identity, Snapshot, Standing, Subscription, Task, TaskKey},
};
use mesos_types::{Format, FrameworkCapabilities, parse_attributes, parse_resources};
use mesos_wire::{
    Encoding, decode,
    v1::{self, AgentInfo, FrameworkInfo, MasterInfo},
};

/// Answers made anew per endpoint.
const ROUNDS: usize = 15;

fn json<M: mesos_wire::WireMessage>(text: &str) -> M {
    decode(Encoding::Json, text.as_bytes()).expect("the message is well formed")
}

fn agent(number: usize) -> Agent {
    let id = format!("bench-S{number}");
    let total = parse_resources("cpus:64;mem:262144;disk:1000000;ports:[31000-32000]", "*")
        .expect("the resources are well formed");
    Agent {
        id: id.as_str().into(),
        info: Arc::new(AgentInfo {
            hostname: format!("host-{number}"),
            port: Some(5051),
            resources: total.to_wire(Format::PostRefinement),
            attributes: parse_attributes("rack:r1;zone:z1")
                .expect("the attributes are well formed"),
            id: Some(id.as_str().into()),
            domain: None,
        }),
        ip: "10.0.0.1".to_owned(),
        version: "1.11.0".to_owned(),
        capabilities: Arc::new(vec![json(r#"{"type":"MULTI_ROLE"}"#)]),
        process_epoch: String::new(),
        resource_version: Vec::new(),
        registered_time: 1_700_000_000.5,
        reregistered_time: None,
        session: Some(1),
        total,
        used: imbl::OrdMap::new(),
        offered: Default::default(),
        tasks: imbl::OrdSet::new(),
        executors: imbl::OrdMap::new(),
        offers: imbl::OrdSet::new(),
        operations: imbl::OrdMap::new(),
        deactivation: None,
        planned: None,
    }
}

fn framework(id: &str) -> Framework {
    let info: FrameworkInfo = json(&format!(
        r#"{{"user":"root","name":"bench","id":{{"value":"{id}"}},"roles":["*"],"capabilities":[{{"type":"MULTI_ROLE"}}]}}"#
    ));
    Framework {
        id: id.into(),
        capabilities: FrameworkCapabilities::from(&info),
        roles: Arc::new(["*".to_owned()].into()),
        suppressed_roles: Arc::default(),
        offer_constraints: None,
        info: Arc::new(info),
        standing: Standing::Subscribed(Subscription {
            stream: 1,
            id: "stream".to_owned(),
        }),
        registered_time: 1_700_000_000.5,
        reregistered_time: 1_700_000_000.5,
        unregistered_time: 0.0,
        tasks: imbl::OrdMap::new(),
        unreachable_tasks: imbl::OrdMap::new(),
        completed_tasks: imbl::Vector::new(),
        executors: imbl::OrdMap::new(),
        offers: imbl::OrdSet::new(),
        inverse_offers: imbl::OrdSet::new(),
        used_on: Default::default(),
        offered_on: Default::default(),
    }
}

/// A running command task with the history that such a task has.
fn task(framework: &str, agent: &str, number: usize) -> Task {
    let id = format!("service-{number:06}.instance-1");
    let resources = parse_resources("cpus:0.1;mem:32;ports:[31005-31006]", "*")
        .expect("the resources are well formed")
        .allocated_to("*");
    let status = |state: &str, at: f64| -> v1::TaskStatus {
        json(&format!(
            r#"{{"task_id":{{"value":"{id}"}},"state":"{state}","timestamp":{at},"source":"SOURCE_EXECUTOR",
                "uuid":"BwcHBwcHBwcHBwcHBwcHBw==","container_status":{{
                    "container_id":{{"value":"5f734d52-ad6b-48c7-a26d-122775a2fb22"}},
                    "network_infos":[{{"ip_addresses":[{{"protocol":"IPv4","ip_address":"127.0.0.1"}}]}}]}}}}"#
        ))
    };
    let spec = v1::Task {
        name: id.clone(),
        task_id: id.as_str().into(),
        framework_id: framework.into(),
        agent_id: agent.into(),
        state: v1::TaskState::TaskRunning.into(),
        resources: resources.to_wire(Format::PostRefinement),
        statuses: vec![
            status("TASK_STARTING", 1_700_000_001.25),
            status("TASK_RUNNING", 1_700_000_001.5),
        ],
        ..v1::Task::default()
    };
    Task::new(spec, resources)
}

fn cluster(agents: usize, tasks: usize) -> Snapshot {
    let info = MasterInfo {
        id: "bench".to_owned(),
        port: 5050,
        pid: Some("master@127.0.0.1:5050".to_owned()),
        hostname: Some("localhost".to_owned()),
        ..MasterInfo::default()
    };
    let identity = Identity {
        info,
        cluster: None,
        start_time: 1.5,
        elected_time: 1.5,
    };
    let mut snapshot = Snapshot::new(Arc::new(identity));
    let mut all: Vec<Agent> = (0..agents).map(agent).collect();
    let mut framework = framework("bench-0000");
    for number in 0..tasks {
        let on = &mut all[number % agents];
        let task = task("bench-0000", on.id.as_str(), number);
        let key: TaskKey = task.key();
        on.tasks.insert(key);
        let used = on.used.entry(framework.id.clone()).or_default();
        *used += &task.resources;
        *framework.used_on.entry(task.agent_id.clone()).or_default() += &task.resources;
        framework.tasks.insert(task.id.clone(), Arc::new(task));
    }
    snapshot
        .frameworks
        .insert(framework.id.clone(), Arc::new(framework));
    for agent in all {
        snapshot.agents.insert(agent.id.clone(), Arc::new(agent));
    }
    snapshot
}

async fn ask(service: &Service, what: &str) -> (Duration, usize) {
    let request = if what.starts_with('/') {
        http::Request::get(what).body(Full::<Bytes>::default())
    } else {
        let call = format!(r#"{{"type":"{what}"}}"#);
        let post = http::Request::post("/api/v1").header("content-type", "application/json");
        post.body(Full::from(call))
    };
    let request = request.expect("the request is well formed");
    let begun = Instant::now();
    let response = service.call(request, ([127, 0, 0, 1], 9).into()).await;
    assert_eq!(response.status().as_u16(), 200, "{what}");
    let body = response
        .into_body()
        .collect()
        .await
        .expect("the body comes whole")
        .to_bytes();
    (begun.elapsed(), body.len())
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| {
        arguments
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let (agents, tasks) = (number(100).max(1), number(10_000));
    println!("{agents} agents, {tasks} running tasks");
    println!(
        "{:<16} {:>10} {:>11} {:>11} {:>11}",
        "", "bytes", "first, ms", "again, ms", "shared, ms"
    );
    for what in [
        "/state",
        "/state-summary",
        "/slaves",
        "/frameworks",
        "/tasks",
        "/tasks?limit=-1",
        "/roles",
        "/metrics/snapshot",
        "GET_STATE",
        "GET_TASKS",
        "GET_AGENTS",
        "GET_FRAMEWORKS",
    ] {
        let (mut first, mut again, mut shared) = (Vec::new(), Vec::new(), Vec::new());
        let mut size = 0;
        for _ in 0..ROUNDS {
            let snapshot = cluster(agents, tasks);
            let new = || reading::still(snapshot.clone(), MasterConfig::default());
            let (took, bytes) = ask(&new(), what).await;
            first.push(took);
            size = bytes;
            let service = new();
            again.push(ask(&service, what).await.0);
            shared.push(ask(&service, what).await.0);
        }
        let [first, again, shared] = [first, again, shared].map(median);
        println!("{what:<16} {size:>10} {first:>11.2} {again:>11.2} {shared:>11.2}");
    }
}

/// The middle one, in milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}
