//! Weights of roles: UPDATE_WEIGHTS.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mesos_allocator::Weight;
use mesos_http::{Action, Object};
use mesos_types::is_subrole;
use mesos_wire::v1::{WeightInfo, master::Call};

use crate::{
    core::{Core, Reply, transitions::Setting},
    registry::Change as RegistryChange,
    validation::{Invalid, role::validate_listed},
};

impl Core {
    pub(super) fn update_weights(&mut self, request: u64, principal: Option<&str>, call: Call) {
        let given = call.update_weights.unwrap_or_default().weight_infos;
        let weights = match self.read_weights(&given) {
            Ok(weights) => weights,
            Err(Invalid(text)) => return self.reply(request, Reply::BadRequest(text)),
        };
        for (role, _) in &weights {
            if !self
                .authorizer
                .authorize(principal, Action::UpdateWeight, Object::Named(role))
            {
                return self.reply(request, Reply::Forbidden(String::new()));
            }
        }
        let change = RegistryChange::Weights(weights.clone());
        self.write_setting(Some(request), Setting::Weights(weights), change);
    }

    /// `--weights` counts once: from then on the registry does.
    pub(in crate::core) fn persist_weights(&mut self) {
        let weights = self.state.settings.weights.clone();
        self.write_registry(RegistryChange::Weights(weights.into_iter().collect()));
    }

    /// In Mesos's words (`master/weights_handler.cpp`). Of a role that is named twice the last counts.
    fn read_weights(&self, given: &[WeightInfo]) -> Result<Vec<(String, f64)>, Invalid> {
        let mut weights = BTreeMap::new();
        for info in given {
            let role = info.role().trim();
            validate_listed(role, &self.config).map_err(|problem| {
                Invalid(format!(
                    "Failed to validate update weights request JSON: {problem}"
                ))
            })?;
            if Weight::from_f64(info.weight).is_none() {
                return Err(Invalid(format!(
                    "Failed to validate update weights request JSON for role '{role}': Invalid weight '{}': Weights must be positive, from 0.001 to 4294967",
                    info.weight
                )));
            }
            weights.insert(role.to_owned(), info.weight);
        }
        Ok(weights.into_iter().collect())
    }

    /// The registry holds the weights.
    pub(super) fn weights_changed(&mut self, weights: Vec<(String, f64)>) {
        let changed: Vec<(String, Weight)> = weights
            .iter()
            .filter(|(role, weight)| self.state.settings.weight(role).to_bits() != weight.to_bits())
            .filter_map(|(role, weight)| Some((role.clone(), Weight::from_f64(*weight)?)))
            .collect();
        let settings = Arc::make_mut(&mut self.state.settings);
        settings.weights.extend(weights);
        if changed.is_empty() {
            return;
        }
        self.allocation.set_weights(&changed);
        // A weight counts among the roles beside it. Where one of those that changed has frameworks,
        // what is offered to them and to their rivals is divided anew.
        let subscribed: BTreeSet<&str> = self
            .state
            .frameworks
            .values()
            .flat_map(|framework| framework.roles.iter().map(String::as_str))
            .collect();
        let moved: BTreeSet<Option<String>> = changed
            .iter()
            .map(|(role, _)| role)
            .filter(|role| {
                let mut roles = subscribed.iter();
                roles.any(|other| other == role || is_subrole(other, role))
            })
            .map(|role| role.rsplit_once('/').map(|(above, _)| above.to_owned()))
            .collect();
        if !moved.is_empty() {
            self.withdraw_offers_where(|offer| {
                moved.iter().any(|above| match above {
                    Some(above) => offer.role == *above || is_subrole(&offer.role, above),
                    None => true,
                })
            });
        }
    }
}
