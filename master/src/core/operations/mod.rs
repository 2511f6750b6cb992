//! Offer operations under way: sent to the agent, answered by it, acknowledged.
use mesos_control::v1::OperationUpdate;
use mesos_types::AgentId;

use super::Core;

impl Core {
    /// An agent says what became of an operation.
    pub(super) fn operation_update(&mut self, id: &AgentId, update: OperationUpdate) {
        tracing::warn!(agent_id = %id, operation_uuid = ?update.operation_uuid, "dropped the update of an unknown operation");
    }
}
