//! What operators may change, a file per subject. Each answers once what it changed is durable.
mod agents;
mod maintenance;
mod quota;
mod resources;
mod weights;

use mesos_wire::v1::master::{Call, call::Type};

use super::{Core, Reply};

impl Core {
    /// The call is valid in itself (`operator::validate`), so its own message is there. Each part answers
    /// the request itself, at once or later.
    pub(super) fn operator(&mut self, request: u64, principal: Option<&str>, call: Call) {
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
}
