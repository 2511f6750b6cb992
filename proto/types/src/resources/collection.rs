//! Collections of resources and their algebra.

use std::{collections::BTreeSet, fmt, ops, sync::Arc};

use super::{Meta, Quantities, Ranges, Resource, Scalar, Value, interned};

/// One entry; shared volumes are counted rather than added.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    resource: Resource,
    count: u32,
}

/// Resources of one agent, task or offer. Nothing of nothing is kept.
///
/// Addition and subtraction are total: what is not there cannot be taken away, and is passed over.
/// Check with [`Resources::contains`] first where that matters.
#[derive(Debug, Clone, Default)]
pub struct Resources(Vec<Entry>);

impl Resources {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries; a shared one as often as it is counted.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.0
            .iter()
            .flat_map(|e| std::iter::repeat_n(&e.resource, e.count as usize))
    }

    /// Each different entry once.
    pub fn distinct(&self) -> impl Iterator<Item = &Resource> {
        self.0.iter().map(|e| &e.resource)
    }

    /// Adds one resource.
    pub fn add(&mut self, resource: Resource) {
        if resource.value.is_empty() {
            return;
        }
        self.add_counted(resource, 1);
    }

    fn add_counted(&mut self, resource: Resource, count: u32) {
        for entry in &mut self.0 {
            if entry.resource.addable(&resource) {
                entry.resource.value.add(&resource.value);
                return;
            }
            if resource.meta.shared && entry.resource == resource {
                entry.count = entry.count.saturating_add(count);
                return;
            }
        }
        self.0.push(Entry { resource, count });
    }

    /// Takes one resource away, as far as it is there.
    pub fn subtract(&mut self, resource: &Resource) {
        self.subtract_counted(resource, 1);
    }

    fn subtract_counted(&mut self, resource: &Resource, count: u32) {
        let found = self
            .0
            .iter()
            .position(|e| e.resource.subtractable(resource));
        let Some(index) = found else { return };
        let entry = &mut self.0[index];
        if entry.resource.meta.shared {
            entry.count = entry.count.saturating_sub(count);
        } else {
            entry.resource.value.subtract(&resource.value);
        }
        if entry.count == 0 || entry.resource.value.is_empty() {
            self.0.remove(index);
        }
    }

    /// Whether all of `other` is here, with the same metadata.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|wanted| {
            self.0.iter().any(|entry| {
                let enough = if entry.resource.meta.shared {
                    entry.count >= wanted.count
                } else {
                    entry.resource.value.contains(&wanted.resource.value)
                };
                entry.resource.subtractable(&wanted.resource) && enough
            })
        }) && other.indivisible_once_each(self)
    }

    /// Equal indivisible entries stand apart, so one of ours cannot stand for two of theirs.
    fn indivisible_once_each(&self, holder: &Self) -> bool {
        let mut left: Vec<&Entry> = holder
            .0
            .iter()
            .filter(|e| e.resource.is_indivisible() && !e.resource.meta.shared)
            .collect();
        self.0
            .iter()
            .filter(|e| e.resource.is_indivisible() && !e.resource.meta.shared)
            .all(|wanted| {
                let at = left.iter().position(|e| e.resource == wanted.resource);
                at.map(|at| left.swap_remove(at)).is_some()
            })
    }

    /// Resources worth `wanted` (a name and value, whatever its metadata), taken from here: those
    /// reserved most narrowly last. `None`: there is not enough.
    pub fn find(&self, wanted: &Self) -> Option<Self> {
        let mut left = self.clone();
        let mut found = Self::default();
        for target in wanted.iter() {
            let mut missing = target.value.clone();
            let mut order: Vec<Resource> = left
                .distinct()
                .filter(|r| r.name == target.name)
                .cloned()
                .collect();
            order.sort_by_key(|r| {
                (
                    r.meta.revocable,
                    r.meta.reservations.len(),
                    r.is_indivisible(),
                )
            });
            for candidate in order {
                let Some(mut part) = candidate.value.intersect(&missing) else {
                    continue;
                };
                if candidate.is_indivisible() {
                    part = candidate.value.clone();
                }
                let taken = Resource {
                    value: part.clone(),
                    ..candidate
                };
                left.subtract(&taken);
                found.add(taken);
                missing.subtract(&part);
                if missing.is_empty() {
                    break;
                }
            }
            if !missing.is_empty() {
                return None;
            }
        }
        Some(found)
    }

    /// The entries that satisfy `keep`.
    pub fn filter(&self, mut keep: impl FnMut(&Resource) -> bool) -> Self {
        Self(
            self.0
                .iter()
                .filter(|e| keep(&e.resource))
                .cloned()
                .collect(),
        )
    }

    /// Every entry changed; equal ones come together again.
    pub fn map(&self, mut change: impl FnMut(&Resource) -> Resource) -> Self {
        let mut changed = Self::default();
        for entry in &self.0 {
            let resource = change(&entry.resource);
            if !resource.value.is_empty() {
                changed.add_counted(resource, entry.count);
            }
        }
        changed
    }

    /// The same, allocated to a role.
    pub fn allocated_to(&self, role: &str) -> Self {
        self.reallocated(Some(role.into()))
    }

    /// The same, allocated to nobody.
    pub fn unallocated(&self) -> Self {
        self.reallocated(None)
    }

    fn reallocated(&self, role: Option<Arc<str>>) -> Self {
        // Neighbours mostly share their metadata: so do they afterwards.
        let mut last: Option<(Arc<Meta>, Arc<Meta>)> = None;
        self.map(|r| {
            if r.meta.allocation_role == role {
                return r.clone();
            }
            let known = last.as_ref().filter(|(old, _)| Arc::ptr_eq(old, &r.meta));
            let meta = known.map(|(_, new)| new.clone()).unwrap_or_else(|| {
                interned::meta(Meta {
                    allocation_role: role.clone(),
                    ..(*r.meta).clone()
                })
            });
            last = Some((r.meta.clone(), meta.clone()));
            Resource { meta, ..r.clone() }
        })
    }

    /// The roles its entries are allocated to.
    pub fn allocation_roles(&self) -> BTreeSet<&str> {
        self.0
            .iter()
            .filter_map(|e| e.resource.meta.allocation_role.as_deref())
            .collect()
    }

    /// The same without any reservation.
    pub fn to_unreserved(&self) -> Self {
        self.map(|r| {
            if r.meta.reservations.is_empty() {
                return r.clone();
            }
            r.with_meta(|meta| meta.reservations.clear())
        })
    }

    /// What is reserved for nobody.
    pub fn unreserved(&self) -> Self {
        self.filter(|r| r.meta.reservations.is_empty())
    }

    /// What is reserved for exactly this role.
    pub fn reserved_for(&self, role: &str) -> Self {
        self.filter(|r| r.reservation_role() == Some(role))
    }

    /// The roles that something is reserved for.
    pub fn reservation_roles(&self) -> BTreeSet<&str> {
        self.0
            .iter()
            .filter_map(|e| e.resource.reservation_role())
            .collect()
    }

    /// What may be offered to a framework of this role.
    pub fn allocatable_to(&self, role: &str) -> Self {
        self.filter(|r| r.is_allocatable_to(role))
    }

    /// What may be taken back at any time.
    pub fn revocable(&self) -> Self {
        self.filter(|r| r.meta.revocable)
    }

    /// What is not revocable.
    pub fn non_revocable(&self) -> Self {
        self.filter(|r| !r.meta.revocable)
    }

    /// Persistent volumes.
    pub fn persistent_volumes(&self) -> Self {
        self.filter(Resource::is_persistent_volume)
    }

    /// How much of a scalar, whoever it belongs to; `None`: no such resource.
    pub fn scalar(&self, name: &str) -> Option<Scalar> {
        let mut total = None;
        for entry in &self.0 {
            if let (true, Value::Scalar(amount)) =
                (*entry.resource.name == *name, &entry.resource.value)
            {
                total = Some(total.unwrap_or(Scalar::ZERO) + *amount);
            }
        }
        total
    }

    /// CPUs.
    pub fn cpus(&self) -> Option<Scalar> {
        self.scalar("cpus")
    }

    /// Memory in MiB.
    pub fn mem(&self) -> Option<Scalar> {
        self.scalar("mem")
    }

    /// Disk in MiB.
    pub fn disk(&self) -> Option<Scalar> {
        self.scalar("disk")
    }

    /// GPUs.
    pub fn gpus(&self) -> Option<Scalar> {
        self.scalar("gpus")
    }

    /// Ports, whoever they belong to.
    pub fn ports(&self) -> Ranges {
        let mut ports = Ranges::default();
        for entry in &self.0 {
            if let ("ports", Value::Ranges(ranges)) = (&*entry.resource.name, &entry.resource.value)
            {
                ports = ports.union(ranges);
            }
        }
        ports
    }

    /// Scalar amounts by name, whoever they belong to.
    pub fn quantities(&self) -> Quantities {
        let mut all = Quantities::default();
        for entry in &self.0 {
            if let Value::Scalar(amount) = &entry.resource.value {
                all.add(&entry.resource.name, *amount);
            }
        }
        all
    }

    /// The names of its resources.
    pub fn names(&self) -> BTreeSet<&str> {
        self.0.iter().map(|e| &*e.resource.name).collect()
    }
}

impl PartialEq for Resources {
    fn eq(&self, other: &Self) -> bool {
        self.contains(other) && other.contains(self)
    }
}

impl From<Resource> for Resources {
    fn from(resource: Resource) -> Self {
        Self::from_iter([resource])
    }
}

impl FromIterator<Resource> for Resources {
    fn from_iter<I: IntoIterator<Item = Resource>>(resources: I) -> Self {
        let mut all = Self::default();
        for resource in resources {
            all.add(resource);
        }
        all
    }
}

impl ops::AddAssign<&Resources> for Resources {
    fn add_assign(&mut self, other: &Resources) {
        for entry in &other.0 {
            self.add_counted(entry.resource.clone(), entry.count);
        }
    }
}

impl ops::SubAssign<&Resources> for Resources {
    fn sub_assign(&mut self, other: &Resources) {
        for entry in &other.0 {
            self.subtract_counted(&entry.resource, entry.count);
        }
    }
}

impl ops::Add<&Resources> for &Resources {
    type Output = Resources;
    fn add(self, other: &Resources) -> Resources {
        let mut sum = self.clone();
        sum += other;
        sum
    }
}

impl ops::Sub<&Resources> for &Resources {
    type Output = Resources;
    fn sub(self, other: &Resources) -> Resources {
        let mut difference = self.clone();
        difference -= other;
        difference
    }
}

impl fmt::Display for Resources {
    /// As in messages of Mesos: `cpus(allocated: eng)(reservations: [(STATIC,eng)]):1; mem:128`.
    /// Source: `operator<<` of `Resource` in `common/resources.cpp`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, resource) in self.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "; " })?;
            f.write_str(&resource.name)?;
            resource.meta.fmt(f)?;
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
