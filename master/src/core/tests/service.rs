//! Agents are drained, deactivated, reactivated and marked gone.
use std::{collections::BTreeMap, time::Duration};

use mesos_control::v1::master_message::Body;
use mesos_types::AgentId;
use mesos_wire::v1::{
    AgentInfo, DrainState, TaskState, agent_info::capability::Type as Capability,
};

use super::world::{AWARE, FakeAgent, World, json, kinds};
use crate::{
    config::MasterConfig,
    core::Reply,
    registry::{Change as RegistryChange, Registry},
};

fn able() -> World {
    let mut world = World::new();
    world.capabilities = vec![Capability::MultiRole, Capability::AgentDraining];
    world
}

fn drain(world: &mut World, agent: &FakeAgent, more: &str) -> Reply {
    world.order(&format!(
        r#""type":"DRAIN_AGENT","drain_agent":{{"agent_id":{{"value":"{}"}}{more}}}"#,
        agent.id
    ))
}

fn simple(world: &mut World, kind: &str, agent: &FakeAgent) -> Reply {
    world.order(&format!(
        r#""type":"{kind}","{}":{{"agent_id":{{"value":"{}"}}}}"#,
        kind.to_lowercase(),
        agent.id
    ))
}

fn drain_state(world: &World, agent: &FakeAgent) -> Option<DrainState> {
    let agent = &world.core.state().agents[&AgentId::from(agent.id.as_str())];
    Some(agent.deactivation.as_ref()?.drain.as_ref()?.state())
}

fn refused(reply: &Reply) -> &str {
    match reply {
        Reply::BadRequest(text) | Reply::Conflict(text) | Reply::Unavailable(text) => text,
        _ => panic!("{reply:?} is no refusal"),
    }
}

#[test]
fn a_drained_agent_ends_its_tasks_and_is_not_offered_until_it_is_reactivated() {
    let mut world = able();
    let (client, agent) = world.running(&["t"]);
    world.call(&client, r#""type":"REVIVE""#);
    world.offer(&client);
    assert_eq!(
        drain(&mut world, &agent, r#","max_grace_period":{"seconds":2}"#),
        Reply::Ok
    );
    assert!(world.take(&client)[0].contains("RESCIND"));
    let messages = world.messages(&agent);
    let [Body::DrainAgent(order)] = &messages[..] else {
        panic!("{messages:?}")
    };
    let config = order.config.expect("a config");
    assert_eq!(config.max_grace_period.unwrap().nanoseconds, 2_000_000_000);
    assert!(!config.mark_gone());
    assert_eq!(drain_state(&world, &agent), Some(DrainState::Draining));
    let text = refused(&simple(&mut world, "REACTIVATE_AGENT", &agent)).to_owned();
    assert!(text.contains("still DRAINING"), "{text}");

    world.update(&agent, &client, "t", TaskState::TaskKilled, 2);
    assert_eq!(drain_state(&world, &agent), Some(DrainState::Draining));
    world.acknowledge(&agent, &client, "t", 2);
    assert_eq!(drain_state(&world, &agent), Some(DrainState::Drained));
    world.advance(Duration::from_secs(5));
    assert!(world.offers(&client).is_empty(), "nothing of it is offered");

    world.messages(&agent);
    assert_eq!(simple(&mut world, "REACTIVATE_AGENT", &agent), Reply::Ok);
    let messages = world.messages(&agent);
    assert!(
        matches!(&messages[..], [Body::DrainAgent(over)] if over.config.is_none()),
        "{messages:?}"
    );
    assert_eq!(world.offer(&client).agent_id.value, agent.id);
    let last = world.registry.last().expect("changes");
    assert_eq!(
        *last,
        RegistryChange::Drain(agent.id.as_str().into(), None, false)
    );
}

#[test]
fn an_empty_agent_is_drained_at_once_and_gone_if_that_was_asked_for() {
    let mut world = able();
    let (client, agent) = world.pair();
    world.offer(&client);
    assert_eq!(drain(&mut world, &agent, ""), Reply::Ok);
    assert_eq!(drain_state(&world, &agent), Some(DrainState::Drained));
    world.messages(&agent);
    assert_eq!(drain(&mut world, &agent, r#","mark_gone":true"#), Reply::Ok);
    assert!(!world.knows_agent(&agent));
    assert_eq!(kinds(&world.messages(&agent)), ["drain", "shutdown"]);
    assert!(
        world
            .core
            .state()
            .gone_agents
            .contains_key(agent.id.as_str())
    );
    let again = world.hello(agent, None);
    assert_eq!(kinds(&world.messages(&again)), ["refused shutdown=true"]);
}

#[test]
fn a_drain_goes_on_after_the_agents_return_and_after_a_failover() {
    let mut world = able();
    let (client, agent) = world.running(&["t"]);
    assert_eq!(drain(&mut world, &agent, ""), Reply::Ok);
    world.close_session(&agent);
    let held = world.holds(&client, &["t"]);
    let agent = world.hello(agent, Some(held.clone()));
    assert_eq!(kinds(&world.messages(&agent)), ["welcome", "drain"]);

    let info: AgentInfo = json(&format!(
        r#"{{"hostname":"host","port":5051,"id":{{"value":"{}"}}}}"#,
        agent.id
    ));
    let drained = json(r#"{"state":"DRAINING","config":{"mark_gone":false}}"#);
    let id = AgentId::from(agent.id.as_str());
    let registry = Registry {
        agents: BTreeMap::from([(id.clone(), info)]),
        drains: BTreeMap::from([(id.clone(), drained)]),
        deactivated: [id].into(),
        ..Registry::default()
    };
    let mut next = World::named("N", MasterConfig::default(), registry);
    next.capabilities.clone_from(&world.capabilities);
    let agent = next.hello(agent, Some(held));
    assert_eq!(kinds(&next.messages(&agent)), ["welcome", "drain"]);
    let fresh = next.subscribe(AWARE);
    next.settle();
    assert!(next.offers(&fresh).is_empty());
    next.update(&agent, &client, "t", TaskState::TaskKilled, 2);
    assert_eq!(drain_state(&next, &agent), Some(DrainState::Draining));
}

#[test]
fn what_cannot_be_drained_is_refused() {
    let mut world = World::new();
    let agent = world.agent();
    let text = refused(&drain(&mut world, &agent, "")).to_owned();
    assert!(text.contains("AGENT_DRAINING"), "{text}");
    let nobody = FakeAgent {
        id: "nope".to_owned(),
        ..agent.clone()
    };
    for kind in ["DEACTIVATE_AGENT", "REACTIVATE_AGENT", "DRAIN_AGENT"] {
        let reply = simple(&mut world, kind, &nobody);
        assert_eq!(
            reply,
            Reply::BadRequest("Agent 'nope' not found".to_owned())
        );
    }
    assert_eq!(
        simple(&mut world, "MARK_AGENT_GONE", &nobody),
        Reply::NotFound("Agent 'nope' not found".to_owned())
    );
    let text = refused(&simple(&mut world, "REACTIVATE_AGENT", &agent)).to_owned();
    assert!(text.contains("is not deactivated"), "{text}");
    world.capabilities = vec![Capability::AgentDraining];
    let other = world.agent_at(5052);
    let text = refused(&drain(
        &mut world,
        &other,
        r#","max_grace_period":{"seconds":-1}"#,
    ))
    .to_owned();
    assert!(text.starts_with("max_grace_period is -1 seconds"), "{text}");
}

#[test]
fn a_deactivated_agent_keeps_its_tasks_and_is_not_offered() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    world.call(&client, r#""type":"REVIVE""#);
    world.offer(&client);
    assert_eq!(simple(&mut world, "DEACTIVATE_AGENT", &agent), Reply::Ok);
    assert!(world.take(&client)[0].contains("RESCIND"));
    world.advance(Duration::from_secs(5));
    assert!(world.offers(&client).is_empty());
    assert_eq!(world.task_state(&client, "t"), Some(TaskState::TaskRunning));
    assert!(
        kinds(&world.messages(&agent))
            .iter()
            .all(|kind| kind != "drain")
    );
    // Also after it came back.
    let held = world.holds(&client, &["t"]);
    let agent = world.hello(agent, Some(held));
    world.advance(Duration::from_secs(5));
    assert!(world.offers(&client).is_empty());
    assert_eq!(simple(&mut world, "REACTIVATE_AGENT", &agent), Reply::Ok);
    assert_eq!(world.offer(&client).agent_id.value, agent.id);
}

#[test]
fn tasks_of_a_gone_agent_are_gone_by_operator_or_lost() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    let old = world.subscribe(r#""failover_timeout":60"#);
    world.run(&old, &agent, &["o"]);
    assert_eq!(simple(&mut world, "MARK_AGENT_GONE", &agent), Reply::Ok);
    let events = world.take(&client);
    assert!(
        events[0].contains("TASK_GONE_BY_OPERATOR")
            && events[0].contains("REASON_AGENT_REMOVED_BY_OPERATOR")
            && events[0].contains("Agent has been marked gone"),
        "{events:?}"
    );
    assert!(events.last().unwrap().contains("FAILURE"));
    assert_eq!(world.updates(&old), ["o TASK_LOST REASON_AGENT_REMOVED"]);
    assert_eq!(simple(&mut world, "MARK_AGENT_GONE", &agent), Reply::Ok);
    let call = format!(
        r#""type":"RECONCILE","reconcile":{{"tasks":[{{"task_id":{{"value":"t"}},"agent_id":{{"value":"{}"}}}}]}}"#,
        agent.id
    );
    world.call(&client, &call);
    assert_eq!(
        world.updates(&client),
        ["t TASK_GONE_BY_OPERATOR REASON_RECONCILIATION"]
    );
}

#[test]
fn an_agent_that_is_unreachable_or_not_back_yet_can_be_marked_gone() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    world.pong = false;
    world.advance(Duration::from_secs(95));
    assert!(!world.knows_agent(&agent));
    world.take(&client);
    assert_eq!(simple(&mut world, "MARK_AGENT_GONE", &agent), Reply::Ok);
    assert_eq!(
        world.updates(&client),
        ["t TASK_GONE_BY_OPERATOR REASON_AGENT_REMOVED_BY_OPERATOR"]
    );
    assert!(world.core.state().unreachable_agents.is_empty());

    let info: AgentInfo = json(r#"{"hostname":"h","id":{"value":"A"}}"#);
    let registry = Registry {
        agents: BTreeMap::from([("A".into(), info)]),
        ..Registry::default()
    };
    let mut world = World::with(MasterConfig::default(), registry);
    let absent = FakeAgent {
        id: "A".to_owned(),
        ..agent
    };
    assert_eq!(simple(&mut world, "MARK_AGENT_GONE", &absent), Reply::Ok);
    assert!(world.core.state().recovered_agents.is_empty());
    let absent = world.hello(absent, None);
    assert_eq!(kinds(&world.messages(&absent)), ["refused shutdown=true"]);
}

#[test]
fn an_order_is_answered_once_the_registry_holds_it_and_the_agent_waits_at_the_door() {
    let mut world = able();
    let (client, agent) = world.running(&["t"]);
    world.held = Some(Vec::new());
    let request = world.order_later(&format!(
        r#""type":"DRAIN_AGENT","drain_agent":{{"agent_id":{{"value":"{}"}}}}"#,
        agent.id
    ));
    assert_eq!(world.answer(request), None);
    assert!(world.messages(&agent).is_empty());
    let reply = simple(&mut world, "MARK_AGENT_GONE", &agent);
    assert!(matches!(reply, Reply::Unavailable(_)), "{reply:?}");
    let held = world.holds(&client, &["t"]);
    let again = world.hello(agent, Some(held));
    assert!(world.messages(&again).is_empty());
    world.release_registry();
    assert_eq!(world.answer(request), Some(Reply::Ok));
    assert_eq!(kinds(&world.messages(&again)), ["welcome", "drain"]);
}

#[test]
fn an_agent_that_is_lost_while_it_is_changed_is_given_up_all_the_same() {
    let mut world = World::new();
    let (_, agent) = world.running(&["t"]);
    world.held = Some(Vec::new());
    let request = world.order_later(&format!(
        r#""type":"DEACTIVATE_AGENT","deactivate_agent":{{"agent_id":{{"value":"{}"}}}}"#,
        agent.id
    ));
    world.pong = false;
    world.advance(Duration::from_secs(95));
    world.release_registry();
    assert_eq!(world.answer(request), Some(Reply::Ok));
    world.advance(Duration::from_secs(20));
    assert!(!world.knows_agent(&agent));
    let unreachable = &world.core.state().unreachable_agents[agent.id.as_str()];
    assert!(unreachable.deactivation.is_some(), "it stays deactivated");
}
