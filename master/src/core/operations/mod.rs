//! Offer operations: sent to the agent, answered by it, acknowledged.
//!
//! - a framework's in ACCEPT: [`perform`]; an operator's: `operator::resources`;
//! - what the agent is counted with meanwhile: [`speculation`];
//! - what an agent that comes back says about them: [`returning`]; what a framework asks: [`reconcile`].

mod perform;
mod reconcile;
mod returning;
mod speculation;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use mesos_control::v1::{
    AcknowledgeOperation, ApplyOperation, OperationUpdate, master_message::Body,
};
use mesos_types::{AgentId, Format, FrameworkId, OperationError, ResourceOperation, Resources};
use mesos_wire::v1::{
    self, OperationState, OperationStatus, offer::operation::Type, scheduler::call,
};
use uuid::Uuid;

pub(super) use perform::{Pool, described};
use speculation::Speculation;

use super::{Core, event::events};
use crate::state::{Operation, is_terminal_operation};

/// How long after an election a framework that nobody has heard of since may still come for the end of its
/// operations. Source: `MIN_WAIT_BEFORE_ORPHAN_OPERATION_ADOPTION` in `master/constants.hpp`.
const ORPHAN_WAIT: Duration = Duration::from_secs(5 * 60);

/// Where operations are, by what they are asked for.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Those with an id, by the framework that gave it.
    by_id: HashMap<FrameworkId, BTreeMap<v1::OperationId, (AgentId, Uuid)>>,
    /// Of agents with operations that are not answered.
    speculations: HashMap<AgentId, Speculation>,
    /// Types of those that were under way when their agent became unreachable.
    unreachable: HashMap<AgentId, Vec<Type>>,
    /// How many were started.
    started: u64,
}

impl Core {
    /// Changes the agent's record and sends the operation. The allocator is the caller's business.
    ///
    /// # Errors
    /// The agent does not have what the operation takes; nothing has changed.
    pub(super) fn start(
        &mut self,
        framework_id: Option<&FrameworkId>,
        agent_id: &AgentId,
        id: Option<v1::OperationId>,
        operation: &ResourceOperation,
    ) -> Result<(), OperationError> {
        let plain = operation.unallocated();
        let steps = plain.conversions();
        let uuid = self.next_operation();
        let Some(agent) = self.agent_mut(agent_id) else {
            return Err(OperationError::Invalid(format!("Agent {agent_id} is gone")));
        };
        let before = agent.total.clone();
        agent.total = before.apply_all(&steps)?;
        let mut info = operation.to_wire(Format::PostRefinement);
        info.id.clone_from(&id);
        let status = OperationStatus {
            operation_id: id.clone(),
            state: OperationState::OperationPending.into(),
            agent_id: Some(agent_id.into()),
            ..OperationStatus::default()
        };
        let kind = operation.kind();
        self.operations
            .speculations
            .entry(agent_id.clone())
            .or_insert_with(|| Speculation::new(before))
            .expect(uuid, steps);
        self.add_operation(Operation {
            uuid,
            framework_id: framework_id.cloned(),
            agent_id: agent_id.clone(),
            info: Arc::new(info),
            latest: Arc::new(status),
        });
        if let Some(framework_id) = framework_id {
            self.counters.frameworks.operation(framework_id, kind);
        }
        tracing::info!(
            framework_id = framework_id.map(tracing::field::display), %agent_id, operation_uuid = %uuid,
            operation = kind.as_str_name(), resources = %operation.resources(), "started an operation"
        );
        let mut wire = plain.to_wire(Format::PostRefinement);
        wire.id = id;
        let apply = ApplyOperation {
            framework_id: framework_id.map(Into::into),
            operation_uuid: uuid.as_bytes().to_vec(),
            operation: Some(wire),
        };
        self.tell(agent_id, Body::ApplyOperation(apply));
        Ok(())
    }

    /// Never given out before, as the master's id is new at each start: a pure function of that.
    fn next_operation(&mut self) -> Uuid {
        self.operations.started += 1;
        let master = Uuid::parse_str(self.master_id()).unwrap_or(Uuid::nil());
        Uuid::from_u128(master.as_u128() ^ u128::from(self.operations.started))
    }

    fn add_operation(&mut self, operation: Operation) {
        let (agent_id, uuid) = (operation.agent_id.clone(), operation.uuid);
        if let (Some(framework), Some(id)) = (&operation.framework_id, operation.id()) {
            self.operations
                .by_id
                .entry(framework.clone())
                .or_default()
                .insert(id.clone(), (agent_id.clone(), uuid));
        }
        if let Some(agent) = self.agent_mut(&agent_id) {
            agent.operations.insert(uuid, Arc::new(operation));
        }
    }

    fn forget_operation(&mut self, operation: &Operation) {
        if let (Some(framework), Some(id)) = (&operation.framework_id, operation.id())
            && let Some(ids) = self.operations.by_id.get_mut(framework)
        {
            if ids.get(id).is_some_and(|(_, uuid)| *uuid == operation.uuid) {
                ids.remove(id);
            }
            if ids.is_empty() {
                self.operations.by_id.remove(framework);
            }
        }
        if let Some(agent) = self.agent_mut(&operation.agent_id) {
            agent.operations.remove(&operation.uuid);
        }
    }

    /// The operation that a framework calls so.
    fn operation_of(
        &self,
        framework: &FrameworkId,
        id: &v1::OperationId,
    ) -> Option<&Arc<Operation>> {
        let (agent, uuid) = self.operations.by_id.get(framework)?.get(id)?;
        self.state.agents.get(agent)?.operations.get(uuid)
    }

    /// An agent says what became of an operation.
    pub(super) fn operation_update(&mut self, agent_id: &AgentId, update: OperationUpdate) {
        let dropped = |why: &str| {
            tracing::warn!(%agent_id, operation_uuid = ?update.operation_uuid, "dropped the update of an operation: {why}");
        };
        let known = Uuid::from_slice(&update.operation_uuid)
            .ok()
            .and_then(|uuid| self.state.agents.get(agent_id)?.operations.get(&uuid));
        let (Some(operation), Some(mut status)) = (known.cloned(), update.status.clone()) else {
            self.counters.operation_update(false);
            // One that was acknowledged just now is sent once more by an agent that has not heard of it yet.
            return dropped("it is not known, or has no status");
        };
        let Some(state) = OperationState::try_from(status.state)
            .ok()
            .filter(|state| is_terminal_operation(*state))
        else {
            self.counters.operation_update(false);
            return dropped("its state is not one that agents end operations with");
        };
        self.counters.operation_update(true);
        status.operation_id = operation.id().cloned();
        status.agent_id = Some(agent_id.into());
        if !operation.is_terminal() {
            self.counters.operations.ended(operation.kind(), state);
            self.settle_operation(&operation, &status);
        }
        let mut updated = Operation::clone(&operation);
        updated.latest = Arc::new(status.clone());
        if let Some(agent) = self.agent_mut(agent_id) {
            agent
                .operations
                .insert(updated.uuid, Arc::new(updated.clone()));
        }
        let framework = self.heir(&updated);
        match framework {
            Some(framework) => self.send(&framework, events::operation_update(status)),
            None => self.acknowledge_self(&updated),
        }
    }

    /// Who is to hear of an operation and to acknowledge it; `None`: the master does that.
    fn heir(&self, operation: &Operation) -> Option<FrameworkId> {
        operation.id()?;
        let framework = operation.framework_id.as_ref()?;
        if self.state.frameworks.contains_key(framework) {
            return Some(framework.clone());
        }
        let completed = self
            .state
            .completed_frameworks
            .iter()
            .any(|completed| completed.id == *framework);
        let elected = self.state.identity.elected_time;
        let late = self.now.seconds() - elected > ORPHAN_WAIT.as_secs_f64();
        (!completed && !late).then(|| framework.clone())
    }

    /// Nobody else will.
    fn acknowledge_self(&mut self, operation: &Operation) {
        if !operation.is_terminal() {
            return;
        }
        if let Some(uuid) = &operation.latest.uuid {
            let body = acknowledgement(operation, uuid.value.clone());
            self.tell(&operation.agent_id, body);
        }
        self.forget_operation(operation);
    }

    /// The agent's resources are worked out anew if the operation did not happen.
    fn settle_operation(&mut self, operation: &Operation, status: &OperationStatus) {
        let agent_id = &operation.agent_id;
        let happened = status.state() == OperationState::OperationFinished;
        if !happened {
            tracing::warn!(
                %agent_id, operation_uuid = %operation.uuid, operation = operation.kind().as_str_name(),
                state = status.state().as_str_name(), message = status.message(), "an operation did not happen"
            );
        }
        let Some(speculation) = self.operations.speculations.get_mut(agent_id) else {
            return;
        };
        let total = speculation
            .settle(operation.uuid, happened)
            .then(|| speculation.total());
        if speculation.is_settled() {
            self.operations.speculations.remove(agent_id);
        }
        if let Some(total) = total {
            self.agent_has(agent_id, total);
        }
    }

    /// The agent has something else than it was counted with.
    fn agent_has(&mut self, agent_id: &AgentId, total: Resources) {
        let same = self
            .state
            .agents
            .get(agent_id)
            .is_none_or(|agent| agent.total == total);
        if same {
            return;
        }
        self.withdraw_offers_on(agent_id);
        if let Some(agent) = self.agent_mut(agent_id) {
            agent.total = total.clone();
        }
        self.allocation.update_agent(agent_id, &total);
    }

    pub(super) fn acknowledge_operation(
        &mut self,
        id: &FrameworkId,
        acknowledge: &call::AcknowledgeOperationStatus,
    ) {
        let operation_id = &acknowledge.operation_id;
        let dropped = |why| {
            tracing::warn!(framework_id = %id, %operation_id, "dropped the acknowledgement of an operation: {why}");
        };
        let operation = self.operation_of(id, operation_id).filter(|operation| {
            acknowledge
                .agent_id
                .as_ref()
                .is_some_and(|agent| agent.as_str() == operation.agent_id.as_str())
        });
        let Some(operation) = operation.cloned() else {
            self.counters.operation_acknowledgement(false);
            return dropped("no such operation on this agent");
        };
        let newest = operation.latest.uuid.as_ref();
        if !operation.is_terminal() || newest.is_none_or(|uuid| uuid.value != acknowledge.uuid) {
            self.counters.operation_acknowledgement(false);
            return dropped("it is not for the newest status");
        }
        let told = self.tell(
            &operation.agent_id,
            acknowledgement(&operation, acknowledge.uuid.clone()),
        );
        if !told {
            self.counters.operation_acknowledgement(false);
            return dropped("its agent is disconnected and will send the update again");
        }
        self.counters.operation_acknowledgement(true);
        self.forget_operation(&operation);
    }

    /// A framework is no more: the master acknowledges what is left of its operations.
    pub(super) fn orphan_operations(&mut self, id: &FrameworkId) {
        for (agent, uuid) in self
            .operations
            .by_id
            .remove(id)
            .unwrap_or_default()
            .into_values()
        {
            let operation = self
                .state
                .agents
                .get(&agent)
                .and_then(|agent| agent.operations.get(&uuid));
            if let Some(operation) = operation.cloned() {
                self.acknowledge_self(&operation);
            }
        }
    }

    /// An agent is removed, with its operations. `unreachable`: it may come back with them.
    pub(super) fn lose_operations(&mut self, id: &AgentId, unreachable: bool) {
        self.operations.speculations.remove(id);
        let Some(agent) = self.state.agents.get(id).cloned() else {
            return;
        };
        let state = if unreachable {
            OperationState::OperationUnreachable
        } else {
            OperationState::OperationGoneByOperator
        };
        let mut lost = Vec::new();
        for operation in agent.operations.values() {
            self.forget_operation(operation);
            if operation.is_terminal() {
                continue;
            }
            lost.push(operation.kind());
            if !unreachable {
                self.counters.operations.ended(operation.kind(), state);
            }
            let (Some(framework), Some(operation_id)) = (&operation.framework_id, operation.id())
            else {
                continue;
            };
            let status = OperationStatus {
                operation_id: Some(operation_id.clone()),
                state: state.into(),
                message: Some(format!("Agent {} was removed", agent.info.hostname)),
                agent_id: Some(id.into()),
                ..OperationStatus::default()
            };
            self.send(framework, events::operation_update(status));
        }
        if unreachable && !lost.is_empty() {
            for kind in &lost {
                self.counters.operations.unreachable(*kind, true);
            }
            self.operations.unreachable.insert(id.clone(), lost);
        }
    }

    /// An agent that was unreachable is back, or nobody waits for it any more.
    pub(super) fn forget_unreachable_operations(&mut self, id: &AgentId) {
        for kind in self.operations.unreachable.remove(id).unwrap_or_default() {
            self.counters.operations.unreachable(kind, false);
        }
    }
}

fn acknowledgement(operation: &Operation, status_uuid: Vec<u8>) -> Body {
    Body::AcknowledgeOperation(AcknowledgeOperation {
        operation_uuid: operation.uuid.as_bytes().to_vec(),
        status_uuid,
    })
}
