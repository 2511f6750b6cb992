//! An agent comes back and says which operations it holds: ours become those.
use std::{collections::BTreeMap, sync::Arc};

use mesos_control::v1::{KnownOperation, Snapshot as AgentSnapshot};
use mesos_types::{AgentId, FrameworkId, ResourceOperation};
use mesos_wire::v1;
use uuid::Uuid;

use super::{Speculation, is_terminal_operation};
use crate::{core::Core, state::Operation};

impl Core {
    /// Takes over what the agent says; its record has its total as of the snapshot. Answers with those that
    /// were sent to it and that it does not know: it says whether they happened.
    pub(in crate::core) fn take_operations(
        &mut self,
        id: &AgentId,
        snapshot: &AgentSnapshot,
    ) -> Vec<KnownOperation> {
        self.forget_unreachable_operations(id);
        let held = read(id, &snapshot.operations);
        let (known, total) = match self.state.agents.get(id) {
            Some(agent) => (agent.operations.clone(), agent.total.clone()),
            None => return Vec::new(),
        };
        // What is not answered counts as done in what the agent says that it has.
        let unanswered = held.values().filter(|operation| !operation.is_terminal());
        let unanswered = unanswered.map(|operation| (operation.uuid, steps(&operation.info)));
        let mut speculation = Speculation::ahead(total, unanswered.collect());
        let mut missing = Vec::new();
        for operation in known.values() {
            if held.contains_key(&operation.uuid) {
                continue;
            }
            if operation.is_terminal() {
                // The agent keeps each until it is acknowledged.
                self.forget_operation(operation);
                continue;
            }
            speculation.doubt(operation.uuid, steps(&operation.info));
            missing.push(KnownOperation {
                framework_id: operation.framework_id.as_ref().map(Into::into),
                operation_uuid: operation.uuid.as_bytes().to_vec(),
                operation_id: operation.id().cloned(),
            });
        }
        for operation in held.into_values() {
            let before = known.get(&operation.uuid);
            if operation.is_terminal() && before.is_some_and(|before| !before.is_terminal()) {
                self.counters
                    .operations
                    .ended(operation.kind(), operation.state());
            }
            match before {
                // The allocations are in our own one; the agent may not even know what it was.
                Some(before) => {
                    let mut latest = (*operation.latest).clone();
                    latest.operation_id = before.id().cloned();
                    self.add_operation(Operation {
                        latest: Arc::new(latest),
                        ..Operation::clone(before)
                    });
                }
                None => self.add_operation(operation),
            }
        }
        self.operations.speculations.remove(id);
        if !speculation.is_settled() {
            if let Some(agent) = self.agent_mut(id) {
                agent.total = speculation.total();
            }
            self.operations.speculations.insert(id.clone(), speculation);
        }
        missing
    }
}

/// What an agent holds, by uuid; what does not read is left out.
fn read(agent_id: &AgentId, wire: &[v1::Operation]) -> BTreeMap<Uuid, Operation> {
    let mut held = BTreeMap::new();
    for operation in wire {
        let Ok(uuid) = Uuid::from_slice(&operation.uuid.value) else {
            tracing::warn!(%agent_id, uuid = ?operation.uuid.value, "an agent holds an operation whose uuid does not read");
            continue;
        };
        let mut latest = operation.latest_status.clone();
        latest.operation_id.clone_from(&operation.info.id);
        latest.agent_id = Some(agent_id.into());
        if !is_terminal_operation(latest.state()) {
            latest.set_state(v1::OperationState::OperationPending);
        }
        let operation = Operation {
            uuid,
            framework_id: operation.framework_id.as_ref().map(FrameworkId::from),
            agent_id: agent_id.clone(),
            info: Arc::new(operation.info.clone()),
            latest: Arc::new(latest),
        };
        held.insert(uuid, operation);
    }
    held
}

/// What an operation takes and gives; nothing for one that does not read, which the agent cannot do either.
fn steps(info: &v1::offer::Operation) -> Vec<mesos_types::Conversion> {
    match ResourceOperation::from_wire(info) {
        Ok(operation) => operation.unallocated().conversions(),
        Err(error) => {
            tracing::warn!(%error, "an operation that is under way does not read");
            Vec::new()
        }
    }
}
