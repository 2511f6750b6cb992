//! Frameworks come, change and go.

use std::collections::BTreeSet;

use mesos_types::FrameworkId;

use crate::{
    Allocator, AllocatorError, FrameworkSpec,
    amounts::Amounts,
    filters::Subscriber,
    framework::{Framework, Subscription},
    table::{FrameworkKey, RoleKey},
};

impl Allocator {
    /// Adds a framework, or replaces what is known about one; its filters end. One that is not
    /// `active` gets no offers; what it is known to hold on agents counts in any case.
    pub fn add_framework(&mut self, id: &FrameworkId, spec: &FrameworkSpec, active: bool) {
        let key = self.framework_key(id);
        if let Some(framework) = self.frameworks.get_mut(key) {
            framework.added = true;
            framework.active = active;
        }
        self.subscribe(key, spec);
        self.end_refusals(key, |_| true);
        self.apply_activity(key);
        self.maintenance.ask_again(key, true);
        self.show_all(key, |_| true);
    }

    /// Replaces what a framework says about itself; filters of roles that it keeps stay.
    ///
    /// # Errors
    /// If the framework is unknown.
    pub fn update_framework(
        &mut self,
        id: &FrameworkId,
        spec: &FrameworkSpec,
    ) -> Result<(), AllocatorError> {
        let key = self.known_framework(id)?;
        self.subscribe(key, spec);
        self.apply_activity(key);
        self.show_all(key, |_| true);
        Ok(())
    }

    /// Forgets a framework. Whatever it still holds is free.
    ///
    /// # Errors
    /// If the framework is unknown.
    pub fn remove_framework(&mut self, id: &FrameworkId) -> Result<(), AllocatorError> {
        let key = self.known_framework(id)?;
        let mut freed = Vec::new();
        for (agent_key, agent) in self.agents.iter_mut() {
            let mine = agent.used().iter().map(|(who, _)| *who);
            let mine: Vec<Subscriber> = mine.filter(|who| who.0 == key).collect();
            for who in mine {
                let (_, less) = agent.give_back_all(who);
                self.roles.charge(who.1, key, &less, false);
                agent.filters.end_throttles();
                freed.push(agent_key);
            }
        }
        for agent in freed {
            self.recount(agent);
            self.enqueue(agent);
        }
        self.maintenance.forget_framework(key);
        let Some((_, framework)) = self.frameworks.remove(id.as_str()) else {
            return Ok(());
        };
        self.own_minimums -= framework.own_minimums();
        let roles: BTreeSet<RoleKey> = framework
            .subscriptions
            .keys()
            .chain(framework.holdings.keys())
            .copied()
            .collect();
        for role in roles {
            self.roles.remove_client(role, key);
        }
        Ok(())
    }

    /// The framework is connected and gets offers again.
    ///
    /// # Errors
    /// If the framework is unknown.
    pub fn activate_framework(&mut self, id: &FrameworkId) -> Result<(), AllocatorError> {
        let key = self.known_framework(id)?;
        if let Some(framework) = self.frameworks.get_mut(key) {
            framework.active = true;
        }
        self.apply_activity(key);
        self.maintenance.ask_again(key, true);
        self.show_all(key, |_| true);
        Ok(())
    }

    /// The framework gets no offers, and its filters end. What it holds it keeps. Inverse offers
    /// that it has not answered count as taken back.
    ///
    /// # Errors
    /// If the framework is unknown.
    pub fn deactivate_framework(&mut self, id: &FrameworkId) -> Result<(), AllocatorError> {
        let key = self.known_framework(id)?;
        if let Some(framework) = self.frameworks.get_mut(key) {
            framework.active = false;
        }
        self.end_refusals(key, |_| true);
        self.apply_activity(key);
        self.maintenance.ask_again(key, true);
        Ok(())
    }

    /// No more offers for these roles, or for all if `roles` is empty.
    ///
    /// # Errors
    /// If the framework is unknown, or not subscribed to one of them.
    pub fn suppress(&mut self, id: &FrameworkId, roles: &[String]) -> Result<(), AllocatorError> {
        let (key, roles) = self.subscribed(id, roles)?;
        self.set_suppressed(key, &roles, true);
        Ok(())
    }

    /// Offers for these roles, or for all if `roles` is empty, whatever was declined before.
    /// Inverse offers too, whatever was answered before.
    ///
    /// # Errors
    /// If the framework is unknown, or not subscribed to one of them.
    pub fn revive(&mut self, id: &FrameworkId, roles: &[String]) -> Result<(), AllocatorError> {
        let (key, roles) = self.subscribed(id, roles)?;
        self.set_suppressed(key, &roles, false);
        self.end_refusals(key, |role| roles.contains(&role));
        self.maintenance.ask_again(key, false);
        self.show_all(key, |role| roles.contains(&role));
        Ok(())
    }

    /// A framework that was added.
    pub(crate) fn known_framework(&self, id: &FrameworkId) -> Result<FrameworkKey, AllocatorError> {
        let key = self.frameworks.key(id.as_str());
        let added = |key: &FrameworkKey| self.frameworks.get(*key).is_some_and(|f| f.added);
        key.filter(added)
            .ok_or_else(|| AllocatorError::UnknownFramework(id.clone()))
    }

    /// Any framework; one that was never heard of gets a row.
    pub(crate) fn framework_key(&mut self, id: &FrameworkId) -> FrameworkKey {
        let known = self.frameworks.key(id.as_str());
        known.unwrap_or_else(|| self.frameworks.insert(id.clone(), Framework::unknown(id)))
    }

    fn subscribed(
        &self,
        id: &FrameworkId,
        roles: &[String],
    ) -> Result<(FrameworkKey, Vec<RoleKey>), AllocatorError> {
        let key = self.known_framework(id)?;
        let subscriptions = self.frameworks.get(key).map(|f| &f.subscriptions);
        let Some(subscriptions) = subscriptions else {
            return Ok((key, Vec::new()));
        };
        if roles.is_empty() {
            return Ok((key, subscriptions.keys().copied().collect()));
        }
        let find = |role: &String| {
            let found = self
                .roles
                .key(role)
                .filter(|role| subscriptions.contains_key(role));
            found.ok_or_else(|| AllocatorError::NotSubscribed {
                framework: id.clone(),
                role: role.clone(),
            })
        };
        Ok((key, roles.iter().map(find).collect::<Result<_, _>>()?))
    }

    /// Makes the framework's subscriptions those of `spec`.
    fn subscribe(&mut self, key: FrameworkKey, spec: &FrameworkSpec) {
        let Some(framework) = self.frameworks.get_mut(key) else {
            return;
        };
        framework.capabilities = spec.capabilities;
        let minimums_before = framework.own_minimums();
        let mut left = std::mem::take(&mut framework.subscriptions);
        for path in &spec.roles {
            let role = self
                .roles
                .add_client(path, key, framework.id.as_str().into());
            let epoch = left.remove(&role).map_or_else(
                || {
                    self.epoch += 1;
                    self.epoch
                },
                |old| old.epoch,
            );
            let subscription = Subscription {
                suppressed: spec.suppressed.contains(path),
                epoch,
                min_allocatable: spec
                    .min_allocatable
                    .get(path)
                    .map(|own| own.iter().map(Amounts::from).collect()),
            };
            framework.subscriptions.insert(role, subscription);
        }
        self.own_minimums = self.own_minimums - minimums_before + framework.own_minimums();
        for role in left.into_keys() {
            if framework.belongs_to(role) {
                self.roles.set_active(role, key, false);
            } else {
                self.roles.remove_client(role, key);
            }
        }
    }

    /// Makes the order of turns follow what the framework wants.
    fn apply_activity(&mut self, key: FrameworkKey) {
        let Some(framework) = self.frameworks.get(key) else {
            return;
        };
        for role in framework.subscriptions.keys() {
            self.roles
                .set_active(*role, key, framework.wants_offers(*role));
        }
    }

    fn set_suppressed(&mut self, key: FrameworkKey, roles: &[RoleKey], suppressed: bool) {
        let Some(framework) = self.frameworks.get_mut(key) else {
            return;
        };
        for role in roles {
            if let Some(subscription) = framework.subscriptions.get_mut(role) {
                subscription.suppressed = suppressed;
            }
        }
        self.apply_activity(key);
    }

    fn end_refusals(&mut self, key: FrameworkKey, of: impl Fn(RoleKey) -> bool) {
        let Some(framework) = self.frameworks.get_mut(key) else {
            return;
        };
        for (role, subscription) in &mut framework.subscriptions {
            if of(*role) {
                self.epoch += 1;
                subscription.epoch = self.epoch;
            }
        }
    }

    /// The framework holds something on one more agent.
    pub(crate) fn begin_holding(&mut self, (framework, role): Subscriber) {
        if let Some(framework) = self.frameworks.get_mut(framework) {
            *framework.holdings.entry(role).or_default() += 1;
        }
    }

    /// The framework holds something on one agent less; forgets it in the role if that was all.
    pub(crate) fn end_holding(&mut self, (key, role): Subscriber) {
        let Some(framework) = self.frameworks.get_mut(key) else {
            return;
        };
        if let Some(agents) = framework.holdings.get_mut(&role) {
            *agents -= 1;
            if *agents == 0 {
                framework.holdings.remove(&role);
            }
        }
        if !framework.belongs_to(role) {
            self.roles.remove_client(role, key);
        }
        if !framework.added && framework.holdings.is_empty() {
            let id = framework.id.clone();
            self.frameworks.remove(id.as_str());
        }
    }

    /// The next run shows the framework all agents, for those of its roles.
    fn show_all(&mut self, key: FrameworkKey, of: impl Fn(RoleKey) -> bool) {
        let Some(framework) = self.frameworks.get(key) else {
            return;
        };
        let roles: Vec<RoleKey> = framework.subscriptions.keys().copied().collect();
        for role in roles {
            if of(role) {
                self.join_sweep((key, role));
            }
        }
    }

    pub(crate) fn subscription(&self, who: Subscriber) -> Option<&Subscription> {
        self.frameworks.get(who.0)?.subscriptions.get(&who.1)
    }
}
