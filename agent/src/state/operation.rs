//! An offer operation on this agent, from its arrival until what became of it is acknowledged.

use mesos_types::FrameworkId;
use mesos_wire::v1::{self, OperationState};
use uuid::Uuid;

/// One operation.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Its name between master and agent.
    pub uuid: Uuid,
    /// Whose it is; `None`: an operator's.
    pub framework: Option<FrameworkId>,
    /// As it came; `None`: the master asked about one that never arrived.
    pub info: Option<v1::offer::Operation>,
    /// PENDING as long as directories of volumes are being made or removed, then what became of it.
    pub status: v1::OperationStatus,
    /// Operations are numbered in the order of their arrival.
    pub number: u64,
}

impl Operation {
    /// Whether it has come to its end.
    pub fn is_settled(&self) -> bool {
        self.status.state() != OperationState::OperationPending
    }

    /// As registration and endpoints show it; `None`: nothing is known of it but its end.
    pub fn to_wire(&self, agent: Option<&v1::AgentId>) -> Option<v1::Operation> {
        Some(v1::Operation {
            framework_id: self.framework.as_ref().map(Into::into),
            agent_id: agent.cloned(),
            info: self.info.clone()?,
            latest_status: self.status.clone(),
            statuses: vec![self.status.clone()],
            uuid: v1::Uuid {
                value: self.uuid.as_bytes().to_vec(),
            },
        })
    }
}
