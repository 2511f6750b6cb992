//! An offer operation on an agent, from its start until its end was acknowledged.
use std::sync::Arc;

use mesos_types::{AgentId, FrameworkId};
use mesos_wire::v1::{
    self, OperationState, OperationStatus,
    offer::{self, operation::Type},
};
use uuid::Uuid;

use super::is_terminal_operation;

/// An operation: what was asked for, and how far it is. Launches are none: they are tasks.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Names it between master and agent.
    pub uuid: Uuid,
    /// Who asked for it; `None`: an operator.
    pub framework_id: Option<FrameworkId>,
    /// Whose resources it changes.
    pub agent_id: AgentId,
    /// As it was asked for, resources in the newest form.
    pub info: Arc<offer::Operation>,
    /// Newest status. Without `uuid` until the agent has answered.
    pub latest: Arc<OperationStatus>,
}

impl Operation {
    /// What its framework calls it; only then its framework hears of it.
    pub fn id(&self) -> Option<&v1::OperationId> {
        self.info.id.as_ref()
    }

    /// Its type.
    pub fn kind(&self) -> Type {
        self.info.r#type()
    }

    /// Newest state known.
    pub fn state(&self) -> OperationState {
        self.latest.state()
    }

    /// Whether it has ended, one way or the other.
    pub fn is_terminal(&self) -> bool {
        is_terminal_operation(self.state())
    }

    /// The operation as it goes over the wire.
    pub fn to_wire(&self) -> v1::Operation {
        let latest = (*self.latest).clone();
        v1::Operation {
            framework_id: self.framework_id.as_ref().map(Into::into),
            agent_id: Some((&self.agent_id).into()),
            info: (*self.info).clone(),
            statuses: vec![latest.clone()],
            latest_status: latest,
            uuid: v1::Uuid {
                value: self.uuid.as_bytes().to_vec(),
            },
        }
    }
}
