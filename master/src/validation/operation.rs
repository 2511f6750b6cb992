//! An offer operation against who asks for it and what the agent has (`master/validation.cpp`, operation::).
//! What can be said without them is checked where it is read: `ResourceOperation::from_wire`.
use mesos_types::{Resource, ResourceOperation, Resources};
use mesos_wire::v1::agent_info::capability::Type as Can;

use super::{Invalid, Validity, require};
use crate::state::{Agent, Framework};

/// Operations of an agent that are not acknowledged; an agent keeps each of them on disk. Ours.
pub const OPERATIONS_PER_AGENT: usize = 1000;
/// Longest id that a framework may give an operation, in bytes. Ours.
pub const OPERATION_ID_BYTES: usize = 1024;
/// Different resources that an agent may be split into: the algebra compares them pairwise. Ours.
pub const ENTRIES_PER_AGENT: usize = 2000;

/// Who asks, and of which agent.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// `None`: an operator.
    pub framework: Option<&'a Framework>,
    /// As which principal.
    pub principal: Option<&'a str>,
    /// Whose resources are changed.
    pub agent: &'a Agent,
}

/// Checks an operation. A framework's resources have their allocation, an operator's have none.
///
/// # Errors
/// The first rule that it breaks.
pub fn validate(operation: &ResourceOperation, ground: Ground<'_>) -> Validity {
    let agent = ground.agent;
    require(agent.can(Can::AgentOperationFeedback), || {
        format!(
            "{} needs an agent with the capability AGENT_OPERATION_FEEDBACK",
            operation.kind().as_str_name()
        )
    })?;
    require(agent.operations.len() < OPERATIONS_PER_AGENT, || {
        format!(
            "{} operations on the agent are not acknowledged, and no more are taken",
            agent.operations.len()
        )
    })?;
    require(
        agent.total.distinct().count() + operation.resources().distinct().count()
            <= ENTRIES_PER_AGENT,
        || {
            format!(
                "The agent's resources would be split into more than {ENTRIES_PER_AGENT} different ones"
            )
        },
    )?;
    for resource in operation.resources().distinct() {
        require(
            resource.meta.reservations.len() < 2 || agent.can(Can::ReservationRefinement),
            || "Refined reservations need an agent with RESERVATION_REFINEMENT".to_owned(),
        )?;
        let hierarchical = resource
            .reservation_role()
            .is_some_and(|role| role.contains('/'));
        require(!hierarchical || agent.can(Can::HierarchicalRole), || {
            "Reservations for hierarchical roles need an agent with HIERARCHICAL_ROLE".to_owned()
        })?;
        require(
            ground.framework.is_some() || resource.meta.allocation_role.is_none(),
            || {
                format!(
                    "An operator's operation cannot be for allocated resources: {}",
                    Resources::from(resource.clone())
                )
            },
        )?;
    }
    match operation {
        ResourceOperation::Reserve { source, resources } => reserve(source, resources, ground),
        ResourceOperation::Unreserve { .. } => Ok(()),
        ResourceOperation::Create { volumes } => create(volumes, ground),
        ResourceOperation::Destroy { volumes } => destroy(volumes, agent),
        ResourceOperation::Grow { .. } | ResourceOperation::Shrink { .. } => {
            require(agent.can(Can::ResizeVolume), || {
                format!("Agent {} lacks the capability RESIZE_VOLUME", agent.id)
            })
        }
    }
}

fn reserve(source: &Resources, resources: &Resources, ground: Ground<'_>) -> Validity {
    require(source.is_empty() || ground.framework.is_none(), || {
        "Only operators can reserve with a 'source'".to_owned()
    })?;
    for resource in resources.distinct() {
        let Some(last) = resource.meta.reservations.last() else {
            continue;
        };
        let given = last.principal.as_deref();
        if let Some(principal) = ground.principal
            && given != Some(principal)
        {
            let found = given.map_or("no principal".to_owned(), |given| {
                format!("principal '{given}'")
            });
            return Err(Invalid(format!(
                "A reserve operation was attempted by principal '{principal}', but there is a reserved resource \
                 in the request with {found} set in `ReservationInfo`"
            )));
        }
        if let Some(framework) = ground.framework {
            framework_role(resource, last.role(), framework)?;
        }
    }
    Ok(())
}

/// A framework reserves for the role that it was offered the resources in.
fn framework_role(resource: &Resource, role: &str, framework: &Framework) -> Validity {
    let allocated = resource.meta.allocation_role.as_deref().unwrap_or("*");
    require(allocated == role, || {
        format!(
            "A reserve operation was attempted for a resource allocated to role '{allocated}' with a reservation \
             for role '{role}'"
        )
    })?;
    require(framework.roles.contains(role), || {
        format!(
            "A reserve operation was attempted for role '{role}', which the framework is not subscribed to"
        )
    })
}

fn create(volumes: &Resources, ground: Ground<'_>) -> Validity {
    for volume in volumes.distinct() {
        let persistence = volume
            .meta
            .disk
            .as_ref()
            .and_then(|disk| disk.persistence.as_ref());
        let given = persistence.and_then(|persistence| persistence.principal.as_deref());
        if let Some(principal) = ground.principal
            && given != Some(principal)
        {
            let found = given.map_or("no principal".to_owned(), |given| {
                format!("principal '{given}'")
            });
            return Err(Invalid(format!(
                "A create volume operation was attempted by principal '{principal}', but there is a volume in the \
                 operation with {found} set in `DiskInfo.Persistence`"
            )));
        }
        if let Some(framework) = ground.framework {
            require(
                !volume.meta.shared || framework.capabilities.shared_resources,
                || {
                    format!(
                        "Create volume operation for '{}' has been attempted by framework '{}' with no \
                         SHARED_RESOURCES capability",
                        Resources::from(volume.clone()),
                        framework.id
                    )
                },
            )?;
        }
    }
    (&ground.agent.total.persistent_volumes() + &volumes.unallocated())
        .check_unique_volumes()
        .map_err(|error| Invalid(error.to_string()))
}

fn destroy(volumes: &Resources, agent: &Agent) -> Validity {
    let volumes = volumes.unallocated();
    require(agent.total.contains(&volumes), || {
        "Persistent volumes not found".to_owned()
    })?;
    let in_use = agent.used.values().any(|used| {
        used.persistent_volumes()
            .unallocated()
            .distinct()
            .any(|held| volumes.distinct().any(|volume| volume == held))
    });
    require(!in_use, || "Persistent volumes in use".to_owned())
}
