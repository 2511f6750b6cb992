//! A scheduler's call: who may make it, and which part of the core it goes to.
use mesos_types::{AgentId, FrameworkId};
use mesos_wire::v1::{
    allocator::inverse_offer_status::Status,
    scheduler::{Call, call::Type},
};

use super::{Core, Reply};
use crate::{state::Standing, validation::TASK_BYTES};

impl Core {
    /// Checks in Mesos's order (`master/http.cpp`, scheduler): framework, principal, connection, stream.
    pub(super) fn call(
        &mut self,
        request: u64,
        stream_id: Option<&str>,
        principal: Option<&str>,
        call: Call,
    ) {
        let id = FrameworkId::from(call.framework_id.as_ref().map_or("", |id| id.as_str()));
        let reply = match self.admit(&id, stream_id, principal) {
            Ok(()) => {
                // A principal is the framework's word unless frameworks authenticate.
                let info = self
                    .state
                    .frameworks
                    .get(&id)
                    .map(|known| known.info.clone());
                let named = info.as_ref().and_then(|info| info.principal.as_deref());
                if let Some(named) = named {
                    self.counters.principals.received(named);
                }
                let reply = self.dispatch(&id, principal, call);
                if let Some(named) = named {
                    self.counters.principals.processed(named);
                }
                reply
            }
            Err(refusal) => refusal,
        };
        self.reply(request, reply);
    }

    fn admit(
        &self,
        id: &FrameworkId,
        stream_id: Option<&str>,
        principal: Option<&str>,
    ) -> Result<(), Reply> {
        let Some(framework) = self.state.frameworks.get(id) else {
            return Err(Reply::BadRequest("Framework cannot be found".to_owned()));
        };
        if let Some(principal) = principal
            && framework.info.principal() != principal
        {
            return Err(Reply::BadRequest(format!(
                "Authenticated principal '{principal}' does not match principal '{}' set in `FrameworkInfo`",
                framework.info.principal()
            )));
        }
        let subscription = match &framework.standing {
            Standing::Subscribed(subscription) => subscription,
            Standing::Recovered | Standing::Disconnected | Standing::Completed => {
                return Err(Reply::Forbidden("Framework is not subscribed".to_owned()));
            }
        };
        match stream_id {
            None => Err(Reply::BadRequest(
                "All non-subscribe calls should include the 'Mesos-Stream-Id' header".to_owned(),
            )),
            Some(given) if given != subscription.id => Err(Reply::BadRequest(format!(
                "The stream ID '{given}' included in this request didn't match the stream ID currently \
                 associated with framework ID {id}"
            ))),
            Some(_) => Ok(()),
        }
    }

    /// The call is valid in itself (`validation::call`), so its own message is there.
    fn dispatch(&mut self, id: &FrameworkId, principal: Option<&str>, call: Call) -> Reply {
        let kind = call.r#type();
        self.counters.call(kind);
        self.counters.frameworks.call(id, kind);
        match kind {
            // Answered before it comes here.
            Type::Subscribe | Type::Unknown => return Reply::NotImplemented,
            Type::Teardown => self.teardown(id),
            Type::Accept => self.accept(id, principal, call.accept.unwrap_or_default()),
            Type::Decline => self.decline(id, &call.decline.unwrap_or_default()),
            Type::AcceptInverseOffers => {
                let accept = call.accept_inverse_offers.unwrap_or_default();
                self.answer_inverse_offers(
                    id,
                    &accept.inverse_offer_ids,
                    accept.filters.as_ref(),
                    Status::Accept,
                );
            }
            Type::DeclineInverseOffers => {
                let decline = call.decline_inverse_offers.unwrap_or_default();
                self.answer_inverse_offers(
                    id,
                    &decline.inverse_offer_ids,
                    decline.filters.as_ref(),
                    Status::Decline,
                );
            }
            Type::Revive => self.revive(id, &call.revive.unwrap_or_default().roles),
            Type::Suppress => self.suppress(id, &call.suppress.unwrap_or_default().roles),
            Type::Kill => self.kill(id, call.kill.unwrap_or_default()),
            Type::Shutdown => self.shutdown_executor(id, call.shutdown.unwrap_or_default()),
            Type::Acknowledge => self.acknowledge(id, call.acknowledge.unwrap_or_default()),
            Type::AcknowledgeOperationStatus => {
                self.acknowledge_operation(
                    id,
                    &call.acknowledge_operation_status.unwrap_or_default(),
                );
            }
            Type::Reconcile => self.reconcile(id, &call.reconcile.unwrap_or_default().tasks),
            Type::ReconcileOperations => {
                self.reconcile_operations(
                    id,
                    &call.reconcile_operations.unwrap_or_default().operations,
                );
            }
            Type::Message => self.message(id, call.message.unwrap_or_default()),
            Type::Request => {
                tracing::debug!(framework_id = %id, "passed over a request for resources: offers follow fairness");
            }
            Type::UpdateFramework => {
                return self.update_framework(id, call.update_framework.unwrap_or_default());
            }
        }
        Reply::Accepted
    }

    /// Best effort, as in Mesos: nobody is told when it cannot be delivered.
    fn message(&mut self, id: &FrameworkId, message: mesos_wire::v1::scheduler::call::Message) {
        let agent = AgentId::from(message.agent_id.as_str());
        if message.data.len() > TASK_BYTES {
            self.counters.framework_message(false);
            tracing::warn!(framework_id = %id, bytes = message.data.len(), "dropped a message to an executor: at most 16 MiB are taken");
            return;
        }
        let body = mesos_control::v1::FrameworkMessage {
            framework_id: Some(id.into()),
            executor_id: Some(message.executor_id),
            data: message.data,
        };
        let sent = self.tell(
            &agent,
            mesos_control::v1::master_message::Body::FrameworkMessage(body),
        );
        self.counters.framework_message(sent);
        if !sent {
            tracing::warn!(framework_id = %id, agent_id = %agent, "dropped a message to an executor: its agent is not connected");
        }
    }
}
