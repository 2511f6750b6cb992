//! Operators' offer operations: reservations and volumes on an agent, without an offer.
use mesos_types::{AgentId, OfferId, OperationError, ResourceOperation, Resources};
use mesos_wire::v1::{
    self,
    master::{Call, call::Type},
    offer::{
        Operation,
        operation::{self, Create, Destroy, GrowVolume, Reserve, ShrinkVolume, Unreserve},
    },
};

use crate::{
    core::{Core, Reply, operations::described},
    state::Agent,
    validation::operation::{Ground, validate},
};

impl Core {
    /// 202 once it is on its way to the agent; offers that stand in its way are taken back.
    pub(super) fn operate_resources(&mut self, request: u64, principal: Option<&str>, call: Call) {
        let reply = match self.operate(principal, call) {
            Ok(()) => Reply::Accepted,
            Err(reply) => reply,
        };
        self.reply(request, reply);
    }

    fn operate(&mut self, principal: Option<&str>, call: Call) -> Result<(), Reply> {
        let Some((agent_id, wire)) = wanted(call) else {
            return Err(Reply::NotImplemented);
        };
        let agent_id = AgentId::from(agent_id.as_str());
        let Some(agent) = self.state.agents.get(&agent_id).cloned() else {
            return Err(Reply::BadRequest(
                "No agent found with specified ID".to_owned(),
            ));
        };
        let invalid = |problem: String| {
            let kind = wire.r#type().as_str_name();
            Reply::BadRequest(format!(
                "Invalid {kind} operation on agent {}: {problem}",
                described(&agent)
            ))
        };
        let operation =
            ResourceOperation::from_wire(&wire).map_err(|error| invalid(error.to_string()))?;
        let ground = Ground {
            framework: None,
            principal,
            agent: &agent,
        };
        validate(&operation, ground).map_err(|error| invalid(error.0))?;
        if !self.may_operate(principal, &operation) {
            return Err(Reply::Forbidden(String::new()));
        }
        if !agent.connected() {
            return Err(Reply::Unavailable(format!(
                "Agent {} is disconnected; try again",
                described(&agent)
            )));
        }
        let conflict = |error: OperationError| Reply::Conflict(error.to_string());
        let offers = self.in_the_way(&agent, &operation).map_err(conflict)?;
        for offer in offers {
            self.withdraw(&offer, true);
        }
        self.start(None, &agent_id, None, &operation)
            .map_err(conflict)?;
        for step in operation.conversions() {
            self.allocation
                .update_available(&agent_id, &step.consumed, &step.converted);
        }
        Ok(())
    }

    /// The offers that must be taken back before the operation has what it needs: no more than that.
    ///
    /// # Errors
    /// Not even all of them would do.
    fn in_the_way(
        &self,
        agent: &Agent,
        operation: &ResourceOperation,
    ) -> Result<Vec<OfferId>, OperationError> {
        let own = |all: &Resources| all.unallocated().filter(|r| !r.meta.shared);
        let steps = operation.conversions();
        let mut needed = Resources::new();
        for step in &steps {
            needed += &step.consumed;
        }
        // Shared volumes are destroyed or left alone; nobody uses them, or the operation would be invalid.
        let shared = needed.filter(|r| r.meta.shared);
        let mut offers: Vec<OfferId> = self.offers_with(agent, &shared);
        let mut free = &agent.total - &own(&agent.used_total());
        for id in &agent.offers {
            if let Some(offer) = self.state.offers.get(id).filter(|_| !offers.contains(id)) {
                free -= &own(&offer.resources);
            }
        }
        let mut missing = &needed - &free;
        for id in &agent.offers {
            if missing.is_empty() {
                break;
            }
            let Some(offer) = self.state.offers.get(id).filter(|_| !offers.contains(id)) else {
                continue;
            };
            let offered = own(&offer.resources);
            if &missing - &offered != missing {
                free += &offered;
                missing = &needed - &free;
                offers.push(id.clone());
            }
        }
        free.apply_all(&steps)?;
        Ok(offers)
    }
}

/// The call as an operation, and whose resources it is about.
fn wanted(call: Call) -> Option<(v1::AgentId, Operation)> {
    let of = |kind: operation::Type| Operation {
        r#type: Some(kind.into()),
        ..Operation::default()
    };
    let found = match call.r#type() {
        Type::ReserveResources => {
            let call = call.reserve_resources?;
            let reserve = Reserve {
                source: call.source,
                resources: call.resources,
            };
            let operation = Operation {
                reserve: Some(reserve),
                ..of(operation::Type::Reserve)
            };
            (call.agent_id, operation)
        }
        Type::UnreserveResources => {
            let call = call.unreserve_resources?;
            let unreserve = Unreserve {
                resources: call.resources,
            };
            let operation = Operation {
                unreserve: Some(unreserve),
                ..of(operation::Type::Unreserve)
            };
            (call.agent_id, operation)
        }
        Type::CreateVolumes => {
            let call = call.create_volumes?;
            let create = Create {
                volumes: call.volumes,
            };
            let operation = Operation {
                create: Some(create),
                ..of(operation::Type::Create)
            };
            (call.agent_id, operation)
        }
        Type::DestroyVolumes => {
            let call = call.destroy_volumes?;
            let destroy = Destroy {
                volumes: call.volumes,
            };
            let operation = Operation {
                destroy: Some(destroy),
                ..of(operation::Type::Destroy)
            };
            (call.agent_id, operation)
        }
        Type::GrowVolume => {
            let call = call.grow_volume?;
            let grow = GrowVolume {
                volume: call.volume,
                addition: call.addition,
            };
            let operation = Operation {
                grow_volume: Some(grow),
                ..of(operation::Type::GrowVolume)
            };
            (call.agent_id?, operation)
        }
        Type::ShrinkVolume => {
            let call = call.shrink_volume?;
            let shrink = ShrinkVolume {
                volume: call.volume,
                subtract: call.subtract,
            };
            let operation = Operation {
                shrink_volume: Some(shrink),
                ..of(operation::Type::ShrinkVolume)
            };
            (call.agent_id?, operation)
        }
        _ => return None,
    };
    Some(found)
}
