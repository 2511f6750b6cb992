//! The session: agents, frameworks and tasks of every kind that endpoints tell apart.
use std::fmt::Write as _;

use mesos_control::v1::{Hello, StatusUpdate, VersionRange, agent_message};
use mesos_wire::v1::{TaskState, TaskStatus};

use crate::core::{
    AgentHello, Event,
    tests::world::{Client, FakeAgent, World, json},
};

const RESOURCES: &str = r#"[
    {"name":"cpus","type":"SCALAR","scalar":{"value":4}},
    {"name":"mem","type":"SCALAR","scalar":{"value":4096}},
    {"name":"disk","type":"SCALAR","scalar":{"value":10000}},
    {"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31000,"end":32000}]}}]"#;

const ATTRIBUTES: &str = r#"[
    {"name":"rack","type":"TEXT","text":{"value":"r1"}},
    {"name":"zone","type":"TEXT","text":{"value":"z1"}},
    {"name":"num","type":"SCALAR","scalar":{"value":3}}]"#;

const CAPABILITIES: [&str; 8] = [
    "MULTI_ROLE",
    "HIERARCHICAL_ROLE",
    "RESERVATION_REFINEMENT",
    "RESOURCE_PROVIDER",
    "RESIZE_VOLUME",
    "AGENT_OPERATION_FEEDBACK",
    "AGENT_DRAINING",
    "TASK_RESOURCE_LIMITS",
];

const AWARE: &str = r#""roles":["*"],"capabilities":[{"type":"MULTI_ROLE"},{"type":"PARTITION_AWARE"},{"type":"TASK_KILLING_STATE"}],"failover_timeout":30"#;

/// Opens a session of an agent; without an id it is new.
fn hello(world: &mut World, session: u64, id: Option<&str>) -> FakeAgent {
    let info = format!(
        r#"{{"hostname":"localhost","port":5052,"resources":{RESOURCES},"attributes":{ATTRIBUTES}}}"#
    );
    let mut info: mesos_wire::v1::AgentInfo = json(&info);
    info.id = id.map(Into::into);
    let hello = Hello {
        protocol: Some(VersionRange {
            lowest: 1,
            highest: 1,
        }),
        agent_id: id.map(Into::into),
        process_epoch: "epoch".to_owned(),
        agent: Some(info),
        version: "1.11.0".to_owned(),
        capabilities: CAPABILITIES
            .iter()
            .map(|name| json(&format!(r#"{{"type":"{name}"}}"#)))
            .collect(),
        ..Hello::default()
    };
    world.event(Event::Hello(Box::new(AgentHello {
        session,
        peer: "127.0.0.1".to_owned(),
        hello,
        snapshot: id.map(|_| mesos_control::v1::Snapshot::default()),
    })));
    let agents = &world.core.state().agents;
    FakeAgent {
        id: agents
            .keys()
            .next()
            .expect("the agent is admitted")
            .to_string(),
        session,
        epoch: "epoch".to_owned(),
        port: 5052,
        resources: RESOURCES,
    }
}

fn task(id: &str, agent: &FakeAgent, more: &str) -> String {
    format!(
        r#"{{"name":"{id}","task_id":{{"value":"{id}"}},"agent_id":{{"value":"{}"}},{more}
            "resources":[{{"name":"cpus","type":"SCALAR","scalar":{{"value":0.1}}}},
                         {{"name":"mem","type":"SCALAR","scalar":{{"value":32}}}}]}}"#,
        agent.id
    )
}

/// Sends an update the way executors do, with the container.
fn update(
    world: &mut World,
    agent: &FakeAgent,
    client: &Client,
    id: &str,
    state: TaskState,
    more: &str,
) {
    let mut status: TaskStatus = json(&format!(
        r#"{{"task_id":{{"value":"{id}"}},"state":"{}","source":"SOURCE_EXECUTOR","agent_id":{{"value":"{}"}},
            "executor_id":{{"value":"{id}"}},"timestamp":1700000001.25,"uuid":"BwcHBwcHBwcHBwcHBwcHBw==",{more}
            "container_status":{{"container_id":{{"value":"C-{id}"}},"executor_pid":7,
                "network_infos":[{{"ip_addresses":[{{"ip_address":"127.0.0.1"}}]}}]}}}}"#,
        state.as_str_name(),
        agent.id
    ));
    status.set_state(state);
    let update = StatusUpdate {
        framework_id: Some(client.id.as_str().into()),
        executor_id: Some(id.into()),
        status: Some(status),
        latest_state: Some(state.into()),
    };
    world.event(Event::Agent {
        session: agent.session,
        body: agent_message::Body::Update(update).into(),
    });
    let call = format!(
        r#""type":"ACKNOWLEDGE","acknowledge":{{"agent_id":{{"value":"{}"}},"task_id":{{"value":"{id}"}},"uuid":"BwcHBwcHBwcHBwcHBwcHBw=="}}"#,
        agent.id
    );
    world.call(client, &call);
}

/// One agent that came back once; a framework with tasks that run, finished and failed, an executor of
/// its own and an offer; another one that is disconnected; and one that was torn down.
pub(super) fn cluster() -> World {
    let mut world = World::new();
    let agent = hello(&mut world, 1001, None);
    let client = world.subscribe(AWARE);
    let executor = r#""executor":{"executor_id":{"value":"pod"},"type":"CUSTOM","command":{"value":"./run","shell":true},
        "resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.1}},
                     {"name":"mem","type":"SCALAR","scalar":{"value":32}}]},"#;
    let long = r#""command":{"value":"sleep 1"},"labels":{"labels":[{"key":"k","value":"v"}]},
        "discovery":{"visibility":"CLUSTER","name":"svc","ports":{"ports":[{"number":31005,"name":"http","protocol":"tcp"}]}},"#;
    let health = r#""command":{"value":"exit 3","user":"nobody"},
        "health_check":{"type":"COMMAND","command":{"value":"exit 1"},"interval_seconds":0.5},"#;
    let tasks = [
        task("long", &agent, long),
        task("done", &agent, r#""command":{"value":"true"},"#),
        task("fails", &agent, health),
        task("pa", &agent, executor),
    ];
    let offer = world.offer(&client);
    world.accept(&client, &[&offer], &tasks.join(","), 0.0);
    for (id, states) in [
        (
            "long",
            &[TaskState::TaskStarting, TaskState::TaskRunning][..],
        ),
        ("pa", &[TaskState::TaskStarting, TaskState::TaskRunning]),
        (
            "done",
            &[
                TaskState::TaskStarting,
                TaskState::TaskRunning,
                TaskState::TaskFinished,
            ],
        ),
        ("fails", &[TaskState::TaskRunning, TaskState::TaskFailed]),
    ] {
        for state in states {
            let healthy = if id == "fails" {
                r#""healthy":false,"#
            } else {
                ""
            };
            update(&mut world, &agent, &client, id, *state, healthy);
        }
    }
    let lost = world.subscribe(r#""name":"err","failover_timeout":600"#);
    world.call(&lost, r#""type":"SUPPRESS""#);
    world.close_stream(&lost);
    let gone = world.subscribe(AWARE);
    world.call(&gone, r#""type":"TEARDOWN""#);
    world.settle();
    world
}

/// The ids of the frameworks, in the order they came.
pub(super) fn ids(world: &World) -> Vec<String> {
    let state = world.core.state();
    let all = state.frameworks.keys().cloned();
    let mut ids: Vec<String> = all
        .chain(
            state
                .completed_frameworks
                .iter()
                .map(|framework| framework.id.clone()),
        )
        .map(|id| id.to_string())
        .collect();
    ids.sort();
    ids
}

/// A summary of the state for messages of failed tests.
pub(super) fn describe(world: &World) -> String {
    let mut out = String::new();
    for framework in world.core.state().frameworks.values() {
        let _ = writeln!(
            out,
            "{} {:?} tasks={} completed={} offers={}",
            framework.id,
            framework.standing,
            framework.tasks.len(),
            framework.completed_tasks.len(),
            framework.offers.len()
        );
    }
    out
}
