//! SUBSCRIBE and UPDATE_FRAMEWORK: a framework comes, comes back, or changes its info.
use std::{collections::BTreeSet, sync::Arc, time::Duration};

use imbl::{OrdMap, OrdSet, Vector};
use mesos_control::v1::{UpdateFramework, master_message::Body};
use mesos_http::{Action, Object};
use mesos_types::{AgentId, FrameworkCapabilities, FrameworkId};
use mesos_wire::v1::{
    FrameworkInfo,
    scheduler::{OfferConstraints, call},
};

use super::{Core, Effect, HEARTBEAT_SECONDS, Reply, event::events, timers::Timer};
use crate::{
    constraints::Constraints,
    state::{Change, Framework, Standing, Subscription},
    validation::{Invalid, framework as rules},
};

impl Core {
    pub(super) fn subscribe(
        &mut self,
        request: u64,
        stream: u64,
        stream_id: String,
        subscribe: call::Subscribe,
        principal: Option<String>,
    ) {
        self.reply(request, Reply::Stream);
        let mut info = subscribe.framework_info;
        if info.principal.is_none() {
            info.principal = principal;
        }
        self.counters.subscribe(info.id.is_some());
        let constraints = subscribe.offer_constraints;
        let suppressed = subscribe.suppressed_roles;
        if let Err(refusal) = self.may_subscribe(&info, &suppressed, constraints.as_ref()) {
            tracing::info!(name = %info.name, %refusal, "refused a framework");
            self.event(stream, events::error(refusal.0));
            self.effects.push(Effect::CloseStream { stream });
            return;
        }
        let subscription = Subscription {
            stream,
            id: stream_id,
        };
        let id = match &info.id {
            Some(id) => FrameworkId::from(id),
            None => self.new_framework_id(),
        };
        info.id = Some((&id).into());
        if self.state.frameworks.contains_key(&id) {
            self.resubscribe(&id, info, subscription, suppressed, constraints);
        } else {
            self.add_framework(
                &id,
                info,
                Standing::Subscribed(subscription),
                suppressed,
                constraints,
            );
            tracing::info!(framework_id = %id, "a framework subscribed");
        }
        self.counters.frameworks.call(&id, call::Type::Subscribe);
        self.timers.cancel(&Timer::FailoverTimeout(id.clone()));
        self.streams.insert(stream, id.clone());
        let subscribed =
            events::subscribed((&id).into(), HEARTBEAT_SECONDS as f64, self.master_info());
        self.event(stream, subscribed);
        self.heartbeat(stream);
    }

    fn may_subscribe(
        &self,
        info: &FrameworkInfo,
        suppressed: &[String],
        constraints: Option<&OfferConstraints>,
    ) -> Result<(), Invalid> {
        rules::validate(info, &self.config)?;
        rules::validate_suppressed(suppressed, info)?;
        rules::validate_constraints(constraints, info)?;
        self.authorize_roles(info)?;
        let Some(id) = &info.id else { return Ok(()) };
        let completed = &self.state.completed_frameworks;
        if completed
            .iter()
            .any(|framework| framework.id.as_str() == id.as_str())
        {
            return Err(Invalid::new("Framework has been removed"));
        }
        match self.state.frameworks.get(id.as_str()) {
            Some(known) if known.info.principal != info.principal => Err(Invalid(format!(
                "Changing framework's principal is not allowed: it is '{}', found '{}'",
                known.info.principal(),
                info.principal()
            ))),
            Some(_) | None => Ok(()),
        }
    }

    fn authorize_roles(&self, info: &FrameworkInfo) -> Result<(), Invalid> {
        for role in rules::roles(info) {
            if !self.authorizer.authorize(
                info.principal.as_deref(),
                Action::RegisterFramework,
                Object::Named(&role),
            ) {
                return Err(Invalid(format!(
                    "Framework '{}' at principal '{}' is not authorized to use role '{role}'",
                    info.name,
                    info.principal()
                )));
            }
        }
        Ok(())
    }

    /// Adds a framework that is not known, subscribed or recovered.
    pub(super) fn add_framework(
        &mut self,
        id: &FrameworkId,
        info: FrameworkInfo,
        standing: Standing,
        suppressed: Vec<String>,
        constraints: Option<OfferConstraints>,
    ) {
        self.compile_constraints(id, constraints.as_ref());
        let now = self.now.seconds();
        let framework = Framework {
            id: id.clone(),
            capabilities: FrameworkCapabilities::from(&info),
            roles: Arc::new(rules::roles(&info)),
            suppressed_roles: Arc::new(suppressed.into_iter().collect()),
            offer_constraints: constraints.map(Arc::new),
            info: Arc::new(info),
            standing,
            registered_time: now,
            reregistered_time: now,
            unregistered_time: 0.0,
            tasks: OrdMap::new(),
            unreachable_tasks: OrdMap::new(),
            completed_tasks: Vector::new(),
            executors: OrdMap::new(),
            offers: OrdSet::new(),
            inverse_offers: OrdSet::new(),
            used_on: OrdMap::new(),
            offered_on: OrdMap::new(),
        };
        let framework = Arc::new(framework);
        self.allocation.add_framework(&framework);
        self.state.frameworks.insert(id.clone(), framework.clone());
        self.changed(Change::FrameworkAdded(framework));
    }

    fn resubscribe(
        &mut self,
        id: &FrameworkId,
        info: FrameworkInfo,
        subscription: Subscription,
        suppressed: Vec<String>,
        constraints: Option<OfferConstraints>,
    ) {
        let Some(known) = self.state.frameworks.get(id) else {
            return;
        };
        let recovered = known.recovered();
        if let Some(old) = known.subscription().map(|old| old.stream) {
            self.streams.remove(&old);
            self.event(old, events::error("Framework failed over"));
            self.effects.push(Effect::CloseStream { stream: old });
        }
        // The old scheduler's offers are void, and so is what it refused: the new one knows of neither.
        self.allocation.deactivate_framework(id);
        self.withdraw_offers_of(id, false);
        let now = self.now.seconds();
        if let Some(framework) = self.framework_mut(id) {
            framework.standing = Standing::Subscribed(subscription);
            framework.reregistered_time = now;
            framework.unregistered_time = 0.0;
            if recovered {
                framework.registered_time = now;
            }
        }
        tracing::info!(framework_id = %id, recovered, "a framework subscribed again");
        self.replace_info(id, info, suppressed, constraints, true);
    }

    /// Takes over an info that is valid; user and checkpoint stay as they were.
    fn replace_info(
        &mut self,
        id: &FrameworkId,
        mut info: FrameworkInfo,
        suppressed: Vec<String>,
        constraints: Option<OfferConstraints>,
        is_back: bool,
    ) {
        let Some(framework) = self.framework_mut(id) else {
            return;
        };
        if info.user != framework.info.user || info.checkpoint() != framework.info.checkpoint() {
            tracing::warn!(framework_id = %id, "a framework cannot change its user or checkpoint; the old values stay");
            info.user.clone_from(&framework.info.user);
            info.checkpoint = framework.info.checkpoint;
        }
        let differs = *framework.info != info;
        let roles: BTreeSet<String> = rules::roles(&info);
        let lost: Vec<String> = framework.roles.difference(&roles).cloned().collect();
        framework.capabilities = FrameworkCapabilities::from(&info);
        framework.roles = Arc::new(roles);
        framework.suppressed_roles = Arc::new(suppressed.into_iter().collect());
        let other_constraints = framework.offer_constraints.as_deref() != constraints.as_ref();
        framework.offer_constraints = constraints.clone().map(Arc::new);
        framework.info = Arc::new(info);
        if other_constraints {
            self.compile_constraints(id, constraints.as_ref());
            // Agents that were excluded are refused in the allocator: that ends.
            self.allocation.deactivate_framework(id);
        }
        self.withdraw_offers_of_roles(id, &lost);
        if let Some(framework) = self.state.frameworks.get(id).cloned() {
            self.allocation.update_framework(&framework);
            if framework.connected() {
                self.allocation.activate_framework(id);
            }
            // Also when it is only back: agents then send what was not acknowledged.
            if differs || is_back {
                self.tell_agents_of(&framework);
            }
        }
        self.framework_updated(id);
    }

    /// The constraints have been found valid.
    fn compile_constraints(&mut self, id: &FrameworkId, constraints: Option<&OfferConstraints>) {
        match constraints.map(Constraints::compile) {
            Some(Ok(compiled)) => {
                self.constraints.insert(id.clone(), compiled);
            }
            Some(Err(_)) | None => {
                self.constraints.remove(id);
            }
        }
    }

    /// Only agents where the framework has something need to know.
    fn tell_agents_of(&mut self, framework: &Framework) {
        let mut agents: BTreeSet<AgentId> = framework
            .executors
            .keys()
            .map(|(agent, _)| agent.clone())
            .collect();
        agents.extend(framework.tasks.values().map(|task| task.agent_id.clone()));
        for agent in agents {
            let update = UpdateFramework {
                framework: Some((*framework.info).clone()),
            };
            self.tell(&agent, Body::UpdateFramework(update));
        }
    }

    pub(super) fn update_framework(
        &mut self,
        id: &FrameworkId,
        update: call::UpdateFramework,
    ) -> Reply {
        let mut info = update.framework_info;
        let Some(known) = self.state.frameworks.get(id) else {
            return Reply::BadRequest("Framework cannot be found".to_owned());
        };
        if info.principal.is_none() {
            info.principal.clone_from(&known.info.principal);
        }
        let fixed = [
            ("principal", known.info.principal() == info.principal()),
            ("user", known.info.user == info.user),
            ("checkpoint", known.info.checkpoint() == info.checkpoint()),
        ];
        if let Some((field, _)) = fixed.into_iter().find(|(_, same)| !same) {
            return Reply::BadRequest(format!("Updating 'FrameworkInfo.{field}' is unsupported"));
        }
        let valid = rules::validate(&info, &self.config)
            .and_then(|()| rules::validate_suppressed(&update.suppressed_roles, &info))
            .and_then(|()| rules::validate_constraints(update.offer_constraints.as_ref(), &info));
        if let Err(invalid) = valid {
            return Reply::BadRequest(format!("'FrameworkInfo' is not valid: {invalid}"));
        }
        if let Err(refused) = self.authorize_roles(&info) {
            return Reply::Forbidden(refused.0);
        }
        self.replace_info(
            id,
            info,
            update.suppressed_roles,
            update.offer_constraints,
            false,
        );
        Reply::Ok
    }

    /// Writes a HEARTBEAT and sets the next one.
    pub(super) fn heartbeat(&mut self, stream: u64) {
        if self.streams.contains_key(&stream) {
            self.event(stream, events::heartbeat());
            let interval = Duration::from_secs(HEARTBEAT_SECONDS);
            self.timers
                .set(self.now.monotonic, interval, Timer::Heartbeat(stream));
        }
    }

    pub(super) fn event(&mut self, stream: u64, event: mesos_wire::v1::scheduler::Event) {
        if let Some(id) = self.streams.get(&stream) {
            self.counters.frameworks.event(id, event.r#type());
        }
        self.effects.push(Effect::Event {
            stream,
            event: Box::new(event),
        });
    }

    fn new_framework_id(&mut self) -> FrameworkId {
        let id = FrameworkId::from(format!("{}-{:04}", self.master_id(), self.next.framework));
        self.next.framework += 1;
        id
    }
}
