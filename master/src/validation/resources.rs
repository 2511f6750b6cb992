//! Resources of tasks and executors: what is fine for each alone must also be fine together.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use mesos_types::{FrameworkId, Resource, Resources, Value};
use mesos_wire::v1;

use super::{Invalid, Validity, require};
use crate::state::{Agent, Executor};

/// Most entries of one list of resources: the algebra compares entries pairwise.
const ENTRIES: usize = 1000;

/// Reads resources and checks them together.
pub fn validate_resources(wire: &[v1::Resource]) -> Result<Resources, Invalid> {
    require(wire.len() <= ENTRIES, || {
        format!(
            "{} entries of resources, at most {ENTRIES} are taken",
            wire.len()
        )
    })?;
    let mut parsed = Vec::with_capacity(wire.len());
    for resource in wire {
        let read = Resource::from_wire(resource).map_err(|error| Invalid(error.to_string()))?;
        validate_disk(resource, &read)?;
        parsed.push(read);
    }
    validate_overlap(&parsed)?;
    validate_persistence(&parsed)?;
    validate_revocable(&parsed)?;
    let all: Resources = parsed.into_iter().collect();
    let roles = all.allocation_roles();
    require(roles.len() <= 1, || {
        let roles: Vec<&str> = roles.into_iter().collect();
        format!(
            "The resources are allocated to multiple roles: {}",
            roles.join(", ")
        )
    })?;
    Ok(all)
}

fn validate_disk(wire: &v1::Resource, resource: &Resource) -> Validity {
    let Some(disk) = &wire.disk else {
        return Ok(());
    };
    if disk.persistence.is_some() {
        require(!resource.meta.revocable, || {
            "Persistent volumes cannot be created from revocable resources".to_owned()
        })?;
        require(!resource.meta.reservations.is_empty(), || {
            "Persistent volumes cannot be created from unreserved resources".to_owned()
        })?;
        let Some(volume) = &disk.volume else {
            return Err(Invalid::new(
                "Expecting 'volume' to be set for persistent volume",
            ));
        };
        return require(volume.host_path.is_none(), || {
            "Expecting 'host_path' to be unset for persistent volume".to_owned()
        });
    }
    require(disk.volume.is_none(), || {
        "Non-persistent volume not supported".to_owned()
    })
}

/// The algebra would make one of two equal ports.
fn validate_overlap(resources: &[Resource]) -> Validity {
    for (i, one) in resources.iter().enumerate() {
        for other in &resources[..i] {
            if one.name != other.name {
                continue;
            }
            let overlap = match (&one.value, &other.value) {
                (Value::Ranges(a), Value::Ranges(b)) => !a.intersection(b).is_empty(),
                (Value::Set(a), Value::Set(b)) => !a.is_disjoint(b),
                _ => false,
            };
            require(!overlap, || {
                format!("The resource '{}' is given twice in parts", one.name)
            })?;
        }
    }
    Ok(())
}

fn validate_persistence(resources: &[Resource]) -> Validity {
    let mut seen = BTreeSet::new();
    for resource in resources {
        let Some(persistence) = resource
            .meta
            .disk
            .as_ref()
            .and_then(|disk| disk.persistence.as_ref())
        else {
            continue;
        };
        if resource.meta.shared {
            continue;
        }
        let fresh = seen.insert((
            resource.reservation_role().unwrap_or("*"),
            persistence.id.as_str(),
        ));
        require(fresh, || {
            format!("Persistence ID '{}' is not unique", persistence.id)
        })?;
    }
    Ok(())
}

fn validate_revocable(resources: &[Resource]) -> Validity {
    let mut kinds: BTreeMap<&str, bool> = BTreeMap::new();
    for resource in resources {
        let revocable = *kinds
            .entry(&resource.name)
            .or_insert(resource.meta.revocable);
        require(revocable == resource.meta.revocable, || {
            format!(
                "Cannot use both revocable and non-revocable '{}' at the same time",
                resource.name
            )
        })?;
    }
    Ok(())
}

/// An executor of a framework that is known on an agent.
pub fn executor_on<'a>(
    agent: &'a Agent,
    framework: &FrameworkId,
    executor: &v1::ExecutorId,
) -> Option<&'a Arc<Executor>> {
    agent.executors.get(&(framework.clone(), executor.into()))
}

/// Resources for people, allocations included: `cpus(allocated: *):100; mem(allocated: *):32`.
pub struct Described<'a>(pub &'a Resources);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, resource) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "; " })?;
            f.write_str(&resource.name)?;
            if let Some(role) = resource.reservation_role() {
                write!(f, "(reserved: {role})")?;
            }
            if let Some(role) = &resource.meta.allocation_role {
                write!(f, "(allocated: {role})")?;
            }
            if resource.meta.revocable {
                f.write_str("{REV}")?;
            }
            match &resource.value {
                Value::Scalar(amount) => write!(f, ":{amount}")?,
                Value::Ranges(ranges) => write!(f, ":{ranges}")?,
                Value::Set(items) => {
                    let items: Vec<&str> = items.iter().map(String::as_str).collect();
                    write!(f, ":{{{}}}", items.join(", "))?;
                }
            }
        }
        Ok(())
    }
}
