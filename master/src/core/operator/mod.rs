//! What operators may change, a file per subject. Each answers once what it changed is durable.
//!
//! Weights, quotas and the maintenance schedule are judged by what is set already, so their calls are
//! carried out one after the other: while one is on its way into the registry, others wait.
mod agents;
mod maintenance;
mod quota;
mod resources;
mod weights;

use std::collections::VecDeque;

use mesos_wire::v1::master::{Call, call::Type};

pub(super) use agents::Drains;
pub(super) use quota::to_quota;

use super::{
    Core, Effect, Reply,
    transitions::{Pending, Setting},
};
use crate::registry::Change as RegistryChange;

/// Calls that wait for the one before them.
const WAITING: usize = 1024;

/// A call that waits, with its request and its principal.
type Waiting = (u64, Option<String>, Call);

/// Calls that set something for the whole cluster.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// One is on its way into the registry.
    busy: bool,
    waiting: VecDeque<Waiting>,
}

impl Core {
    /// The call is valid in itself (`operator::validate`), so its own message is there. Each part answers
    /// the request itself, at once or later.
    pub(super) fn operator(&mut self, request: u64, principal: Option<&str>, call: Call) {
        if self.settling.busy && is_setting(call.r#type()) {
            if self.settling.waiting.len() >= WAITING {
                let text = "Too many changes of weights, quotas and maintenance wait; try again";
                return self.reply(request, Reply::Unavailable(text.to_owned()));
            }
            let principal = principal.map(str::to_owned);
            return self.settling.waiting.push_back((request, principal, call));
        }
        match call.r#type() {
            Type::UpdateWeights => self.update_weights(request, principal, call),
            Type::UpdateQuota | Type::SetQuota | Type::RemoveQuota => {
                self.change_quota(request, principal, call);
            }
            Type::UpdateMaintenanceSchedule => self.update_schedule(request, principal, call),
            Type::StartMaintenance | Type::StopMaintenance => {
                self.change_machines(request, principal, call);
            }
            Type::DrainAgent
            | Type::DeactivateAgent
            | Type::ReactivateAgent
            | Type::MarkAgentGone => self.change_agent(request, principal, call),
            Type::ReserveResources
            | Type::UnreserveResources
            | Type::CreateVolumes
            | Type::DestroyVolumes
            | Type::GrowVolume
            | Type::ShrinkVolume => self.operate_resources(request, principal, call),
            // Answered before they come here.
            Type::Unknown
            | Type::GetHealth
            | Type::GetFlags
            | Type::GetVersion
            | Type::GetMetrics
            | Type::GetLoggingLevel
            | Type::SetLoggingLevel
            | Type::ListFiles
            | Type::ReadFile
            | Type::GetState
            | Type::GetAgents
            | Type::GetFrameworks
            | Type::GetExecutors
            | Type::GetOperations
            | Type::GetTasks
            | Type::GetRoles
            | Type::GetWeights
            | Type::GetMaster
            | Type::Subscribe
            | Type::GetMaintenanceStatus
            | Type::GetMaintenanceSchedule
            | Type::GetQuota
            | Type::Teardown => self.reply(request, Reply::NotImplemented),
        }
    }

    /// `request` is answered once the registry holds the change.
    pub(super) fn write_setting(
        &mut self,
        request: Option<u64>,
        setting: Setting,
        change: RegistryChange,
    ) {
        self.settling.busy = true;
        let token = self
            .transitions
            .begin_setting(Pending::Setting { request, setting });
        self.effects.push(Effect::Registry { token, change });
    }

    /// The registry holds what was set.
    pub(super) fn setting_written(&mut self, request: Option<u64>, setting: Setting) {
        match setting {
            Setting::Weights(weights) => self.weights_changed(weights),
            Setting::Quotas(quotas) => self.quotas_changed(quotas),
            Setting::Maintenance {
                schedule,
                machines,
                removed,
            } => self.maintenance_changed(schedule, machines, removed),
        }
        if let Some(request) = request {
            self.reply(request, Reply::Ok);
        }
        self.settling.busy = false;
        while !self.settling.busy
            && let Some((request, principal, call)) = self.settling.waiting.pop_front()
        {
            self.operator(request, principal.as_deref(), call);
        }
    }
}

/// Whether the call sets something for the whole cluster.
fn is_setting(kind: Type) -> bool {
    matches!(
        kind,
        Type::UpdateWeights
            | Type::UpdateQuota
            | Type::SetQuota
            | Type::RemoveQuota
            | Type::UpdateMaintenanceSchedule
            | Type::StartMaintenance
            | Type::StopMaintenance
    )
}
