//! Maintenance: the schedule, machines that go down and come up.
use std::{collections::BTreeMap, sync::Arc};

use mesos_control::v1::{Shutdown, master_message::Body};
use mesos_http::{Action, Object};
use mesos_types::AgentId;
use mesos_wire::v1::{
    MachineId, MachineInfo,
    machine_info::Mode,
    maintenance::Schedule,
    master::{Call, call::Type},
};

use crate::{
    core::{Core, Reply, transitions::Setting},
    registry::{Change as RegistryChange, MachineKey},
    validation::maintenance::{machine_json, validate_machines, validate_schedule},
};

impl Core {
    pub(super) fn update_schedule(&mut self, request: u64, principal: Option<&str>, call: Call) {
        if !self
            .authorizer
            .authorize(principal, Action::UpdateMaintenanceSchedule, Object::Any)
        {
            return self.reply(request, Reply::Forbidden(String::new()));
        }
        let schedule = call
            .update_maintenance_schedule
            .unwrap_or_default()
            .schedule;
        let settings = &self.state.settings;
        if let Err(invalid) = validate_schedule(&schedule, &settings.machines) {
            return self.reply(request, Reply::BadRequest(invalid.0));
        }
        let machines = machines_of(&schedule, &settings.machines);
        self.write_maintenance(request, schedule, machines, Vec::new());
    }

    pub(super) fn change_machines(&mut self, request: u64, principal: Option<&str>, call: Call) {
        let (action, named) = match call.r#type() {
            Type::StartMaintenance => (
                Action::StartMaintenance,
                call.start_maintenance.unwrap_or_default().machines,
            ),
            _ => (
                Action::StopMaintenance,
                call.stop_maintenance.unwrap_or_default().machines,
            ),
        };
        if !self.authorizer.authorize(principal, action, Object::Any) {
            return self.reply(request, Reply::Forbidden(String::new()));
        }
        if let Err(invalid) = validate_machines(&named) {
            return self.reply(request, Reply::BadRequest(invalid.0));
        }
        let outcome = if action == Action::StartMaintenance {
            self.take_down(request, &named)
        } else {
            self.bring_up(request, &named)
        };
        if let Err(refusal) = outcome {
            self.reply(request, refusal);
        }
    }

    fn take_down(&mut self, request: u64, named: &[MachineId]) -> Result<(), Reply> {
        let settings = self.state.settings.clone();
        let mut machines = settings.machines.clone();
        for id in named {
            let known = machines.get_mut(&MachineKey::from(id));
            let Some(machine) = known.filter(|machine| machine.mode() == Mode::Draining) else {
                return Err(self.wrong_mode(id, Mode::Draining, "brought down"));
            };
            machine.set_mode(Mode::Down);
        }
        let agents: Vec<AgentId> = self
            .state
            .agents
            .values()
            .filter(|agent| {
                let key = settings.machine_of(&agent.info, &agent.ip);
                key.is_some_and(|(key, _)| {
                    machines.get(key).map(MachineInfo::mode) == Some(Mode::Down)
                })
            })
            .map(|agent| agent.id.clone())
            .collect();
        let schedule = settings.schedule.clone().unwrap_or_default();
        self.write_maintenance(request, schedule, machines, agents);
        Ok(())
    }

    fn bring_up(&mut self, request: u64, named: &[MachineId]) -> Result<(), Reply> {
        let settings = self.state.settings.clone();
        let mut machines = settings.machines.clone();
        let mut schedule = settings.schedule.clone().unwrap_or_default();
        for id in named {
            let key = MachineKey::from(id);
            if machines.get(&key).map(MachineInfo::mode) != Some(Mode::Down) {
                return Err(self.wrong_mode(id, Mode::Down, "brought up"));
            }
            machines.remove(&key);
            for window in &mut schedule.windows {
                window
                    .machine_ids
                    .retain(|other| MachineKey::from(other) != key);
            }
        }
        schedule
            .windows
            .retain(|window| !window.machine_ids.is_empty());
        self.write_maintenance(request, schedule, machines, Vec::new());
        Ok(())
    }

    /// In Mesos's words; a machine is known there when an agent of it is.
    fn wrong_mode(&self, id: &MachineId, needed: Mode, to_be: &str) -> Reply {
        let key = MachineKey::from(id);
        let known = self.state.settings.machines.contains_key(&key)
            || self.state.agents.values().any(|agent| {
                agent.info.hostname.eq_ignore_ascii_case(&key.hostname) && agent.ip == key.ip
            });
        let machine = machine_json(id);
        Reply::BadRequest(if known {
            format!(
                "Machine '{machine}' is not in {} mode and cannot be {to_be}",
                needed.as_str_name()
            )
        } else {
            format!("Machine '{machine}' is not part of a maintenance schedule")
        })
    }

    fn write_maintenance(
        &mut self,
        request: u64,
        schedule: Schedule,
        machines: BTreeMap<MachineKey, MachineInfo>,
        removed: Vec<AgentId>,
    ) {
        let change = RegistryChange::Maintenance {
            schedule: Some(schedule.clone()),
            machines: machines.clone(),
            removed: removed.clone(),
        };
        let setting = Setting::Maintenance {
            schedule,
            machines,
            removed,
        };
        self.write_setting(Some(request), setting, change);
    }

    /// The registry holds the schedule.
    pub(super) fn maintenance_changed(
        &mut self,
        schedule: Schedule,
        machines: BTreeMap<MachineKey, MachineInfo>,
        removed: Vec<AgentId>,
    ) {
        let settings = Arc::make_mut(&mut self.state.settings);
        settings.schedule = Some(schedule);
        settings.machines = machines;
        for id in removed {
            let message = "The machine was taken down for maintenance".to_owned();
            self.tell(&id, Body::Shutdown(Shutdown { message }));
            self.remove_down_agent(&id);
        }
        let settings = self.state.settings.clone();
        let planned: Vec<_> = self
            .state
            .agents
            .values()
            .filter(|agent| agent.planned.is_some() || !settings.machines.is_empty())
            .map(|agent| {
                let time = settings.unavailability_of(&agent.info, &agent.ip);
                (agent.id.clone(), time)
            })
            .collect();
        for (id, unavailability) in planned {
            self.plan(&id, unavailability);
        }
    }
}

/// All machines under this schedule: what is down stays down.
fn machines_of(
    schedule: &Schedule,
    before: &BTreeMap<MachineKey, MachineInfo>,
) -> BTreeMap<MachineKey, MachineInfo> {
    let windows = schedule.windows.iter();
    windows
        .flat_map(|window| {
            window.machine_ids.iter().map(|id| {
                let key = MachineKey::from(id);
                let down = before.get(&key).map(MachineInfo::mode) == Some(Mode::Down);
                let mode = if down { Mode::Down } else { Mode::Draining };
                let machine = MachineInfo {
                    id: id.clone(),
                    mode: Some(mode.into()),
                    unavailability: Some(window.unavailability),
                };
                (key, machine)
            })
        })
        .collect()
}
