//! Operations of frameworks on what they were offered, in the order of their ACCEPT.
use std::sync::Arc;

use mesos_http::{Action, Object};
use mesos_types::{AgentId, FrameworkId, OfferId, OperationError, ResourceOperation, Resources};
use mesos_wire::v1::{OperationState, OperationStatus, offer::Operation};

use crate::{
    core::{Core, event::events},
    state::{Agent, Framework},
    validation::operation::{Ground, OPERATION_ID_BYTES, validate},
};

/// What is left of the offers while the operations are carried out.
pub(in crate::core) struct Pool {
    pub(in crate::core) agent_id: AgentId,
    pub(in crate::core) role: String,
    /// What the next operation may use.
    pub(in crate::core) left: Resources,
    /// What operations have made that is only of use in another offer.
    pub(in crate::core) later: Resources,
}

impl Core {
    /// Carries out an operation that is no launch, or answers why not.
    pub(in crate::core) fn perform(
        &mut self,
        id: &FrameworkId,
        operation: &Operation,
        pool: &mut Pool,
    ) {
        if let Err(message) = self.try_perform(id, operation, pool) {
            let agent_id = pool.agent_id.clone();
            self.refuse_operation(id, Some(&agent_id), operation, &message);
        }
    }

    fn try_perform(
        &mut self,
        id: &FrameworkId,
        wire: &Operation,
        pool: &mut Pool,
    ) -> Result<(), String> {
        let (Some(framework), Some(agent)) = (
            self.state.frameworks.get(id).cloned(),
            self.state.agents.get(&pool.agent_id).cloned(),
        ) else {
            return Err(format!("Agent {} was removed", pool.agent_id));
        };
        let on_agent = |problem: String| format!("{problem}; on agent {}", described(&agent));
        if !agent.connected() {
            return Err(on_agent("The agent is disconnected".to_owned()));
        }
        if let Some(operation_id) = &wire.id {
            self.check_operation_id(id, operation_id)
                .map_err(on_agent)?;
        }
        let operation = ResourceOperation::from_wire(wire)
            .map_err(|error| on_agent(error.to_string()))?
            .allocated_where_unset(&pool.role);
        let principal = framework.info.principal.as_deref();
        if !self.may_operate(principal, &operation) {
            return Err(on_agent(format!(
                "Not authorized to perform {} as '{}'",
                operation.kind().as_str_name(),
                principal.unwrap_or("")
            )));
        }
        let ground = Ground {
            framework: Some(&framework),
            principal,
            agent: &agent,
        };
        validate(&operation, ground).map_err(|invalid| on_agent(invalid.0))?;
        if let ResourceOperation::Destroy { volumes } = &operation {
            self.withdraw_offers_with(&agent, &volumes.unallocated());
        }
        self.convert(&framework, wire, &operation, pool)
            .map_err(|error| on_agent(error.to_string()))
    }

    fn check_operation_id(
        &self,
        framework: &FrameworkId,
        id: &mesos_wire::v1::OperationId,
    ) -> Result<(), String> {
        let length = id.as_str().len();
        if length == 0 || length > OPERATION_ID_BYTES {
            return Err(format!(
                "The operation's id has {length} bytes; allowed: 1 to {OPERATION_ID_BYTES}"
            ));
        }
        if self.operation_of(framework, id).is_some() {
            return Err(format!(
                "The id '{id}' is that of an operation whose end is not acknowledged"
            ));
        }
        Ok(())
    }

    /// Nothing has changed when it fails.
    fn convert(
        &mut self,
        framework: &Arc<Framework>,
        wire: &Operation,
        operation: &ResourceOperation,
        pool: &mut Pool,
    ) -> Result<(), OperationError> {
        let steps = operation.conversions();
        let resized = matches!(
            operation,
            ResourceOperation::Grow { .. } | ResourceOperation::Shrink { .. }
        );
        let mut left = pool.left.apply_all(&steps)?;
        self.start(
            Some(&framework.id),
            &pool.agent_id,
            wire.id.clone(),
            operation,
        )?;
        for step in &steps {
            self.allocation.update_allocation(
                &framework.id,
                &pool.agent_id,
                &step.consumed,
                &step.converted,
            );
            if resized {
                // The agent may still be busy with the volume's files: it is for the next offer.
                left -= &step.converted;
                pool.later += &step.converted;
            }
        }
        pool.left = left;
        Ok(())
    }

    /// A shared volume that is to be destroyed must not be in anybody's hands.
    fn withdraw_offers_with(&mut self, agent: &Agent, volumes: &Resources) {
        for offer in self.offers_with(agent, volumes) {
            self.withdraw(&offer, true);
        }
    }

    /// Offers of the agent with any of these volumes in them.
    pub(in crate::core) fn offers_with(&self, agent: &Agent, volumes: &Resources) -> Vec<OfferId> {
        let offers = agent.offers.iter().filter(|id| {
            self.state.offers.get(*id).is_some_and(|offer| {
                let offered = offer.resources.persistent_volumes().unallocated();
                offered
                    .distinct()
                    .any(|held| volumes.distinct().any(|volume| volume == held))
            })
        });
        offers.cloned().collect()
    }

    /// Whether a principal may do this, to each resource in it.
    pub(in crate::core) fn may_operate(
        &self,
        principal: Option<&str>,
        operation: &ResourceOperation,
    ) -> bool {
        let may = |action, object: &str| {
            self.authorizer
                .authorize(principal, action, Object::Named(object))
        };
        let reserver = |resource: &mesos_types::Resource| {
            let last = resource.meta.reservations.last();
            last.and_then(|last| last.principal.clone())
                .unwrap_or_default()
        };
        let role = |resource: &mesos_types::Resource| {
            resource.reservation_role().unwrap_or("*").to_owned()
        };
        match operation {
            ResourceOperation::Reserve { source, resources } => {
                source
                    .distinct()
                    .filter(|r| !r.meta.reservations.is_empty())
                    .all(|r| may(Action::UnreserveResources, &reserver(r)))
                    && resources
                        .distinct()
                        .all(|r| may(Action::ReserveResources, &role(r)))
            }
            ResourceOperation::Unreserve { resources } => resources
                .distinct()
                .all(|r| may(Action::UnreserveResources, &reserver(r))),
            ResourceOperation::Create { volumes } => volumes
                .distinct()
                .all(|r| may(Action::CreateVolume, &role(r))),
            ResourceOperation::Destroy { volumes } => volumes.distinct().all(|r| {
                let creator = r
                    .meta
                    .disk
                    .as_ref()
                    .and_then(|disk| disk.persistence.as_ref()?.principal.clone());
                may(Action::DestroyVolume, &creator.unwrap_or_default())
            }),
            ResourceOperation::Grow { volume, .. } | ResourceOperation::Shrink { volume, .. } => {
                may(Action::ResizeVolume, &role(volume))
            }
        }
    }

    /// Answers an operation that is not carried out: only those with an id are answered.
    pub(in crate::core) fn refuse_operation(
        &mut self,
        id: &FrameworkId,
        agent: Option<&AgentId>,
        operation: &Operation,
        message: &str,
    ) {
        let kind = operation.r#type();
        tracing::warn!(framework_id = %id, operation = kind.as_str_name(), message, "refused an operation");
        self.counters.frameworks.operation(id, kind);
        self.counters
            .operations
            .ended(kind, OperationState::OperationError);
        let Some(operation_id) = operation.id.clone() else {
            return;
        };
        let status = OperationStatus {
            operation_id: Some(operation_id),
            state: OperationState::OperationError.into(),
            message: Some(message.to_owned()),
            agent_id: agent.map(Into::into),
            ..OperationStatus::default()
        };
        self.send(id, events::operation_update(status));
    }
}

/// An agent in texts: `<id> at slave(1)@10.0.0.5:5051 (host)`.
pub(in crate::core) fn described(agent: &Agent) -> String {
    format!("{} at {} ({})", agent.id, agent.pid(), agent.info.hostname)
}
