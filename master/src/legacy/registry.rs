//! `/registrar(1)/registry`: what is kept in the registry, in the shape of Mesos's.
use mesos_types::{Format, Resources};
use mesos_wire::{json::to_value, v1::AgentInfo};
use serde_json::{Map, Value, json};

use crate::state::{Deactivation, Snapshot};

/// All of it. What there is nothing of is left out, but for `slaves`.
pub(crate) fn registry(snapshot: &Snapshot) -> Value {
    let settings = &snapshot.settings;
    let mut shown = Map::new();
    let mut show = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    show(
        "master",
        json!({ "info": to_value(&snapshot.identity.info) }),
    );

    let agents = snapshot.agents.values();
    let agents = agents.map(|agent| (&agent.info, &agent.deactivation));
    let recovered = snapshot.recovered_agents.values();
    let recovered = recovered.map(|agent| (&agent.info, &agent.deactivation));
    let admitted: Vec<Value> = agents
        .chain(recovered)
        .map(|(info, deactivation)| {
            let mut entry = kept(deactivation.as_deref());
            entry.insert("info".to_owned(), agent(info));
            Value::Object(entry)
        })
        .collect();
    show("slaves", list("slaves", admitted));

    let unreachable: Vec<Value> = snapshot
        .unreachable_agents
        .iter()
        .map(|(id, agent)| {
            let mut entry = kept(agent.deactivation.as_deref());
            entry.append(&mut since(id.as_str(), agent.since_nanos));
            Value::Object(entry)
        })
        .collect();
    if !unreachable.is_empty() {
        show("unreachable", list("slaves", unreachable));
    }
    let gone = snapshot.gone_agents.iter();
    let gone: Vec<Value> = gone
        .map(|(id, at)| Value::Object(since(id.as_str(), *at)))
        .collect();
    if !gone.is_empty() {
        show("gone", list("slaves", gone));
    }

    if let Some(schedule) = &settings.schedule {
        let machines = settings.machines.values();
        let machines = machines.map(|machine| json!({ "info": to_value(machine) }));
        show("machines", list("machines", machines.collect()));
        show("schedules", json!([to_value(schedule)]));
    }
    if !settings.quotas.is_empty() {
        let quotas: Vec<Value> = settings.quotas.values().map(to_value).collect();
        show("quota_configs", Value::Array(quotas));
    }
    if !settings.weights.is_empty() {
        let weights = settings.weights.iter();
        let weights =
            weights.map(|(role, weight)| json!({ "info": { "role": role, "weight": weight } }));
        show("weights", Value::Array(weights.collect()));
    }
    let needed = capabilities(snapshot);
    if !needed.is_empty() {
        show("minimum_capabilities", Value::Array(needed));
    }
    Value::Object(shown)
}

/// What a master must know to understand the registry.
fn capabilities(snapshot: &Snapshot) -> Vec<Value> {
    let draining = snapshot
        .agents
        .values()
        .any(|agent| agent.deactivation.is_some())
        || snapshot
            .recovered_agents
            .values()
            .any(|agent| agent.deactivation.is_some())
        || snapshot
            .unreachable_agents
            .values()
            .any(|agent| agent.deactivation.is_some());
    let needed = [
        ("AGENT_DRAINING", draining),
        ("QUOTA_V2", !snapshot.settings.quotas.is_empty()),
    ];
    let needed = needed.into_iter().filter(|(_, needed)| *needed);
    needed
        .map(|(name, _)| json!({ "capability": name }))
        .collect()
}

/// What an operator has set for an agent.
fn kept(deactivation: Option<&Deactivation>) -> Map<String, Value> {
    let mut entry = Map::new();
    entry.insert("deactivated".to_owned(), deactivation.is_some().into());
    if let Some(drain) = deactivation.and_then(|deactivation| deactivation.drain.as_ref()) {
        entry.insert("drain_info".to_owned(), to_value(drain));
    }
    entry
}

fn since(id: &str, nanoseconds: i64) -> Map<String, Value> {
    let mut entry = Map::new();
    entry.insert("id".to_owned(), json!({ "value": id }));
    entry.insert(
        "timestamp".to_owned(),
        json!({ "nanoseconds": nanoseconds }),
    );
    entry
}

/// An empty list is left out, as everywhere.
fn list(name: &str, items: Vec<Value>) -> Value {
    if items.is_empty() {
        json!({})
    } else {
        json!({ name: items })
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use mesos_wire::v1::{
        DrainConfig, DrainInfo, DrainState, MachineId, MachineInfo, MasterInfo, machine_info::Mode,
        maintenance::Schedule, quota::QuotaConfig, value::Scalar,
    };

    use super::*;
    use crate::{
        registry::MachineKey,
        state::{Identity, RecoveredAgent, Settings, UnreachableAgent},
    };

    fn empty() -> Snapshot {
        Snapshot::new(Arc::new(Identity {
            info: MasterInfo {
                id: "m".to_owned(),
                ip: 16_777_343,
                port: 5250,
                ..MasterInfo::default()
            },
            cluster: None,
            start_time: Default::default(),
            elected_time: Default::default(),
        }))
    }

    #[test]
    fn an_empty_registry_has_its_master_and_no_agents() {
        assert_eq!(
            registry(&empty()),
            json!({ "master": { "info": { "id": "m", "ip": 16_777_343, "port": 5250 } }, "slaves": {} })
        );
    }

    #[test]
    fn everything_that_is_kept_is_shown_as_mesos_shows_it() {
        let mut snapshot = empty();
        let drained = Deactivation {
            drain: Some(DrainInfo {
                state: DrainState::Drained.into(),
                config: DrainConfig::default(),
            }),
            ..Deactivation::default()
        };
        let info = AgentInfo {
            hostname: "h".to_owned(),
            ..AgentInfo::default()
        };
        snapshot.recovered_agents.insert(
            "a".into(),
            Arc::new(RecoveredAgent {
                info: Arc::new(info),
                deactivation: None,
            }),
        );
        snapshot.unreachable_agents.insert(
            "b".into(),
            UnreachableAgent {
                since_nanos: 7,
                deactivation: Some(Arc::new(drained)),
            },
        );
        snapshot
            .gone_agents
            .insert("c".into(), 1_795_225_447_846_951_936);
        let id = MachineId {
            hostname: Some("m".to_owned()),
            ip: None,
        };
        let machine = MachineInfo {
            id: id.clone(),
            mode: Some(Mode::Down.into()),
            unavailability: None,
        };
        let quota = QuotaConfig {
            role: "dev".to_owned(),
            limits: [("cpus".to_owned(), Scalar { value: 1.0 })]
                .into_iter()
                .collect(),
            ..QuotaConfig::default()
        };
        snapshot.settings = Arc::new(Settings {
            weights: BTreeMap::from([("dev".to_owned(), 2.5)]),
            quotas: BTreeMap::from([("dev".to_owned(), quota)]),
            schedule: Some(Schedule::default()),
            machines: BTreeMap::from([(MachineKey::from(&id), machine)]),
        });
        let mut shown = registry(&snapshot);
        let slave = shown["slaves"]["slaves"][0]["info"].take();
        assert_eq!(slave["hostname"], "h");
        assert_eq!(
            shown,
            json!({
                "gone": { "slaves": [
                    { "id": { "value": "c" }, "timestamp": { "nanoseconds": 1_795_225_447_846_951_936_i64 } }
                ] },
                "machines": { "machines": [{ "info": { "id": { "hostname": "m" }, "mode": "DOWN" } }] },
                "master": { "info": { "id": "m", "ip": 16_777_343, "port": 5250 } },
                "minimum_capabilities": [{ "capability": "AGENT_DRAINING" }, { "capability": "QUOTA_V2" }],
                "quota_configs": [{ "role": "dev", "limits": { "cpus": { "value": 1.0 } } }],
                "schedules": [{}],
                "slaves": { "slaves": [{ "deactivated": false, "info": null }] },
                "unreachable": { "slaves": [{
                    "deactivated": true,
                    "drain_info": { "config": { "mark_gone": false }, "state": "DRAINED" },
                    "id": { "value": "b" },
                    "timestamp": { "nanoseconds": 7 },
                }] },
                "weights": [{ "info": { "role": "dev", "weight": 2.5 } }],
            })
        );
    }
}
