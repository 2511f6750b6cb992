//! Quotas of roles: UPDATE_QUOTA, and SET_QUOTA and REMOVE_QUOTA, which are older.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mesos_allocator::Quota;
use mesos_http::{Action, Object};
use mesos_types::{Quantities, Scalar, is_subrole};
use mesos_wire::v1::{
    master::{Call, call::Type},
    quota::QuotaConfig,
};

use crate::{
    core::{Core, Reply, transitions::Setting},
    registry::Change as RegistryChange,
    roles,
    validation::{
        quota::{from_request, guarantees, limits, promised, text, validate_config, validate_tree},
        role::is_listed,
    },
};

/// Roles with a quota; each costs a little in each run of the allocator.
const MOST_QUOTAS: usize = 100_000;

type Quotas = Vec<(String, Option<QuotaConfig>)>;

impl Core {
    pub(super) fn change_quota(&mut self, request: u64, principal: Option<&str>, call: Call) {
        let wanted = match call.r#type() {
            Type::UpdateQuota => {
                let update = call.update_quota.unwrap_or_default();
                self.read_update(&update.quota_configs, update.force())
            }
            #[expect(deprecated, reason = "the older calls work as before")]
            Type::SetQuota => {
                let wanted = call.set_quota.unwrap_or_default().quota_request;
                self.read_set(&wanted)
            }
            #[expect(deprecated, reason = "the older calls work as before")]
            _ => self.read_remove(&call.remove_quota.unwrap_or_default().role),
        };
        let quotas = match wanted {
            Ok(quotas) => quotas,
            Err(refusal) => return self.reply(request, refusal),
        };
        for (role, _) in &quotas {
            if !self
                .authorizer
                .authorize(principal, Action::UpdateQuota, Object::Named(role))
            {
                return self.reply(request, Reply::Forbidden(String::new()));
            }
        }
        let change = RegistryChange::Quotas(quotas.clone());
        self.write_setting(Some(request), Setting::Quotas(quotas), change);
    }

    /// All or nothing.
    fn read_update(&self, configs: &[QuotaConfig], force: bool) -> Result<Quotas, Reply> {
        let refusal = |text: String| Reply::BadRequest(format!("Invalid QuotaConfig: {text}"));
        let refuse = |text: String| Err(refusal(text));
        let mut all = self.state.settings.quotas.clone();
        let mut named = BTreeSet::new();
        let mut quotas = Vec::new();
        for config in configs {
            if let Err(invalid) = validate_config(config) {
                return refuse(invalid.0);
            }
            let role = config.role.clone();
            if !is_listed(&role, &self.config) {
                return refuse(format!("unknown role '{role}'"));
            }
            if !named.insert(role.clone()) {
                return refuse(format!("role '{role}' appears more than once"));
            }
            if config.guarantees.is_empty() && config.limits.is_empty() {
                all.remove(&role);
                quotas.push((role, None));
            } else {
                all.insert(role.clone(), config.clone());
                quotas.push((role, Some(config.clone())));
            }
        }
        if all.len() > MOST_QUOTAS {
            return refuse(format!(
                "{} roles would have a quota; allowed: {MOST_QUOTAS}",
                all.len()
            ));
        }
        if let Err(invalid) = validate_tree(&all) {
            return refuse(invalid.0);
        }
        if force {
            return Ok(quotas);
        }
        for (role, config) in &quotas {
            if let Some(config) = config {
                self.fits_consumption(role, config).map_err(refusal)?;
            }
        }
        let (total, capacity) = (promised(&all), self.capacity());
        // A quota that promises less may be set even while the cluster is short.
        if !capacity.contains(&total) && !promised(&self.state.settings.quotas).contains(&total) {
            return refuse(format!(
                "total quota guarantees '{}' exceed cluster capacity '{}' (use 'force' flag to bypass this check)",
                text(&total),
                text(&capacity)
            ));
        }
        Ok(quotas)
    }

    fn fits_consumption(&self, role: &str, config: &QuotaConfig) -> Result<(), String> {
        let limits = limits(config);
        let over = |consumed: &Quantities| {
            limits
                .iter()
                .find(|(name, limit)| consumed.get(name) > **limit)
                .map(|(name, limit)| (name.clone(), *limit))
        };
        // With what is offered it is quickly known; only where that is too much all agents are asked.
        if over(&self.allocation.quota_consumed(role)).is_none() {
            return Ok(());
        }
        let consumed = roles::consumed(&self.state, role);
        let over = over(&consumed);
        match over {
            None => Ok(()),
            Some((name, limit)) => Err(format!(
                "role '{role}' already consumes {} {name}, which is more than the requested limit {limit} (use 'force' flag to bypass this check)",
                consumed.get(&name)
            )),
        }
    }

    fn read_set(&self, wanted: &mesos_wire::v1::quota::QuotaRequest) -> Result<Quotas, Reply> {
        let refuse = |text: String| {
            Err(Reply::BadRequest(format!(
                "Failed to validate set quota request: {text}"
            )))
        };
        let config = match from_request(wanted) {
            Ok(config) => config,
            Err(invalid) => return refuse(invalid.0),
        };
        let role = config.role.clone();
        if !is_listed(&role, &self.config) {
            return refuse(format!("Unknown role '{role}'"));
        }
        if role.contains('/') {
            return refuse(format!(
                "Setting quota on nested role '{role}' is not supported yet; UPDATE_QUOTA can"
            ));
        }
        let mut all = self.state.settings.quotas.clone();
        if all.contains_key(&role) {
            return refuse(format!(
                "Cannot set quota for role '{role}' which already has quota"
            ));
        }
        all.insert(role.clone(), config.clone());
        if let Err(invalid) = validate_tree(&all) {
            return refuse(invalid.0);
        }
        if !wanted.force() && !self.capacity().contains(&promised(&all)) {
            return Err(Reply::Conflict(
                "Heuristic capacity check for set quota request failed: Not enough available cluster capacity \
                 to reasonably satisfy quota request; the force flag can be used to override this check"
                    .to_owned(),
            ));
        }
        Ok(vec![(role, Some(config))])
    }

    fn read_remove(&self, role: &str) -> Result<Quotas, Reply> {
        if self.state.settings.quotas.contains_key(role) {
            Ok(vec![(role.to_owned(), None)])
        } else {
            Err(Reply::BadRequest(format!(
                "Failed to remove quota: Role '{role}' has no quota set"
            )))
        }
    }

    /// What all registered agents have that a quota can promise.
    fn capacity(&self) -> Quantities {
        let mut sum = Quantities::default();
        for agent in self.state.agents.values() {
            sum.add_all(&agent.total.non_revocable().quantities());
        }
        sum
    }

    /// The registry holds the quotas.
    pub(super) fn quotas_changed(&mut self, quotas: Quotas) {
        let settings = Arc::make_mut(&mut self.state.settings);
        for (role, config) in &quotas {
            match config {
                Some(config) => settings.quotas.insert(role.clone(), config.clone()),
                None => settings.quotas.remove(role),
            };
        }
        for (role, config) in &quotas {
            self.allocation.set_quota(role, to_quota(config.as_ref()));
        }
        for (role, config) in &quotas {
            if let Some(config) = config {
                self.withdraw_above(role, &limits(config));
                self.withdraw_for(role, &guarantees(config));
            }
        }
    }

    /// Takes offers of the role back as long as they make it exceed its limits.
    fn withdraw_above(&mut self, role: &str, limits: &BTreeMap<String, Scalar>) {
        if limits.is_empty() {
            return;
        }
        let mut consumed = self.allocation.quota_consumed(role);
        let over = |consumed: &Quantities| -> Vec<String> {
            let names = limits.iter();
            names
                .filter(|(name, limit)| consumed.get(name) > **limit)
                .map(|(name, _)| name.clone())
                .collect()
        };
        let mut too_much = over(&consumed);
        for offer in self.offers_where(|offer| within(&offer.role, role)) {
            if too_much.is_empty() {
                return;
            }
            let Some(offer) = self.state.offers.get(&offer).cloned() else {
                continue;
            };
            let charged = offer.resources.unreserved().non_revocable().quantities();
            if too_much
                .iter()
                .any(|name| charged.get(name) > Scalar::default())
            {
                self.withdraw(&offer.id, true);
                consumed.subtract_all(&charged);
                too_much = over(&consumed);
            }
        }
    }

    /// Takes offers of other roles back until what the role is promised is free. Roles that are promised
    /// something themselves keep theirs.
    fn withdraw_for(&mut self, role: &str, guarantees: &Quantities) {
        let mut missing = guarantees.clone();
        missing.subtract_all(&self.allocation.quota_consumed(role));
        missing.subtract_all(&self.free_for_anybody());
        let promised: Vec<String> = self
            .state
            .settings
            .quotas
            .iter()
            .filter(|(_, config)| !config.guarantees.is_empty())
            .map(|(role, _)| role.clone())
            .collect();
        let others = self.offers_where(|offer| {
            !within(&offer.role, role)
                && !promised
                    .iter()
                    .any(|promised| within(&offer.role, promised))
        });
        for offer in others {
            if missing.is_empty() {
                return;
            }
            let Some(offer) = self.state.offers.get(&offer).cloned() else {
                continue;
            };
            let freed = offer.resources.unreserved().non_revocable().quantities();
            if missing
                .iter()
                .any(|(name, _)| freed.get(name) > Scalar::default())
            {
                self.withdraw(&offer.id, true);
                missing.subtract_all(&freed);
            }
        }
    }

    /// Unreserved on active agents and neither offered nor used.
    fn free_for_anybody(&self) -> Quantities {
        let mut sum = Quantities::default();
        for agent in self.state.agents.values().filter(|agent| agent.active()) {
            let unreserved = |resources: &mesos_types::Resources| {
                resources.unreserved().non_revocable().quantities()
            };
            let mut free = unreserved(&agent.total);
            free.subtract_all(&unreserved(&agent.offered));
            for used in agent.used.values() {
                free.subtract_all(&unreserved(used));
            }
            sum.add_all(&free);
        }
        sum
    }
}

fn within(role: &str, of: &str) -> bool {
    role == of || is_subrole(role, of)
}

/// The quota as the allocator has it.
pub(in crate::core) fn to_quota(config: Option<&QuotaConfig>) -> Quota {
    config.map_or_else(Quota::default, |config| Quota {
        guarantees: guarantees(config),
        limits: limits(config),
    })
}
