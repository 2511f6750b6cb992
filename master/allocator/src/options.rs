//! What the allocator is told: by flags of the master, and by frameworks about themselves.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use mesos_types::{
    FrameworkCapabilities, Quantities, ResourceError, Resources, Scalar, parse_resources,
};
use mesos_wire::v1::{
    FrameworkInfo,
    agent_info::{Capability, capability::Type},
};

use crate::{DominantShare, Policy, Random, Weight, amounts::Amounts};

/// How the whole cluster is divided.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--allocation_interval`: the same unchanged resources go back to the framework that has
    /// just declined them at most this often. Default as in Apache Mesos 1.11.
    pub allocation_interval: Duration,
    /// `--min_allocatable_resources`: an offer holds at least one of these; empty: any offer will
    /// do. Default as in Apache Mesos 1.11: 0.01 cpus, or 32 MiB of memory.
    pub min_allocatable: Vec<Quantities>,
    /// `--filter_gpu_resources`: agents with GPUs only for frameworks with GPU_RESOURCES.
    pub filter_gpu_resources: bool,
    /// `--fair_sharing_excluded_resource_names`: they make no share.
    pub excluded_from_shares: BTreeSet<String>,
    /// `--weights`, by role; others weigh 1.
    pub weights: HashMap<String, Weight>,
    /// `--role_sorter`: which role is next.
    pub role_sorter: Arc<dyn Policy>,
    /// `--framework_sorter`: which framework of a role is next.
    pub framework_sorter: Arc<dyn Policy>,
    /// Where the random numbers of policies begin: the same seed and calls, the same offers.
    pub seed: u64,
    /// The region of the master, from `--domain`. Agents of another one are for frameworks with
    /// REGION_AWARE only.
    pub region: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        let minimum = |name, thousandths| {
            Quantities::from_iter([(name, Scalar::from_thousandths(thousandths))])
        };
        Self {
            allocation_interval: Duration::from_secs(1),
            min_allocatable: vec![minimum("cpus", 10), minimum("mem", 32_000)],
            filter_gpu_resources: true,
            excluded_from_shares: BTreeSet::new(),
            weights: HashMap::new(),
            role_sorter: Arc::new(DominantShare),
            framework_sorter: Arc::new(DominantShare),
            seed: 0,
            region: None,
        }
    }
}

/// The policy of a name that `--role_sorter` and `--framework_sorter` take: `drf` or `random`.
pub fn policy_by_name(name: &str) -> Option<Arc<dyn Policy>> {
    match name {
        "drf" => Some(Arc::new(DominantShare)),
        "random" => Some(Arc::new(Random)),
        _ => None,
    }
}

/// What an agent says it understands, as far as offers depend on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AgentCapabilities {
    /// MULTI_ROLE: may be offered to frameworks with several roles.
    pub multi_role: bool,
    /// HIERARCHICAL_ROLE: may be offered for roles such as `eng/web`.
    pub hierarchical_role: bool,
    /// RESERVATION_REFINEMENT: knows reservations on top of reservations. No offer depends on it.
    pub reservation_refinement: bool,
}

impl AgentCapabilities {
    /// All of them.
    pub const ALL: Self = Self {
        multi_role: true,
        hierarchical_role: true,
        reservation_refinement: true,
    };
}

impl From<&[Capability]> for AgentCapabilities {
    fn from(capabilities: &[Capability]) -> Self {
        let has = |wanted| capabilities.iter().any(|c| c.r#type() == wanted);
        Self {
            multi_role: has(Type::MultiRole),
            hierarchical_role: has(Type::HierarchicalRole),
            reservation_refinement: has(Type::ReservationRefinement),
        }
    }
}

/// What is known about an agent.
#[derive(Debug, Clone, Default)]
pub struct AgentSpec {
    /// Everything it has; allocations are passed over.
    pub total: Resources,
    /// What the list of [`crate::Allocator::set_whitelist`] calls it.
    pub hostname: String,
    /// What it understands.
    pub capabilities: AgentCapabilities,
    /// The region of its fault domain; `None`: that of the master.
    pub region: Option<String>,
    /// Whether it is offered now.
    pub active: bool,
}

impl AgentSpec {
    /// An active agent without a name or region that understands everything.
    pub fn new(total: Resources) -> Self {
        Self {
            total,
            capabilities: AgentCapabilities::ALL,
            active: true,
            ..Self::default()
        }
    }
}

/// Reads `--min_allocatable_resources`: alternatives such as `cpus:0.01|mem:32`.
///
/// # Errors
/// The first alternative that cannot be.
pub fn parse_min_allocatable(text: &str) -> Result<Vec<Quantities>, ResourceError> {
    let alternatives = text.split('|').filter(|part| !part.trim().is_empty());
    alternatives
        .map(|part| Ok(parse_resources(part, "*")?.quantities()))
        .collect()
}

/// Whether `amounts` are worth an offer.
pub(crate) fn is_worth_offering(amounts: &Amounts, alternatives: &[Amounts]) -> bool {
    alternatives.is_empty() || alternatives.iter().any(|minimum| amounts.contains(minimum))
}

/// What a framework says about itself, as far as offers depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrameworkSpec {
    /// The roles it is subscribed to; valid ones.
    pub roles: BTreeSet<String>,
    /// Those of them in which it wants no offers now.
    pub suppressed: BTreeSet<String>,
    /// What it understands.
    pub capabilities: FrameworkCapabilities,
    /// By role: in place of [`Options::min_allocatable`].
    pub min_allocatable: BTreeMap<String, Vec<Quantities>>,
}

impl From<&FrameworkInfo> for FrameworkSpec {
    /// Of a validated framework; nothing is suppressed.
    fn from(info: &FrameworkInfo) -> Self {
        let capabilities = FrameworkCapabilities::from(info);
        #[expect(
            deprecated,
            reason = "frameworks without MULTI_ROLE name their only role here"
        )]
        let roles = if capabilities.multi_role {
            info.roles.iter().cloned().collect()
        } else {
            BTreeSet::from([info.role.clone().unwrap_or_else(|| "*".to_owned())])
        };
        let minimums = info.offer_filters.iter().filter_map(|(role, filters)| {
            let minimum = filters.min_allocatable_resources.as_ref()?;
            let alternatives = minimum.quantities.iter().map(|alternative| {
                let amounts = alternative.quantities.iter();
                amounts
                    .filter_map(|(name, scalar)| {
                        Some((name.as_str(), Scalar::from_f64(scalar.value)?))
                    })
                    .collect()
            });
            Some((role.clone(), alternatives.collect()))
        });
        let min_allocatable = minimums.collect();
        Self {
            roles,
            suppressed: BTreeSet::new(),
            capabilities,
            min_allocatable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_are_read_as_the_flag_writes_them() {
        let default = Options::default().min_allocatable;
        assert_eq!(parse_min_allocatable("cpus:0.01|mem:32").unwrap(), default);
        assert!(parse_min_allocatable("").unwrap().is_empty());
        assert!(parse_min_allocatable("cpus|mem:32").is_err());
    }

    #[test]
    fn either_alternative_is_worth_an_offer() {
        let worth = |text, alternatives: &[Quantities]| {
            let alternatives: Vec<Amounts> = alternatives.iter().map(Amounts::from).collect();
            let amounts = Amounts::all(&parse_resources(text, "*").unwrap());
            is_worth_offering(&amounts, &alternatives)
        };
        let default = Options::default().min_allocatable;
        assert!(worth("cpus:0.01", &default));
        assert!(worth("mem:32", &default));
        assert!(!worth("cpus:0.009;mem:31.9;disk:1000", &default));
        assert!(worth("disk:1", &[]));
    }
}
