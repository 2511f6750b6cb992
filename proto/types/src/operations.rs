//! Offer operations that change what an agent has: what each one takes, and what it gives instead.

use std::collections::BTreeSet;

use mesos_wire::v1::{
    offer::{
        Operation,
        operation::{Create, Destroy, GrowVolume, Reserve, ShrinkVolume, Type, Unreserve},
    },
    volume,
};

use crate::{Format, Meta, Resource, ResourceError, Resources, Scalar, Value};

/// Most resources that one operation may name. Ours; Apache Mesos has no limit.
pub const MAX_RESOURCES_PER_OPERATION: usize = 1000;

/// An operation that changes what an agent has; well formed in itself (see [`Self::from_wire`]).
#[derive(Debug, Clone, PartialEq)]
pub enum ResourceOperation {
    /// RESERVE. With a `source`, that is what becomes `resources`; without one, `resources` less
    /// their last reservation.
    Reserve {
        /// What is reserved otherwise now; empty in most calls.
        source: Resources,
        /// What is wanted.
        resources: Resources,
    },
    /// UNRESERVE: the last reservation of each is dropped.
    Unreserve {
        /// As they are now.
        resources: Resources,
    },
    /// CREATE: persistent volumes are made of reserved disk.
    Create {
        /// As they will be.
        volumes: Resources,
    },
    /// DESTROY: persistent volumes become plain disk.
    Destroy {
        /// As they are now.
        volumes: Resources,
    },
    /// GROW_VOLUME.
    Grow {
        /// As it is now.
        volume: Resource,
        /// What is added to it: disk reserved as the volume is.
        addition: Resource,
    },
    /// SHRINK_VOLUME.
    Shrink {
        /// As it is now.
        volume: Resource,
        /// What is taken from it, in MiB.
        subtract: Scalar,
    },
}

/// One step of an operation: `consumed` becomes `converted`.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversion {
    /// What has to be there.
    pub consumed: Resources,
    /// What is there instead.
    pub converted: Resources,
}

/// Why an operation cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OperationError {
    /// Its type has nothing to do with what the agent has, or is not built.
    #[error("{0}")]
    Unsupported(String),
    /// A resource that cannot be.
    #[error("Invalid resources: {0}")]
    Resource(#[from] ResourceError),
    /// A rule of this operation is broken.
    #[error("{0}")]
    Invalid(String),
    /// What it takes is not there.
    #[error("{held} does not contain {wanted}")]
    NotContained {
        /// What there is.
        held: Resources,
        /// What would have to be there.
        wanted: Resources,
    },
    /// A shared volume of which there are more copies.
    #[error("Persistent volume {0} cannot be removed due to additional shared copies")]
    StillShared(Resources),
}

fn invalid<T>(problem: impl Into<String>) -> Result<T, OperationError> {
    Err(OperationError::Invalid(problem.into()))
}

fn absent(field: &'static str) -> OperationError {
    OperationError::Invalid(format!("Expecting '{field}' to be present"))
}

impl ResourceOperation {
    /// Reads an operation and checks all that can be checked without knowing who sent it and what
    /// the agent has.
    ///
    /// # Errors
    /// The first rule it breaks. Source of the rules: `master/validation.cpp` of Apache Mesos 1.11.
    pub fn from_wire(operation: &Operation) -> Result<Self, OperationError> {
        let read = match operation.r#type() {
            Type::Reserve => {
                let call = operation.reserve.as_ref().ok_or(absent("reserve"))?;
                Self::Reserve {
                    source: read(&call.source)?,
                    resources: read(&call.resources)?,
                }
            }
            Type::Unreserve => {
                let call = operation.unreserve.as_ref().ok_or(absent("unreserve"))?;
                Self::Unreserve {
                    resources: read(&call.resources)?,
                }
            }
            Type::Create => {
                let call = operation.create.as_ref().ok_or(absent("create"))?;
                Self::Create {
                    volumes: read(&call.volumes)?,
                }
            }
            Type::Destroy => {
                let call = operation.destroy.as_ref().ok_or(absent("destroy"))?;
                Self::Destroy {
                    volumes: read(&call.volumes)?,
                }
            }
            Type::GrowVolume => {
                let call = operation.grow_volume.as_ref();
                let call = call.ok_or(absent("grow_volume"))?;
                Self::Grow {
                    volume: Resource::from_wire(&call.volume)?,
                    addition: Resource::from_wire(&call.addition)?,
                }
            }
            Type::ShrinkVolume => {
                let call = operation.shrink_volume.as_ref();
                let call = call.ok_or(absent("shrink_volume"))?;
                let amount = call.subtract.value;
                let Some(subtract) = Scalar::from_f64(amount) else {
                    return invalid(format!(
                        "The value of 'ShrinkVolume.subtract' is {amount}; allowed: a finite number"
                    ));
                };
                Self::Shrink {
                    volume: Resource::from_wire(&call.volume)?,
                    subtract,
                }
            }
            kind @ (Type::CreateDisk | Type::DestroyDisk) => {
                return Err(OperationError::Unsupported(format!(
                    "{} needs resources of a resource provider; resource providers are not built",
                    kind.as_str_name()
                )));
            }
            kind @ (Type::Unknown | Type::Launch | Type::LaunchGroup) => {
                return Err(OperationError::Unsupported(format!(
                    "{} is no operation on what an agent has",
                    kind.as_str_name()
                )));
            }
        };
        read.check()?;
        Ok(read)
    }

    /// The operation on the wire, without `id`.
    pub fn to_wire(&self, format: Format) -> Operation {
        let mut wire = Operation {
            r#type: Some(self.kind().into()),
            ..Default::default()
        };
        match self {
            Self::Reserve { source, resources } => {
                wire.reserve = Some(Reserve {
                    source: source.to_wire(format),
                    resources: resources.to_wire(format),
                });
            }
            Self::Unreserve { resources } => {
                wire.unreserve = Some(Unreserve {
                    resources: resources.to_wire(format),
                });
            }
            Self::Create { volumes } => {
                wire.create = Some(Create {
                    volumes: volumes.to_wire(format),
                });
            }
            Self::Destroy { volumes } => {
                wire.destroy = Some(Destroy {
                    volumes: volumes.to_wire(format),
                });
            }
            Self::Grow { volume, addition } => {
                wire.grow_volume = Some(GrowVolume {
                    volume: volume.to_wire(format),
                    addition: addition.to_wire(format),
                });
            }
            Self::Shrink { volume, subtract } => {
                wire.shrink_volume = Some(ShrinkVolume {
                    volume: volume.to_wire(format),
                    subtract: mesos_wire::v1::value::Scalar {
                        value: subtract.as_f64(),
                    },
                });
            }
        }
        wire
    }

    /// Its type on the wire.
    pub fn kind(&self) -> Type {
        match self {
            Self::Reserve { .. } => Type::Reserve,
            Self::Unreserve { .. } => Type::Unreserve,
            Self::Create { .. } => Type::Create,
            Self::Destroy { .. } => Type::Destroy,
            Self::Grow { .. } => Type::GrowVolume,
            Self::Shrink { .. } => Type::ShrinkVolume,
        }
    }

    /// Everything it names, in one collection.
    pub fn resources(&self) -> Resources {
        match self {
            Self::Reserve { source, resources } => source + resources,
            Self::Unreserve { resources } => resources.clone(),
            Self::Create { volumes } | Self::Destroy { volumes } => volumes.clone(),
            Self::Grow { volume, addition } => {
                Resources::from_iter([volume.clone(), addition.clone()])
            }
            Self::Shrink { volume, .. } => volume.clone().into(),
        }
    }

    /// The same with each resource changed; what it was checked for must not change.
    pub fn map(&self, mut change: impl FnMut(&Resource) -> Resource) -> Self {
        match self {
            Self::Reserve { source, resources } => Self::Reserve {
                source: source.map(&mut change),
                resources: resources.map(change),
            },
            Self::Unreserve { resources } => Self::Unreserve {
                resources: resources.map(change),
            },
            Self::Create { volumes } => Self::Create {
                volumes: volumes.map(change),
            },
            Self::Destroy { volumes } => Self::Destroy {
                volumes: volumes.map(change),
            },
            Self::Grow { volume, addition } => Self::Grow {
                volume: change(volume),
                addition: change(addition),
            },
            Self::Shrink { volume, subtract } => Self::Shrink {
                volume: change(volume),
                subtract: *subtract,
            },
        }
    }

    /// The same, allocated to nobody.
    pub fn unallocated(&self) -> Self {
        self.map(|r| r.with_meta(|meta| meta.allocation_role = None))
    }

    /// The same, with what is allocated to nobody allocated to this role.
    pub fn allocated_where_unset(&self, role: &str) -> Self {
        self.map(|r| {
            r.with_meta(|meta| {
                meta.allocation_role.get_or_insert_with(|| role.into());
            })
        })
    }

    /// What it takes and gives, step by step.
    pub fn conversions(&self) -> Vec<Conversion> {
        match self {
            Self::Reserve { source, resources } if !source.is_empty() => vec![Conversion {
                consumed: source.clone(),
                converted: resources.clone(),
            }],
            Self::Reserve { resources, .. } => resources
                .iter()
                .map(|reserved| step(pop_reservation(reserved), reserved.clone()))
                .collect(),
            Self::Unreserve { resources } => resources
                .iter()
                .map(|reserved| step(reserved.clone(), pop_reservation(reserved)))
                .collect(),
            Self::Create { volumes } => volumes
                .iter()
                .map(|volume| step(plain_disk(volume), volume.clone()))
                .collect(),
            Self::Destroy { volumes } => volumes
                .iter()
                .map(|volume| step(volume.clone(), plain_disk(volume)))
                .collect(),
            Self::Grow { volume, addition } => vec![Conversion {
                consumed: Resources::from_iter([volume.clone(), addition.clone()]),
                converted: sized(volume, size(volume) + size(addition)).into(),
            }],
            Self::Shrink { volume, subtract } => vec![Conversion {
                consumed: volume.clone().into(),
                converted: Resources::from_iter([
                    sized(volume, size(volume).minus_at_least_zero(*subtract)),
                    sized(&plain_disk(volume), *subtract),
                ]),
            }],
        }
    }

    fn check(&self) -> Result<(), OperationError> {
        let all = match self {
            Self::Reserve { resources, .. } | Self::Unreserve { resources } => resources,
            Self::Create { volumes } | Self::Destroy { volumes } => volumes,
            Self::Grow { volume, addition } => return check_grow(volume, addition),
            Self::Shrink { volume, subtract } => return check_shrink(volume, *subtract),
        };
        if all.is_empty() {
            return invalid(format!("{} of no resources", self.kind().as_str_name()));
        }
        if let Self::Reserve { source, resources } = self {
            check_source(source, resources)?;
        }
        let providers: BTreeSet<_> = all.distinct().map(|r| r.meta.provider.as_deref()).collect();
        if providers.len() > 1 {
            return invalid("The resources have multiple resource providers");
        }
        for resource in all.distinct() {
            match self {
                Self::Reserve { .. } => check_reserve(resource)?,
                Self::Unreserve { .. } => check_unreserve(resource)?,
                Self::Create { .. } => check_create(resource)?,
                Self::Destroy { .. } if !resource.is_persistent_volume() => {
                    return invalid(format!("{} is not a persistent volume", one(resource)));
                }
                Self::Destroy { .. } | Self::Grow { .. } | Self::Shrink { .. } => {}
            }
        }
        if matches!(self, Self::Create { .. } | Self::Destroy { .. }) {
            all.check_unique_volumes()?;
        }
        Ok(())
    }
}

fn read(resources: &[mesos_wire::v1::Resource]) -> Result<Resources, OperationError> {
    let n = resources.len();
    if n > MAX_RESOURCES_PER_OPERATION {
        return invalid(format!(
            "The operation names {n} resources; allowed: {MAX_RESOURCES_PER_OPERATION}"
        ));
    }
    Ok(Resources::from_wire(resources)?)
}

fn one(resource: &Resource) -> Resources {
    resource.clone().into()
}

fn step(consumed: Resource, converted: Resource) -> Conversion {
    Conversion {
        consumed: consumed.into(),
        converted: converted.into(),
    }
}

fn size(resource: &Resource) -> Scalar {
    match resource.value {
        Value::Scalar(amount) => amount,
        Value::Ranges(_) | Value::Set(_) => Scalar::ZERO,
    }
}

fn sized(resource: &Resource, amount: Scalar) -> Resource {
    Resource {
        value: Value::Scalar(amount),
        ..resource.clone()
    }
}

fn pop_reservation(resource: &Resource) -> Resource {
    resource.with_meta(|meta| {
        meta.reservations.pop();
    })
}

/// The disk that a volume is made of.
fn plain_disk(volume: &Resource) -> Resource {
    volume.with_meta(strip_volume)
}

fn strip_volume(meta: &mut Meta) {
    meta.shared = false;
    meta.disk = meta.disk.take().and_then(|mut disk| {
        disk.persistence = None;
        disk.volume = None;
        disk.source.is_some().then_some(disk)
    });
}

fn check_reserve(resource: &Resource) -> Result<(), OperationError> {
    if !resource.is_dynamically_reserved() {
        return invalid(format!(
            "Resource {} is not dynamically reserved",
            one(resource)
        ));
    }
    // Its reservation also says where the agent keeps it, so that a volume never changes owners.
    if resource.is_persistent_volume() {
        return invalid(format!(
            "A persistent volume {} must already be reserved",
            one(resource)
        ));
    }
    Ok(())
}

fn check_source(source: &Resources, resources: &Resources) -> Result<(), OperationError> {
    if source.is_empty() {
        return Ok(());
    }
    let stacks = |all: &Resources| {
        let mut stacks: Vec<_> = all
            .distinct()
            .map(|r| r.meta.reservations.clone())
            .collect();
        stacks.dedup();
        stacks.len()
    };
    if stacks(source) > 1 || stacks(resources) > 1 {
        return invalid(
            "The reservations in 'source' and in 'resources' must each be all the same",
        );
    }
    if source
        .distinct()
        .any(|r| !r.meta.reservations.is_empty() && !r.is_dynamically_reserved())
    {
        return invalid("A static reservation in 'source' cannot be changed");
    }
    if source.to_unreserved() != resources.to_unreserved() {
        return invalid(format!(
            "The quantities in 'source' ({source}) and in 'resources' ({resources}) must be the same"
        ));
    }
    Ok(())
}

fn check_unreserve(resource: &Resource) -> Result<(), OperationError> {
    if !resource.is_dynamically_reserved() {
        return invalid(format!(
            "Resource {} is not dynamically reserved",
            one(resource)
        ));
    }
    if resource.is_persistent_volume() {
        return invalid(format!(
            "A dynamically reserved persistent volume {} cannot be unreserved directly. Please destroy the \
             persistent volume first then unreserve the resource",
            one(resource)
        ));
    }
    Ok(())
}

fn check_create(volume: &Resource) -> Result<(), OperationError> {
    let Some(disk) = volume.meta.disk.as_ref() else {
        return invalid(format!("Resource {} does not have DiskInfo", one(volume)));
    };
    if disk.persistence.is_none() {
        return invalid("'persistence' is not set in DiskInfo");
    }
    let Some(mount) = disk.volume.as_ref() else {
        return invalid("Expecting 'volume' to be set for persistent volume");
    };
    if mount.mode == i32::from(volume::Mode::Ro) {
        return invalid("Read-only persistent volume not supported");
    }
    if mount.host_path.is_some() {
        return invalid("Expecting 'host_path' to be unset for persistent volume");
    }
    if volume.meta.revocable {
        return invalid("Persistent volumes cannot be created from revocable resources");
    }
    if volume.meta.reservations.is_empty() {
        return invalid("Persistent volumes cannot be created from unreserved resources");
    }
    if !matches!(volume.value, Value::Scalar(_)) {
        return invalid(format!("Persistent volume {} is not a SCALAR", one(volume)));
    }
    Ok(())
}

/// What GROW_VOLUME and SHRINK_VOLUME have in common.
fn check_resized(volume: &Resource, doing: &str) -> Result<(), OperationError> {
    if !volume.is_persistent_volume() || !matches!(volume.value, Value::Scalar(_)) {
        return invalid(format!("{} is not a persistent volume", one(volume)));
    }
    if volume.meta.provider.is_some() {
        return invalid(format!(
            "{doing} a volume from a resource provider is not supported"
        ));
    }
    if volume.meta.shared {
        return invalid(format!(
            "{doing} a shared persistent volume is not supported"
        ));
    }
    if plain_disk(volume).is_indivisible() {
        return invalid(format!(
            "{doing} a volume on an exclusive disk (MOUNT, BLOCK or RAW) is not supported"
        ));
    }
    Ok(())
}

fn check_grow(volume: &Resource, addition: &Resource) -> Result<(), OperationError> {
    check_resized(volume, "Growing")?;
    if addition.value.is_empty() {
        return invalid("The size of 'GrowVolume.addition' must be greater than zero");
    }
    let plain = plain_disk(volume);
    if plain.name != addition.name
        || plain.meta != addition.meta
        || !matches!(addition.value, Value::Scalar(_))
    {
        return invalid(format!(
            "Incompatible resources in the 'GrowVolume.volume' ({}) and 'GrowVolume.addition' ({}) fields",
            one(volume),
            one(addition)
        ));
    }
    Ok(())
}

fn check_shrink(volume: &Resource, subtract: Scalar) -> Result<(), OperationError> {
    check_resized(volume, "Shrinking")?;
    if subtract.is_zero_or_less() {
        return invalid("The value of 'ShrinkVolume.subtract' must be greater than zero");
    }
    if subtract >= size(volume) {
        return invalid(format!(
            "The value of 'ShrinkVolume.subtract' ({subtract}) must be smaller than the size of the volume ({})",
            size(volume)
        ));
    }
    Ok(())
}

impl Conversion {
    /// The step back.
    pub fn inverse(&self) -> Self {
        Self {
            consumed: self.converted.clone(),
            converted: self.consumed.clone(),
        }
    }
}

impl Resources {
    /// What is there after one step.
    ///
    /// # Errors
    /// What it takes is not there, a shared volume that goes is there more than once, or one that comes is
    /// there already: it would be counted once and cost twice.
    pub fn apply(&self, step: &Conversion) -> Result<Self, OperationError> {
        if !self.contains(&step.consumed) {
            return Err(OperationError::NotContained {
                held: self.clone(),
                wanted: step.consumed.clone(),
            });
        }
        let mut after = self - &step.consumed;
        let copies = step
            .consumed
            .filter(|r| r.meta.shared && !step.converted.distinct().any(|c| c == r));
        if let Some(copy) = copies
            .distinct()
            .find(|r| after.distinct().any(|a| a == *r))
        {
            return Err(OperationError::StillShared(one(copy)));
        }
        let comes = |r: &&Resource| r.meta.shared && !step.consumed.distinct().any(|c| c == *r);
        if let Some(twice) = step
            .converted
            .distinct()
            .filter(comes)
            .find(|r| after.distinct().any(|a| a == *r))
        {
            return invalid(format!("The shared volume {} is there already", one(twice)));
        }
        after += &step.converted;
        Ok(after)
    }

    /// What is there after all steps of an operation.
    ///
    /// # Errors
    /// As of [`Self::apply`]; then nothing has changed.
    pub fn apply_all(&self, steps: &[Conversion]) -> Result<Self, OperationError> {
        steps
            .iter()
            .try_fold(self.clone(), |held, step| held.apply(step))
    }

    /// What an agent with these resources has to remember beside its flags: dynamic reservations and
    /// persistent volumes, allocated to nobody.
    pub fn checkpointed(&self) -> Self {
        self.filter(Resource::needs_checkpointing).unallocated()
    }

    /// What an agent has whose flags give `self` and whose memory gives `checkpointed`: each remembered
    /// one stands in the place of what it was made of.
    ///
    /// # Errors
    /// One that is made of something which is not there, or that nobody has to remember.
    pub fn apply_checkpointed(&self, checkpointed: &Self) -> Result<Self, OperationError> {
        let mut total = self.clone();
        for resource in checkpointed.iter() {
            if !resource.needs_checkpointing() {
                return invalid(format!(
                    "Unexpected checkpointed resources {}",
                    one(resource)
                ));
            }
            let made_of = resource.with_meta(|meta| {
                strip_volume(meta);
                while meta.is_dynamically_reserved() {
                    meta.reservations.pop();
                }
            });
            total = total.apply(&step(made_of, resource.clone()))?;
        }
        Ok(total)
    }

    /// Whether each persistence id is there once for the role it is reserved for.
    ///
    /// # Errors
    /// The id that is there twice.
    pub fn check_unique_volumes(&self) -> Result<(), OperationError> {
        let mut seen = BTreeSet::new();
        for volume in self.iter() {
            let persistence = volume
                .meta
                .disk
                .as_ref()
                .and_then(|d| d.persistence.as_ref());
            if let Some(persistence) = persistence
                && !seen.insert((volume.reservation_role(), persistence.id.as_str()))
            {
                return invalid(format!("Persistence ID '{}' is not unique", persistence.id));
            }
        }
        Ok(())
    }
}
