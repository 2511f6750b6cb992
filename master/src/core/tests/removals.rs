//! Brakes: how fast agents are given up, and how many after a master's start.
use std::{collections::BTreeMap, time::Duration};

use mesos_control::v1::{Nothing, agent_message};
use mesos_wire::v1::AgentInfo;

use super::world::{FakeAgent, RESOURCES, World, json};
use crate::{config::MasterConfig, registry::Registry};

fn slow() -> MasterConfig {
    MasterConfig {
        agent_removal_interval: Some(Duration::from_secs(600)),
        ..MasterConfig::default()
    }
}

fn unreachable(world: &World) -> usize {
    world.core.state().unreachable_agents.len()
}

fn registered(count: usize) -> Registry {
    let agents = (0..count).map(|number| {
        let id = format!("A{number}");
        let info: AgentInfo = json(&format!(r#"{{"hostname":"h","id":{{"value":"{id}"}}}}"#));
        (id.as_str().into(), info)
    });
    Registry {
        agents: agents.collect::<BTreeMap<_, _>>(),
        ..Registry::default()
    }
}

#[test]
fn agents_are_given_up_one_after_the_other() {
    let mut world = World::with(slow(), Registry::default());
    for port in 5051..5054 {
        world.agent_at(port);
    }
    world.pong = false;
    world.advance(Duration::from_secs(95));
    assert_eq!(unreachable(&world), 1);
    world.advance(Duration::from_secs(580));
    assert_eq!(unreachable(&world), 1);
    world.advance(Duration::from_secs(40));
    assert_eq!(unreachable(&world), 2);
    world.advance(Duration::from_secs(600));
    assert_eq!(unreachable(&world), 3);
    assert_eq!(world.core.counters().slave_unreachable_completed.get(), 3);
}

#[test]
fn an_agent_that_is_heard_of_before_its_turn_stays() {
    let mut world = World::with(slow(), Registry::default());
    let agents: Vec<FakeAgent> = (5051..5053).map(|port| world.agent_at(port)).collect();
    world.pong = false;
    world.advance(Duration::from_secs(95));
    let left = agents
        .iter()
        .find(|agent| world.knows_agent(agent))
        .expect("one waits")
        .clone();
    world.pong = true;
    world.say(&left, agent_message::Body::Nothing(Nothing {}));
    world.advance(Duration::from_secs(1200));
    assert!(world.knows_agent(&left));
    assert_eq!(unreachable(&world), 1);
    assert_eq!(world.core.counters().slave_unreachable_canceled.get(), 1);
}

#[test]
fn an_agent_that_registers_again_before_its_turn_stays() {
    let mut world = World::with(slow(), Registry::default());
    let agents: Vec<FakeAgent> = (5051..5053).map(|port| world.agent_at(port)).collect();
    for agent in &agents {
        world.close_session(agent);
    }
    world.advance(Duration::from_secs(95));
    let left = agents
        .iter()
        .find(|agent| world.knows_agent(agent))
        .expect("one waits")
        .clone();
    let back = world.hello(left, None);
    world.advance(Duration::from_secs(1200));
    assert!(world.knows_agent(&back));
}

#[test]
fn a_disconnected_agent_has_no_longer_than_the_timeout() {
    let config = MasterConfig {
        agent_ping_timeout: Duration::from_secs(900),
        agent_reregister_timeout: Duration::from_secs(600),
        ..MasterConfig::default()
    };
    let mut world = World::with(config, Registry::default());
    let agent = world.agent();
    world.close_session(&agent);
    world.advance(Duration::from_secs(599));
    assert!(world.knows_agent(&agent));
    world.advance(Duration::from_secs(2));
    assert!(!world.knows_agent(&agent));
}

#[test]
fn a_master_ends_rather_than_give_up_too_many_agents_after_its_start() {
    let config = || MasterConfig {
        recovery_agent_removal_limit: 50.0,
        ..MasterConfig::default()
    };
    let mut world = World::with(config(), registered(3));
    world.advance(Duration::from_secs(601));
    let why = world.aborted().expect("three of three are lost");
    assert!(
        why.starts_with("3 of 3 agents of the registry did not come back"),
        "{why}"
    );
    assert_eq!(unreachable(&world), 0);

    let mut world = World::with(config(), registered(2));
    let back = FakeAgent {
        id: "A0".to_owned(),
        session: 0,
        epoch: "e".to_owned(),
        port: 5051,
        resources: RESOURCES,
    };
    world.hello(back, None);
    world.advance(Duration::from_secs(601));
    assert_eq!(world.aborted(), None);
    assert_eq!(unreachable(&world), 1);
}

#[test]
fn agents_that_are_gone_are_forgotten_when_they_are_too_many() {
    let config = MasterConfig {
        registry_max_agent_count: 2,
        ..MasterConfig::default()
    };
    let gone = (0..5).map(|number| (format!("G{number}").as_str().into(), number));
    let registry = Registry {
        gone: gone.collect(),
        ..Registry::default()
    };
    let mut world = World::with(config, registry);
    // All are very old, too.
    world.advance(Duration::from_secs(16 * 60));
    assert!(world.core.state().gone_agents.is_empty());
}
