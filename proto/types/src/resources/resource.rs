//! One resource: a name, a value, and whose it is.

use std::{collections::BTreeSet, fmt, sync::Arc};

use mesos_wire::v1::resource::{DiskInfo, ReservationInfo, disk_info::source, reservation_info};

use super::{Ranges, Scalar, interned};

/// How much of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An amount.
    Scalar(Scalar),
    /// Numbered pieces.
    Ranges(Ranges),
    /// Named pieces.
    Set(BTreeSet<String>),
}

impl Value {
    /// Whether there is nothing of it.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(amount) => amount.is_zero_or_less(),
            Self::Ranges(ranges) => ranges.is_empty(),
            Self::Set(items) => items.is_empty(),
        }
    }

    /// Whether it holds all of `other`; never for another kind.
    pub fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => a >= b,
            (Self::Ranges(a), Self::Ranges(b)) => a.contains(b),
            (Self::Set(a), Self::Set(b)) => a.is_superset(b),
            _ => false,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => *a += *b,
            (Self::Ranges(a), Self::Ranges(b)) => *a = a.union(b),
            (Self::Set(a), Self::Set(b)) => a.extend(b.iter().cloned()),
            _ => {}
        }
    }

    pub(super) fn subtract(&mut self, other: &Self) {
        match (self, other) {
            (Self::Scalar(a), Self::Scalar(b)) => *a -= *b,
            (Self::Ranges(a), Self::Ranges(b)) => *a = a.difference(b),
            (Self::Set(a), Self::Set(b)) => a.retain(|item| !b.contains(item)),
            _ => {}
        }
    }

    /// As much of `wanted` as this one holds.
    pub(super) fn intersect(&self, wanted: &Self) -> Option<Self> {
        let both = match (self, wanted) {
            (Self::Scalar(a), Self::Scalar(b)) => Self::Scalar(*a.min(b)),
            (Self::Ranges(a), Self::Ranges(b)) => Self::Ranges(a.intersection(b)),
            (Self::Set(a), Self::Set(b)) => Self::Set(a.intersection(b).cloned().collect()),
            _ => return None,
        };
        (!both.is_empty()).then_some(both)
    }
}

/// One resource, in the form with a stack of reservations. Cheap to clone except for its value.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Such as `cpus`.
    pub name: Arc<str>,
    /// How much.
    pub value: Value,
    /// Whose it is and of which kind.
    pub meta: Arc<Meta>,
}

/// What makes resources of one name differ.
#[derive(Debug, Clone, Default)]
pub struct Meta {
    /// The role it is allocated or offered to.
    pub allocation_role: Option<Arc<str>>,
    /// From the outermost to the most refined; empty: unreserved.
    pub reservations: Vec<ReservationInfo>,
    /// Of `disk` only.
    pub disk: Option<DiskInfo>,
    /// May be taken back at any time.
    pub revocable: bool,
    /// May be used by several at once.
    pub shared: bool,
    /// The resource provider it comes from.
    pub provider: Option<String>,
}

impl PartialEq for Meta {
    /// Where a volume is mounted does not make it another volume.
    fn eq(&self, other: &Self) -> bool {
        fn disk(
            meta: &Meta,
        ) -> Option<(
            Option<&str>,
            Option<&str>,
            Option<&mesos_wire::v1::resource::disk_info::Source>,
        )> {
            meta.disk.as_ref().map(|d| {
                let persistence = d.persistence.as_ref();
                let principal = persistence.and_then(|p| p.principal.as_deref());
                (
                    persistence.map(|p| p.id.as_str()),
                    principal,
                    d.source.as_ref(),
                )
            })
        }
        self.allocation_role == other.allocation_role
            && self.reservations == other.reservations
            && self.revocable == other.revocable
            && self.shared == other.shared
            && self.provider == other.provider
            && disk(self) == disk(other)
    }
}

impl Meta {
    /// Whether the last reservation was made by an operation.
    pub(crate) fn is_dynamically_reserved(&self) -> bool {
        let last = self.reservations.last();
        last.is_some_and(|r| r.r#type() == reservation_info::Type::Dynamic)
    }
}

impl fmt::Display for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(role) = &self.allocation_role {
            write!(f, "(allocated: {role})")?;
        }
        for (i, reservation) in self.reservations.iter().enumerate() {
            f.write_str(if i == 0 { "(reservations: [(" } else { ", (" })?;
            write!(
                f,
                "{},{}",
                reservation.r#type().as_str_name(),
                reservation.role()
            )?;
            if let Some(principal) = &reservation.principal {
                write!(f, ",{principal}")?;
            }
            f.write_str(")")?;
        }
        f.write_str(if self.reservations.is_empty() {
            ""
        } else {
            "])"
        })?;
        let persistence = self
            .disk
            .as_ref()
            .and_then(|disk| disk.persistence.as_ref());
        if let Some(persistence) = persistence {
            write!(f, "[{}]", persistence.id)?;
        }
        f.write_str(if self.revocable { "{REV}" } else { "" })?;
        f.write_str(if self.shared { "<SHARED>" } else { "" })
    }
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.value == other.value && self.same_meta(other)
    }
}

impl Resource {
    /// So much of `name`, unreserved and unallocated.
    pub fn scalar(name: &str, amount: Scalar) -> Self {
        Self::new(name, Value::Scalar(amount))
    }

    /// These of `name`, unreserved and unallocated.
    pub fn ranges(name: &str, ranges: Ranges) -> Self {
        Self::new(name, Value::Ranges(ranges))
    }

    /// A resource that is unreserved and unallocated.
    pub fn new(name: &str, value: Value) -> Self {
        Self {
            name: interned::name(name),
            value,
            meta: interned::plain(),
        }
    }

    pub(super) fn same_meta(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.meta, &other.meta) || self.meta == other.meta
    }

    /// Whether it can only be taken as a whole: a mounted disk, a block device, a volume.
    pub fn is_indivisible(&self) -> bool {
        let Some(disk) = &self.meta.disk else {
            return false;
        };
        let source = disk
            .source
            .as_ref()
            .is_some_and(|source| match source.r#type() {
                source::Type::Mount | source::Type::Block => true,
                source::Type::Raw => source.id.is_some(),
                source::Type::Path | source::Type::Unknown => false,
            });
        source || disk.persistence.is_some()
    }

    /// Whether amounts of the two can be one entry.
    pub(super) fn addable(&self, other: &Self) -> bool {
        self.name == other.name
            && std::mem::discriminant(&self.value) == std::mem::discriminant(&other.value)
            && self.same_meta(other)
            && !self.meta.shared
            && !self.is_indivisible()
    }

    /// Whether some of `other` can be taken from this one.
    pub(super) fn subtractable(&self, other: &Self) -> bool {
        if self.name != other.name || !self.same_meta(other) {
            return false;
        }
        if self.meta.shared || self.is_indivisible() {
            self.value == other.value
        } else {
            true
        }
    }

    /// The role it is reserved for in the end; `None`: unreserved.
    pub fn reservation_role(&self) -> Option<&str> {
        self.meta.reservations.last().map(|r| r.role())
    }

    /// Whether a framework of this role may be offered it.
    pub fn is_allocatable_to(&self, role: &str) -> bool {
        self.reservation_role()
            .is_none_or(|r| r == role || crate::is_subrole(role, r))
    }

    /// Whether it was reserved by an operation rather than by a flag of the agent.
    pub fn is_dynamically_reserved(&self) -> bool {
        self.meta.is_dynamically_reserved()
    }

    /// Whether it is a persistent volume.
    pub fn is_persistent_volume(&self) -> bool {
        self.meta
            .disk
            .as_ref()
            .is_some_and(|d| d.persistence.is_some())
    }

    /// Whether the agent must remember it over restarts.
    pub fn needs_checkpointing(&self) -> bool {
        self.is_dynamically_reserved() || self.is_persistent_volume()
    }

    /// The same with changed metadata.
    pub fn with_meta(&self, change: impl FnOnce(&mut Meta)) -> Self {
        let mut changed = self.clone();
        change(Arc::make_mut(&mut changed.meta));
        changed
    }
}
