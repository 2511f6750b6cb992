//! What operators have set for the whole cluster. All of it is in the registry.
use std::collections::BTreeMap;

use mesos_wire::v1::{
    AgentInfo, MachineInfo, Unavailability, machine_info::Mode, maintenance::Schedule,
    quota::QuotaConfig,
};

use crate::registry::MachineKey;

/// Weights, quotas and maintenance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Weights of roles that are not 1, or were set to it.
    pub weights: BTreeMap<String, f64>,
    /// Quotas by role.
    pub quotas: BTreeMap<String, QuotaConfig>,
    /// The maintenance schedule; `None`: never written.
    pub schedule: Option<Schedule>,
    /// Machines of the schedule, and those that are down.
    pub machines: BTreeMap<MachineKey, MachineInfo>,
}

impl Settings {
    /// The weight of a role.
    pub fn weight(&self, role: &str) -> f64 {
        self.weights.get(role).copied().unwrap_or(1.0)
    }

    /// The machine that an agent is on, as the schedule names it: by name and address, else by
    /// either alone.
    pub fn machine_of(&self, info: &AgentInfo, ip: &str) -> Option<(&MachineKey, &MachineInfo)> {
        if self.machines.is_empty() {
            return None;
        }
        let hostname = info.hostname.to_lowercase();
        let names = [(hostname.as_str(), ip), ("", ip), (hostname.as_str(), "")];
        names.into_iter().find_map(|(hostname, ip)| {
            self.machines.get_key_value(&MachineKey {
                hostname: hostname.to_owned(),
                ip: ip.to_owned(),
            })
        })
    }

    /// Whether the machine that the agent is on was taken down.
    pub fn is_down(&self, info: &AgentInfo, ip: &str) -> bool {
        self.machine_of(info, ip)
            .is_some_and(|(_, machine)| machine.mode() == Mode::Down)
    }

    /// When the machine that the agent is on is to be down.
    pub fn unavailability_of(&self, info: &AgentInfo, ip: &str) -> Option<Unavailability> {
        let (_, machine) = self.machine_of(info, ip)?;
        machine.unavailability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_on_the_machine_that_names_it_best() {
        let machine = |hostname: &str, ip: &str| {
            let key = MachineKey {
                hostname: hostname.to_owned(),
                ip: ip.to_owned(),
            };
            let info = MachineInfo {
                id: (&key).into(),
                mode: Some(Mode::Draining.into()),
                ..MachineInfo::default()
            };
            (key, info)
        };
        let settings = Settings {
            machines: BTreeMap::from([
                machine("a", "10.0.0.1"),
                machine("", "10.0.0.2"),
                machine("c", ""),
            ]),
            ..Settings::default()
        };
        let found = |hostname: &str, ip: &str| {
            let info = AgentInfo {
                hostname: hostname.to_owned(),
                ..AgentInfo::default()
            };
            settings.machine_of(&info, ip).map(|(key, _)| key.clone())
        };
        assert_eq!(found("A", "10.0.0.1"), Some(machine("a", "10.0.0.1").0));
        assert_eq!(found("a", "10.0.0.2"), Some(machine("", "10.0.0.2").0));
        assert_eq!(found("C", "10.0.0.9"), Some(machine("c", "").0));
        assert_eq!(found("a", "10.0.0.9"), None);
    }
}
