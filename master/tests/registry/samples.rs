//! Pieces of a registry.
use std::collections::BTreeMap;

use mesos_master::registry::{Change, MachineKey};
use mesos_types::AgentId;
use mesos_wire::v1::{
    AgentInfo, Attribute, DrainConfig, DrainInfo, DrainState, DurationInfo, MachineId, MachineInfo,
    TimeInfo, Unavailability,
    machine_info::Mode,
    maintenance::{Schedule, Window},
    quota::QuotaConfig,
    value,
};

pub fn agent(id: &AgentId, hostname: &str) -> AgentInfo {
    AgentInfo {
        hostname: hostname.to_owned(),
        id: Some(id.into()),
        port: Some(5051),
        ..AgentInfo::default()
    }
}

/// An agent whose description takes about `bytes`.
pub fn fat_agent(id: &AgentId, bytes: usize) -> AgentInfo {
    AgentInfo {
        attributes: vec![Attribute {
            name: "rack".to_owned(),
            r#type: value::Type::Text.into(),
            text: Some(value::Text {
                value: "r".repeat(bytes),
            }),
            ..Attribute::default()
        }],
        ..agent(id, "fat")
    }
}

pub fn admit(id: &str) -> Change {
    let id = AgentId::from(id);
    let info = agent(&id, "h");
    Change::Admit(id, Box::new(info))
}

pub fn drain(state: DrainState, mark_gone: bool) -> DrainInfo {
    DrainInfo {
        state: state.into(),
        config: DrainConfig {
            max_grace_period: Some(DurationInfo {
                nanoseconds: 5_000_000_000,
            }),
            mark_gone: Some(mark_gone),
        },
    }
}

pub fn quota(role: &str, guarantee: Option<f64>, limit: Option<f64>) -> QuotaConfig {
    let amounts = |value: Option<f64>| {
        value
            .map(|value| ("cpus".to_owned(), value::Scalar { value }))
            .into_iter()
            .collect()
    };
    QuotaConfig {
        role: role.to_owned(),
        guarantees: amounts(guarantee),
        limits: amounts(limit),
    }
}

pub fn machine(hostname: &str, ip: &str) -> MachineId {
    MachineId {
        hostname: Some(hostname.to_owned()),
        ip: Some(ip.to_owned()),
    }
}

/// Maintenance of these machines, all in one window, and the modes that come of it.
pub fn maintenance(machines: &[MachineId], mode: Mode, removed: Vec<AgentId>) -> Change {
    let unavailability = Unavailability {
        start: TimeInfo {
            nanoseconds: 1_795_230_736_653_738_496,
        },
        duration: Some(DurationInfo {
            nanoseconds: 3_600_000_000_000,
        }),
    };
    let modes: BTreeMap<_, _> = machines
        .iter()
        .map(|id| {
            let info = MachineInfo {
                id: id.clone(),
                mode: Some(mode.into()),
                unavailability: Some(unavailability),
            };
            (MachineKey::from(id), info)
        })
        .collect();
    let windows = if machines.is_empty() {
        Vec::new()
    } else {
        vec![Window {
            machine_ids: machines.to_vec(),
            unavailability,
        }]
    };
    Change::Maintenance {
        schedule: Some(Schedule { windows }),
        machines: modes,
        removed,
    }
}

/// Changes of every kind.
pub fn everything() -> Vec<Change> {
    let mut changes: Vec<Change> = ["a", "b", "c", "d", "e", "f"].map(admit).into();
    changes.extend([
        Change::Unreachable("b".into(), 7),
        Change::Unreachable("c".into(), 8),
        admit("c"),
        Change::Remove("d".into()),
        Change::Drain("a".into(), Some(drain(DrainState::Draining, true)), true),
        Change::Drain("b".into(), Some(drain(DrainState::Drained, false)), true),
        Change::Drain("c".into(), None, true),
        Change::Drain("e".into(), Some(drain(DrainState::Draining, true)), true),
        Change::Gone("e".into(), 1_795_225_447_846_951_936),
        Change::Gone("x".into(), 3),
        Change::ForgetGone(vec!["x".into(), "never".into()]),
        Change::Unreachable("f".into(), 9),
        Change::Forget(vec!["f".into(), "never".into()]),
        Change::Quotas(vec![
            ("dev".to_owned(), Some(quota("dev", Some(1.5), Some(4.0)))),
            (
                "eng/prod".to_owned(),
                Some(quota("eng/prod", None, Some(2.0))),
            ),
            ("old".to_owned(), Some(quota("old", Some(1.0), None))),
        ]),
        Change::Quotas(vec![("old".to_owned(), None), ("never".to_owned(), None)]),
        Change::Weights(vec![("dev".to_owned(), 2.5), ("eng/prod".to_owned(), 0.1)]),
        Change::Weights(vec![("dev".to_owned(), 3.0)]),
        maintenance(
            &[machine("M1", "10.0.0.1"), machine("m2", "")],
            Mode::Draining,
            Vec::new(),
        ),
        maintenance(&[machine("m2", "")], Mode::Down, vec!["nobody".into()]),
    ]);
    changes
}
