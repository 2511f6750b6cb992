//! `/registrar(1)/registry`: the durable list of agents, in the shape of Mesos's registry.
use mesos_types::{Format, Resources};
use mesos_wire::{json::to_value, v1::AgentInfo};
use serde_json::{Value, json};

use crate::state::Snapshot;

/// The registry as far as it concerns agents; quotas, weights and maintenance are not there yet.
pub(crate) fn registry(snapshot: &Snapshot) -> Value {
    let registered = snapshot.agents.values().map(|agent| &agent.info);
    let admitted = registered.chain(snapshot.recovered_agents.values().map(|agent| &agent.info));
    let admitted: Vec<Value> = admitted
        .map(|info| json!({ "info": agent(info) }))
        .collect();
    let unreachable = snapshot.unreachable_agents.iter().map(|(id, agent)| {
        json!({
            "id": { "value": id.as_str() },
            "timestamp": { "nanoseconds": agent.since_nanos },
        })
    });
    json!({
        "master": { "info": to_value(&snapshot.identity.info) },
        "slaves": list(admitted),
        "unreachable": list(unreachable.collect()),
    })
}

/// An empty list is left out, as everywhere.
fn list(items: Vec<Value>) -> Value {
    if items.is_empty() {
        json!({})
    } else {
        json!({ "slaves": items })
    }
}

/// Resources stand in the registry with their role.
fn agent(info: &AgentInfo) -> Value {
    let mut info = info.clone();
    if let Ok(resources) = Resources::from_wire(&info.resources) {
        info.resources = resources.to_wire(Format::Endpoint);
    }
    to_value(&info)
}
