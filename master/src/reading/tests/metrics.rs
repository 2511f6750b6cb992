//! Metrics: their names are Mesos's, and something moves each of them.
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mesos_control::v1::{ExecutorExited, ExecutorMessage, Unregister, agent_message::Body};
use mesos_wire::v1::{self, OperationState, TaskState};

use super::{Master, cluster};
use crate::{
    MasterConfig,
    core::{
        Reply,
        tests::{
            operations::{
                CAPABLE, DEV, acknowledge, answer, applies, on, operate, reserved, volume,
            },
            world::{AWARE, Client, FakeAgent, World, json, task},
        },
    },
    registry::Registry,
};

/// The name without what is data in it: frameworks, roles, reasons.
fn general(name: &str) -> String {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        ["master", "frameworks", _, _, "roles", _, rest @ ..] => {
            format!("F/roles/R/{}", rest.join("/"))
        }
        ["master", "frameworks", _, _, rest @ ..] => format!("F/{}", rest.join("/")),
        ["allocator", "mesos", "quota", "roles", rest @ ..] => {
            let end = rest
                .iter()
                .position(|part| *part == "resources")
                .unwrap_or(0);
            format!("Q/{}", rest[end..].join("/"))
        }
        ["allocator", "mesos", "roles", .., last] => format!("R/{last}"),
        ["allocator", "mesos", "offer_filters", "roles", .., last] => format!("O/{last}"),
        ["frameworks", .., last] => format!("P/{last}"),
        ["master", state, source, _] if state.starts_with("task_") => format!("T/{source}"),
        _ => name.to_owned(),
    }
}

#[tokio::test]
async fn names_are_those_of_mesos() {
    let recorded: BTreeSet<String> = include_str!("../../../tests/golden/metrics.keys.txt")
        .lines()
        .map(general)
        .collect();
    let master = Master::of(&mut cluster());
    let snapshot = master.get("/metrics/snapshot").await.json();
    let ours: BTreeSet<String> = snapshot
        .as_object()
        .unwrap()
        .keys()
        .map(|name| general(name))
        .collect();
    let strange: Vec<&String> = ours.difference(&recorded).collect();
    assert!(strange.is_empty(), "{strange:#?}");
    assert!(ours.len() > 120, "{}", ours.len());
    let v1 = master
        .post("/api/v1", r#"{"type":"GET_METRICS","get_metrics":{}}"#)
        .await
        .json();
    let names = |list: &serde_json::Value| -> Vec<String> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|metric| metric["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names(&v1["get_metrics"]["metrics"]),
        snapshot
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    );
}

/// Watches which metrics change.
struct Watch {
    first: BTreeMap<String, f64>,
    moved: BTreeSet<String>,
    declared: BTreeSet<String>,
}

impl Watch {
    fn new(world: &mut World) -> Self {
        let master = Master::of(world);
        let declared = master.handle.metrics().help().into_keys().collect();
        let first = master.handle.metrics().snapshot();
        Self {
            first,
            moved: BTreeSet::new(),
            declared,
        }
    }

    fn look(&mut self, world: &mut World) {
        for (name, value) in Master::of(world).handle.metrics().snapshot() {
            let before = self.first.get(&name);
            if before.is_none_or(|before| before.to_bits() != value.to_bits()) {
                self.moved.insert(name);
            }
        }
    }
}

const RICH: &str = r#"[
    {"name":"cpus","type":"SCALAR","scalar":{"value":8}},
    {"name":"mem","type":"SCALAR","scalar":{"value":4096}},
    {"name":"disk","type":"SCALAR","scalar":{"value":10000}},
    {"name":"gpus","type":"SCALAR","scalar":{"value":2}}]"#;

const GREEDY: &str = r#""roles":["*"],"failover_timeout":60,"capabilities":[{"type":"MULTI_ROLE"},{"type":"PARTITION_AWARE"},
    {"type":"GPU_RESOURCES"}]"#;

/// A task that uses some of everything.
fn rich(id: &str, agent: &FakeAgent) -> String {
    let resource = |name: &str, value: u32| {
        format!(r#"{{"name":"{name}","type":"SCALAR","scalar":{{"value":{value}}}}}"#)
    };
    let resources = [
        resource("cpus", 1),
        resource("mem", 32),
        resource("disk", 32),
        resource("gpus", 1),
    ];
    format!(
        r#"{{"name":"{id}","task_id":{{"value":"{id}"}},"agent_id":{{"value":"{}"}},"resources":[{}],"command":{{"value":"true"}}}}"#,
        agent.id,
        resources.join(",")
    )
}

fn every_call(world: &mut World, client: &Client, agent: &FakeAgent) {
    let agent_id = format!(r#""agent_id":{{"value":"{}"}}"#, agent.id);
    for call in [
        r#""type":"REVIVE""#.to_owned(),
        r#""type":"SUPPRESS""#.to_owned(),
        r#""type":"REQUEST","request":{}"#.to_owned(),
        r#""type":"RECONCILE","reconcile":{}"#.to_owned(),
        r#""type":"RECONCILE_OPERATIONS","reconcile_operations":{}"#.to_owned(),
        r#""type":"KILL","kill":{"task_id":{"value":"unknown"}}"#.to_owned(),
        format!(
            r#""type":"ACKNOWLEDGE_OPERATION_STATUS","acknowledge_operation_status":{{{agent_id},"uuid":"BwcHBwcHBwcHBwcHBwcHBw==","operation_id":{{"value":"o"}}}}"#
        ),
        format!(
            r#""type":"MESSAGE","message":{{{agent_id},"executor_id":{{"value":"e"}},"data":"YQ=="}}"#
        ),
        r#""type":"MESSAGE","message":{"agent_id":{"value":"x"},"executor_id":{"value":"e"},"data":"YQ=="}"#.to_owned(),
    ] {
        world.call(client, &call);
    }
}

fn executor_says(world: &mut World, agent: &FakeAgent, framework: &str) {
    let message = ExecutorMessage {
        framework_id: Some(framework.into()),
        executor_id: Some("e".into()),
        data: b"a".to_vec(),
    };
    world.say(agent, Body::ExecutorMessage(message));
    let exited = ExecutorExited {
        framework_id: Some(framework.into()),
        executor_id: Some("e".into()),
        status: 0,
    };
    world.say(agent, Body::ExecutorExited(exited));
}

/// The six operations in an order that makes sense, as calls of an operator.
fn six() -> [(&'static str, String); 6] {
    let list = |field: &str, one: String| format!(r#""{field}":[{one}]"#);
    [
        (
            "RESERVE_RESOURCES",
            list("resources", reserved(20.0, "dev")),
        ),
        ("CREATE_VOLUMES", list("volumes", volume(10.0, "v"))),
        (
            "GROW_VOLUME",
            format!(
                r#""volume":{},"addition":{}"#,
                volume(10.0, "v"),
                reserved(10.0, "dev")
            ),
        ),
        (
            "SHRINK_VOLUME",
            format!(
                r#""volume":{},"subtract":{{"value":10}}"#,
                volume(20.0, "v")
            ),
        ),
        (
            "UNRESERVE_RESOURCES",
            list("resources", reserved(10.0, "dev")),
        ),
        ("DESTROY_VOLUMES", list("volumes", volume(10.0, "v"))),
    ]
}

fn operator_does(world: &mut World, agent: &FakeAgent, (kind, fields): &(&str, String)) {
    let call: v1::master::Call = json(&format!(
        r#"{{"type":"{kind}","{}":{{"agent_id":{{"value":"{}"}},{fields}}}}}"#,
        kind.to_lowercase(),
        agent.id
    ));
    assert_eq!(world.operate(None, call), Reply::Accepted, "{kind}");
}

/// Operations of every type that end in every way.
fn operations(world: &mut World, watch: &mut Watch) {
    world.capabilities = CAPABLE.to_vec();
    let agent = world.agent_at(7003);
    for call in six() {
        for state in [
            OperationState::OperationFailed,
            OperationState::OperationDropped,
            OperationState::OperationFinished,
        ] {
            operator_does(world, &agent, &call);
            for apply in applies(world, &agent) {
                answer(world, &agent, &apply, state, 1);
                // It has been acknowledged by then.
                answer(world, &agent, &apply, state, 1);
            }
        }
    }
    operator_does(world, &agent, &("UNRESERVE_RESOURCES", six()[4].1.clone()));
    for call in six() {
        operator_does(world, &agent, &call);
    }
    watch.look(world);
    world.say(&agent, Body::Unregister(Unregister {}));
    let agent = world.agent_at(7004);
    for call in six() {
        operator_does(world, &agent, &call);
    }
    world.pong = false;
    world.close_session(&agent);
    world.advance(Duration::from_secs(200));
    watch.look(world);
    world.pong = true;

    let client = world.subscribe(DEV);
    let agent = world.agent_at(7005);
    let offer = world.offer(&client);
    operate(
        world,
        &client,
        &offer,
        &[on("RESERVE", "r", &reserved(1.0, "dev"))],
    );
    for apply in applies(world, &agent) {
        answer(world, &agent, &apply, OperationState::OperationFinished, 1);
    }
    acknowledge(world, &agent, &client, "r", 1);
    // Of an offer that was answered.
    let every = [
        on("RESERVE", "", ""),
        on("UNRESERVE", "", ""),
        on("CREATE", "", ""),
        on("DESTROY", "", ""),
        r#"{"type":"GROW_VOLUME"}"#.to_owned(),
        r#"{"type":"SHRINK_VOLUME"}"#.to_owned(),
        r#"{"type":"CREATE_DISK"}"#.to_owned(),
        r#"{"type":"DESTROY_DISK"}"#.to_owned(),
    ];
    operate(world, &client, &offer, &every);
    watch.look(world);
}

#[tokio::test]
async fn something_moves_each_of_them() {
    let forgotten: v1::AgentInfo = json(r#"{"hostname":"h","port":1,"id":{"value":"OLD"}}"#);
    let registry = Registry {
        agents: [("OLD".into(), forgotten)].into(),
        ..Registry::default()
    };
    let config = MasterConfig {
        agent_reregister_timeout: Duration::from_secs(30),
        ..MasterConfig::default()
    };
    let mut world = World::with(config, registry);
    let mut watch = Watch::new(&mut world);

    // Tasks of every state on agents with every resource.
    let client = world.subscribe(GREEDY);
    let agent = FakeAgent {
        id: String::new(),
        session: 0,
        epoch: "rich".to_owned(),
        port: 7001,
        resources: RICH,
    };
    let agent = world.hello(agent, None);
    let offers: Vec<v1::Offer> = {
        world.settle();
        world.offers(&client)
    };
    watch.look(&mut world);
    let ids = [
        "staging", "starting", "killing", "lost", "error", "dropped", "gone", "killed", "failed",
        "finished",
    ];
    let tasks: Vec<String> = ids.iter().map(|id| task(id, &agent.id, 0.1)).collect();
    let all: Vec<&v1::Offer> = offers.iter().collect();
    world.accept(
        &client,
        &all,
        &format!("{},{}", tasks.join(","), rich("held", &agent)),
        0.0,
    );
    assert_eq!(
        world.take(&client),
        Vec::<String>::new(),
        "every task is launched"
    );
    watch.look(&mut world);
    for (id, state) in [
        ("starting", TaskState::TaskStarting),
        ("held", TaskState::TaskRunning),
        ("killing", TaskState::TaskKilling),
        ("lost", TaskState::TaskLost),
        ("error", TaskState::TaskError),
        ("dropped", TaskState::TaskDropped),
        ("gone", TaskState::TaskGone),
        ("killed", TaskState::TaskKilled),
        ("failed", TaskState::TaskFailed),
        ("finished", TaskState::TaskFinished),
        ("unknown", TaskState::TaskRunning),
    ] {
        world.update(&agent, &client, id, state, 1);
        world.acknowledge(&agent, &client, id, 1);
    }
    world.acknowledge(&agent, &client, "staging", 9);
    every_call(&mut world, &client, &agent);
    executor_says(&mut world, &agent, &client.id);
    executor_says(&mut world, &agent, "nobody");
    watch.look(&mut world);
    world.call(&client, r#""type":"REVIVE""#);
    world.settle();
    for offer in world.offers(&client) {
        world.decline(&client, &offer, 0.0);
    }

    // Frameworks come back and go.
    world.close_stream(&client);
    watch.look(&mut world);
    let back = world.subscribe_with(&format!(
        r#"{{"framework_info":{{"user":"u","name":"n","id":{{"value":"{}"}},{GREEDY}}}}}"#,
        client.id
    ));
    let torn = world.subscribe(AWARE);
    world.call(&torn, r#""type":"TEARDOWN""#);

    // Agents come back, are replaced, leave, and fall silent.
    world.close_session(&agent);
    watch.look(&mut world);
    let held = world.holds(&back, &["held", "staging", "starting", "killing"]);
    let agent = world.hello(agent, Some(held));
    world.agent_at(7002);
    let replacing = FakeAgent {
        id: String::new(),
        session: 0,
        epoch: "new".to_owned(),
        port: 7002,
        resources: RICH,
    };
    let replacing = world.hello(replacing, None);
    world.say(&replacing, Body::Unregister(Unregister {}));
    world.pong = false;
    world.close_session(&agent);
    world.advance(Duration::from_secs(200));
    watch.look(&mut world);

    operations(&mut world, &mut watch);
    let of_operations = Master::of(&mut world)
        .handle
        .metrics()
        .snapshot()
        .into_keys()
        .filter(|name| name.starts_with("master/operations/"));
    let still: Vec<String> = of_operations
        .filter(|name| !watch.moved.contains(name))
        .collect();
    assert!(still.is_empty(), "{still:#?}");

    // What does not depend on what frameworks and agents do, or is moved in other tests.
    let aside = |name: &str| {
        name.starts_with("system/")
            || [
                "master/elected",
                "master/event_queue_dispatches",
                "master/http_cache_hits",
                "master/operator_event_stream_subscribers",
                "master/slave_unreachable_canceled",
                // Only with a registry on disk, which this master has not.
                "registrar/state_store_ms",
            ]
            .contains(&name)
    };
    let still: Vec<&String> = watch
        .declared
        .iter()
        .filter(|name| !watch.moved.contains(*name) && !aside(name))
        .collect();
    assert!(still.is_empty(), "{still:#?}");
    for (what, name) in [
        (
            "tasks of a framework",
            format!(
                "master/frameworks/n/{}/tasks/terminal/task_failed",
                client.id
            ),
        ),
        (
            "offers of a framework",
            format!("master/frameworks/n/{}/offers/declined", client.id),
        ),
        (
            "calls of a framework",
            format!("master/frameworks/n/{}/calls/revive", client.id),
        ),
        (
            "events of a framework",
            format!("master/frameworks/n/{}/events/heartbeat", client.id),
        ),
        (
            "shares of roles",
            "allocator/mesos/roles/*/shares/dominant".to_owned(),
        ),
    ] {
        assert!(
            watch.moved.contains(&name),
            "{what}: {name} in {:#?}",
            watch.moved
        );
    }
}

#[tokio::test]
async fn frameworks_can_be_left_out() {
    let mut world = cluster();
    let snapshot = world.core.publish().0;
    let flags = [(
        "publish_per_framework_metrics".to_owned(),
        "false".to_owned(),
    )]
    .into();
    let config = MasterConfig {
        flags,
        ..MasterConfig::default()
    };
    let master = Master::with(snapshot, config, std::sync::Arc::new(mesos_http::AllowAll));
    let names = master.handle.metrics().snapshot().into_keys();
    assert_eq!(
        names
            .filter(|name| name.starts_with("master/frameworks/"))
            .count(),
        0
    );
}
