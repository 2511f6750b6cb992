//! Agents register, break off, return, and are given up.
use std::{collections::BTreeMap, time::Duration};

use mesos_control::v1::{Pong, Unregister, agent_message, master_message::Body};
use mesos_types::{AgentId, FrameworkId};
use mesos_wire::v1::{AgentInfo, TaskState};

use super::world::{AWARE, World, json, kinds, text};
use crate::{
    config::MasterConfig,
    registry::{Change as RegistryChange, Registry},
    state::Standing,
};

#[test]
fn an_agent_is_welcomed_once_the_registry_holds_it() {
    let mut world = World::new();
    world.held = Some(Vec::new());
    let agent = world.agent();
    assert!(world.messages(&agent).is_empty());
    assert!(world.core.state().agents.is_empty());
    assert!(matches!(&world.registry[..], [RegistryChange::Admit(id, _)] if id.as_str() == "M-S0"));
    world.release_registry();
    let messages = world.messages(&agent);
    let Body::Welcome(welcome) = &messages[0] else {
        panic!("{messages:?}")
    };
    assert_eq!(welcome.agent_id.as_ref().unwrap().value, "M-S0");
    assert_eq!(welcome.ping_timeout_seconds, 75.0);
    assert!(!welcome.reregistered);
}

#[test]
fn a_session_that_ends_while_the_registry_writes_leaves_a_disconnected_agent() {
    let mut world = World::new();
    world.held = Some(Vec::new());
    let agent = world.agent();
    world.close_session(&agent);
    world.release_registry();
    let known = world.core.state().agents.values().next().unwrap().clone();
    assert!(!known.connected());
    // The same process comes again and does not know its id: it gets the same one.
    let again = world.agent();
    assert_eq!(again.id, "M-S0");
    assert_eq!(world.core.state().agents.len(), 1);
}

#[test]
fn a_new_process_at_the_same_address_replaces_the_agent() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    let mut fresh = agent.clone();
    fresh.id = String::new();
    fresh.epoch = "another".to_owned();
    let fresh = world.hello(fresh, None);
    assert_eq!(fresh.id, "M-S1");
    assert!(!world.knows_agent(&agent));
    let events = world.take(&client);
    assert!(
        events[0].contains("TASK_LOST") && events[0].contains("REASON_AGENT_REMOVED"),
        "{events:?}"
    );
    assert!(
        world
            .registry
            .contains(&RegistryChange::Remove("M-S0".into()))
    );
}

#[test]
fn what_does_not_hold_together_is_refused() {
    let mut world = World::new();
    let mut agent = world.agent_at(70_000);
    assert_eq!(kinds(&world.messages(&agent)), ["refused shutdown=false"]);
    assert!(world.closed_sessions.contains(&agent.session));
    agent.port = 5051;
    agent.resources = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":-1}}]"#;
    let agent = world.hello(agent, None);
    assert_eq!(kinds(&world.messages(&agent)), ["refused shutdown=false"]);
    assert!(world.core.state().agents.is_empty());
}

#[test]
fn a_gone_agent_must_end() {
    let registry = Registry {
        gone: BTreeMap::from([("A".into(), 1)]),
        ..Registry::default()
    };
    let mut world = World::with(MasterConfig::default(), registry);
    let mut agent = world.agent();
    agent.id = "A".to_owned();
    let agent = world.hello(agent, None);
    assert_eq!(kinds(&world.messages(&agent)), ["refused shutdown=true"]);
}

#[test]
fn a_broken_session_keeps_tasks_and_takes_offers_back() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    world.call(&client, r#""type":"REVIVE""#);
    world.offer(&client);
    world.close_session(&agent);
    assert!(world.take(&client)[0].contains("RESCIND"));
    world.advance(Duration::from_secs(10));
    assert_eq!(world.task_state(&client, "t"), Some(TaskState::TaskRunning));
    assert!(world.core.state().offers.is_empty());
    let held = world.holds(&client, &["t"]);
    let agent = world.hello(agent, Some(held));
    let messages = world.messages(&agent);
    let Body::Welcome(welcome) = &messages[0] else {
        panic!()
    };
    assert!(welcome.reregistered && welcome.known_tasks.is_empty());
    assert_eq!(world.offer(&client).agent_id.value, agent.id);
    assert!(world.updates(&client).is_empty());
}

#[test]
fn a_task_that_the_agent_never_got_is_asked_about() {
    let mut world = World::new();
    let (client, agent) = world.running(&["here", "lost"]);
    world.update(&agent, &client, "here", TaskState::TaskRunning, 3);
    let held = world.holds(&client, &["here"]);
    let agent = world.hello(agent, Some(held));
    let messages = world.messages(&agent);
    let Body::Welcome(welcome) = &messages[0] else {
        panic!()
    };
    let asked: Vec<&str> = welcome
        .known_tasks
        .iter()
        .map(|task| task.task_id.as_ref().unwrap().as_str())
        .collect();
    assert_eq!(asked, ["lost"]);
}

#[test]
fn a_silent_agent_becomes_unreachable_and_its_return_is_told() {
    let mut world = World::new();
    world.pong = false;
    let (aware, agent) = world.pair();
    let offer = world.offer(&aware);
    world.accept(
        &aware,
        &[&offer],
        &super::world::task("t", &agent.id, 1.0),
        0.0,
    );
    world.update(&agent, &aware, "t", TaskState::TaskRunning, 1);
    let held = world.holds(&aware, &["t"]);
    world.settle();
    world.messages(&agent);
    for _ in 0..10 {
        world.advance(Duration::from_secs(15));
        assert_eq!(kinds(&world.messages(&agent)), ["ping"]);
        world.say(&agent, agent_message::Body::Pong(Pong {}));
    }
    world.take(&aware);
    world.advance(Duration::from_secs(60));
    assert!(world.knows_agent(&agent), "four pings missed");
    world.advance(Duration::from_secs(30));
    assert!(!world.knows_agent(&agent));
    assert!(world.closed_sessions.contains(&agent.session));
    assert!(
        matches!(world.registry.last(), Some(RegistryChange::Unreachable(id, _)) if id.as_str() == agent.id)
    );
    let events: Vec<String> = world
        .take(&aware)
        .into_iter()
        .filter(|event| !event.contains("HEARTBEAT"))
        .collect();
    assert!(events[0].contains(r#""state":"TASK_UNREACHABLE","message":"health check timed out","source":"SOURCE_MASTER","reason":"REASON_AGENT_REMOVED""#), "{events:?}");
    assert!(events[0].contains("unreachable_time") && !events[0].contains("uuid"));
    assert!(events[1].contains("RESCIND"));
    assert_eq!(
        events[2],
        format!(
            r#"{{"type":"FAILURE","failure":{{"agent_id":{{"value":"{}"}}}}}}"#,
            agent.id
        )
    );
    for asked in [
        format!(
            r#"{{"task_id":{{"value":"t"}},"agent_id":{{"value":"{}"}}}}"#,
            agent.id
        ),
        r#"{"task_id":{"value":"t"}}"#.to_owned(),
    ] {
        world.call(
            &aware,
            &format!(r#""type":"RECONCILE","reconcile":{{"tasks":[{asked}]}}"#),
        );
        assert_eq!(
            world.updates(&aware),
            ["t TASK_UNREACHABLE REASON_RECONCILIATION"]
        );
    }
    let agent = world.hello(agent, Some(held));
    let events = world.take(&aware);
    assert!(events[0].contains(r#""state":"TASK_RUNNING","message":"Unreachable agent re-reregistered","source":"SOURCE_MASTER","reason":"REASON_AGENT_REREGISTERED""#), "{events:?}");
    assert_eq!(world.task_state(&aware, "t"), Some(TaskState::TaskRunning));
    let framework = &world.core.state().frameworks[&FrameworkId::from(aware.id.as_str())];
    assert!(framework.unreachable_tasks.is_empty());
    assert!(world.core.state().unreachable_agents.is_empty());
    assert!(world.knows_agent(&agent));
}

#[test]
fn without_partition_awareness_an_unreachable_task_is_lost_and_may_come_back() {
    let mut world = World::new();
    let client = world.subscribe(r#""hostname":"h","failover_timeout":1000"#);
    let agent = world.agent();
    world.run(&client, &agent, &["t"]);
    let held = world.holds(&client, &["t"]);
    world.close_session(&agent);
    world.advance(Duration::from_secs(74));
    assert!(world.knows_agent(&agent));
    world.advance(Duration::from_secs(2));
    assert_eq!(world.updates(&client), ["t TASK_LOST REASON_AGENT_REMOVED"]);
    world.hello(agent, Some(held));
    assert_eq!(
        world.updates(&client),
        ["t TASK_RUNNING REASON_AGENT_REREGISTERED"]
    );
}

#[test]
fn a_hello_during_the_marking_waits_for_it() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    let held = world.holds(&client, &["t"]);
    world.close_session(&agent);
    world.held = Some(Vec::new());
    world.advance(Duration::from_secs(76));
    let agent = world.hello(agent, Some(held));
    assert!(world.messages(&agent).is_empty());
    world.release_registry();
    assert_eq!(kinds(&world.messages(&agent)), ["welcome"]);
    assert_eq!(
        world.updates(&client),
        [
            "t TASK_UNREACHABLE REASON_AGENT_REMOVED",
            "t TASK_RUNNING REASON_AGENT_REREGISTERED"
        ]
    );
}

#[test]
fn an_agent_that_unregisters_loses_its_tasks_for_everyone() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    world.say(&agent, agent_message::Body::Unregister(Unregister {}));
    let events = world.take(&client);
    assert!(
        events[0].contains(
            r#""state":"TASK_LOST","message":"Agent host removed: the agent unregistered""#
        ),
        "{events:?}"
    );
    assert!(events[1].contains("FAILURE"));
    assert!(!world.knows_agent(&agent));
}

fn registry_of(agent: &str) -> Registry {
    let info: AgentInfo = json(&format!(
        r#"{{"hostname":"host","port":5051,"id":{{"value":"{agent}"}},"resources":{}}}"#,
        super::world::RESOURCES
    ));
    Registry {
        agents: BTreeMap::from([(AgentId::from(agent), info)]),
        ..Registry::default()
    }
}

#[test]
fn after_a_restart_agents_bring_back_tasks_and_frameworks() {
    // What the agent holds comes from a master that is no more.
    let mut before = World::named("old", MasterConfig::default(), Registry::default());
    let (client, agent) = before.running(&["t"]);
    let held = before.holds(&client, &["t"]);

    let mut world = World::with(MasterConfig::default(), registry_of(&agent.id));
    let early = world.subscribe(AWARE);
    world.take(&early);
    world.call(
        &early,
        r#""type":"RECONCILE","reconcile":{"tasks":[{"task_id":{"value":"x"}}]}"#,
    );
    assert!(
        world.updates(&early).is_empty(),
        "nothing can be said before the agents are back"
    );

    world.hello(agent, Some(held));
    assert!(world.registry.is_empty(), "the registry has it already");
    let framework = world.core.state().frameworks[&FrameworkId::from(client.id.as_str())].clone();
    assert_eq!(framework.standing, Standing::Recovered);
    assert_eq!(world.task_state(&client, "t"), Some(TaskState::TaskRunning));
    // Its failover_timeout does not run.
    world.advance(Duration::from_secs(3600));
    assert!(world.core.state().frameworks.contains_key(&framework.id));

    let back = world.subscribe(&format!(r#""id":{{"value":"{}"}},{AWARE}"#, client.id));
    world.take(&back);
    world.call(&back, r#""type":"RECONCILE","reconcile":{"tasks":[]}"#);
    assert_eq!(
        world.updates(&back),
        ["t TASK_RUNNING REASON_RECONCILIATION"]
    );
    // Once it has been back, the timeout counts.
    world.close_stream(&back);
    world.advance(Duration::from_secs(61));
    assert!(!world.core.state().frameworks.contains_key(&framework.id));
}

#[test]
fn agents_that_do_not_come_back_after_a_restart_are_unreachable() {
    let mut world = World::with(MasterConfig::default(), registry_of("A"));
    let client = world.subscribe(AWARE);
    world.advance(Duration::from_secs(601));
    assert!(world.core.state().recovered_agents.is_empty());
    assert!(
        world
            .core
            .state()
            .unreachable_agents
            .contains_key(&AgentId::from("A"))
    );
    world.take(&client);
    world.call(&client, r#""type":"RECONCILE","reconcile":{"tasks":[{"task_id":{"value":"x"},"agent_id":{"value":"A"}}]}"#);
    let events = world.take(&client);
    assert!(events[0].contains("TASK_UNREACHABLE"), "{events:?}");
}

#[test]
fn an_agent_that_nobody_remembers_is_let_in() {
    let mut before = World::named("old", MasterConfig::default(), Registry::default());
    let (client, agent) = before.running(&["t"]);
    let held = before.holds(&client, &["t"]);
    let mut world = World::new();
    let agent = world.hello(agent, Some(held));
    assert_eq!(kinds(&world.messages(&agent)), ["welcome"]);
    assert!(matches!(&world.registry[..], [RegistryChange::Admit(..)]));
    assert_eq!(world.task_state(&client, "t"), Some(TaskState::TaskRunning));
}

#[test]
fn a_framework_that_ended_meanwhile_is_shut_down_on_return() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    let held = world.holds(&client, &["t"]);
    world.close_session(&agent);
    world.call(&client, r#""type":"TEARDOWN""#);
    let agent = world.hello(agent, Some(held));
    assert_eq!(
        kinds(&world.messages(&agent)),
        ["welcome", "shutdown-framework"]
    );
    assert_eq!(world.task_state(&client, "t"), None);
}

#[test]
fn an_agent_that_has_grown_offers_more() {
    let mut world = World::new();
    let (client, mut agent) = world.running(&["t"]);
    let held = world.holds(&client, &["t"]);
    agent.resources = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":8}},
        {"name":"mem","type":"SCALAR","scalar":{"value":4096}}]"#;
    world.hello(agent, Some(held));
    let offer = world.offer(&client);
    assert!(
        text(&offer).contains(r#""scalar":{"value":7.0}"#),
        "{}",
        text(&offer)
    );
}

#[test]
fn unreachable_agents_are_forgotten_when_there_are_too_many() {
    let unreachable = (0..5)
        .map(|n| {
            (
                AgentId::from(format!("A{n}")),
                1_699_999_999_000_000_000 + n,
            )
        })
        .collect();
    let config = MasterConfig {
        registry_max_agent_count: 2,
        ..MasterConfig::default()
    };
    let mut world = World::with(
        config,
        Registry {
            unreachable,
            ..Registry::default()
        },
    );
    world.advance(Duration::from_secs(15 * 60 + 1));
    let left: Vec<String> = world
        .core
        .state()
        .unreachable_agents
        .keys()
        .map(ToString::to_string)
        .collect();
    assert_eq!(left, ["A3", "A4"]);
    world.advance(Duration::from_secs(15 * 24 * 3600));
    assert!(world.core.state().unreachable_agents.is_empty());
}
