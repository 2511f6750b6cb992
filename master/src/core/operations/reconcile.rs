//! RECONCILE_OPERATIONS: a framework asks for what the master knows of its operations.
use std::collections::BTreeMap;

use mesos_types::{AgentId, FrameworkId};
use mesos_wire::v1::{OperationState, OperationStatus, scheduler::call};

use crate::{
    core::{Core, event::events},
    state::Operation,
};

impl Core {
    /// The status of each; of all that are known when it asks for none.
    pub(in crate::core) fn reconcile_operations(
        &mut self,
        id: &FrameworkId,
        asked: &[call::reconcile_operations::Operation],
    ) {
        let statuses: Vec<OperationStatus> = if asked.is_empty() {
            let own = self.operations.by_id.get(id);
            own.into_iter()
                .flat_map(BTreeMap::keys)
                .filter_map(|operation| self.operation_of(id, operation))
                .map(|operation| latest(operation))
                .collect()
        } else {
            let known = |asked| self.explicit_operation(id, asked);
            asked.iter().map(known).collect()
        };
        for status in statuses {
            self.send(id, events::operation_update(status));
        }
    }

    /// The first that fits.
    fn explicit_operation(
        &self,
        framework: &FrameworkId,
        asked: &call::reconcile_operations::Operation,
    ) -> OperationStatus {
        if let Some(operation) = self.operation_of(framework, &asked.operation_id) {
            return latest(operation);
        }
        let state = &self.state;
        let found = match asked.agent_id.as_ref().map(AgentId::from) {
            None if !state.recovered_agents.is_empty() => OperationState::OperationRecovering,
            None => OperationState::OperationUnknown,
            Some(agent) if state.recovered_agents.contains_key(&agent) => {
                OperationState::OperationRecovering
            }
            Some(agent) if state.unreachable_agents.contains_key(&agent) => {
                OperationState::OperationUnreachable
            }
            Some(agent) if state.gone_agents.contains_key(&agent) => {
                OperationState::OperationGoneByOperator
            }
            Some(_) => OperationState::OperationUnknown,
        };
        OperationStatus {
            operation_id: Some(asked.operation_id.clone()),
            state: found.into(),
            message: Some("Reconciliation: Operation is unknown".to_owned()),
            agent_id: asked.agent_id.clone(),
            resource_provider_id: asked.resource_provider_id.clone(),
            ..OperationStatus::default()
        }
    }
}

/// The newest status, as an answer that nobody has to acknowledge.
fn latest(operation: &Operation) -> OperationStatus {
    let mut status = (*operation.latest).clone();
    status.uuid = None;
    status
        .message
        .get_or_insert_with(|| "Reconciliation: Latest operation state".to_owned());
    status
}
