//! The form in which the registry is stored: tables of keys and bytes, the same in every back end.
//!
//! Messages are protobuf. Times are nanoseconds since 1970 in 8 bytes, weights a double in 8 bytes, both big
//! endian. Keys are ids and roles. Machines are always changed together and may be as many as agents, so they
//! stand in 256 buckets, by the CRC-32 of `<ip> <host name>`: a change of one of them writes one bucket.
use std::collections::BTreeMap;

use mesos_types::AgentId;
use mesos_wire::{Encoding, WireMessage, v1::MachineInfo};

use prost::Message as _;

use super::{Change, MachineKey, Registry};

/// Version of the form described here. 1 had only `agents`, `unreachable` and `gone`, in the same form.
pub(super) const FORMAT: u32 = 2;

/// A table; its name is the same in every back end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Table {
    Agents,
    Drains,
    Deactivated,
    Unreachable,
    Gone,
    Quotas,
    Weights,
    Machines,
    /// What there is only one of: `master`, `schedule`, and `weights` once they were set.
    Facts,
}

const MASTER: &str = "master";
const SCHEDULE: &str = "schedule";
const WEIGHTS: &str = "weights";

impl Table {
    pub(super) const ALL: [Self; 9] = [
        Self::Agents,
        Self::Drains,
        Self::Deactivated,
        Self::Unreachable,
        Self::Gone,
        Self::Quotas,
        Self::Weights,
        Self::Machines,
        Self::Facts,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Agents => "agents",
            Self::Drains => "drains",
            Self::Deactivated => "deactivated",
            Self::Unreachable => "unreachable",
            Self::Gone => "gone",
            Self::Quotas => "quotas",
            Self::Weights => "weights",
            Self::Machines => "machines",
            Self::Facts => "facts",
        }
    }
}

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Set the key.
    Put(Table, String, Vec<u8>),
    /// Remove the key, if it is there.
    Remove(Table, String),
    /// Remove every key of the table but those that the same change puts into it, afterwards.
    Clear(Table),
}

impl Step {
    /// Size of key and value, in bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Put(_, key, value) => key.len() + value.len(),
            Self::Remove(_, key) => key.len(),
            Self::Clear(_) => 0,
        }
    }
}

/// What a change comes to. All steps are made, or none.
pub(super) fn steps(change: &Change) -> Vec<Step> {
    let mut steps = Vec::new();
    match change {
        Change::Admit(id, info) => {
            steps.push(put(Table::Agents, id, bytes(&**info)));
            steps.push(remove(Table::Unreachable, id));
        }
        Change::Unreachable(id, since) => {
            steps.push(remove(Table::Agents, id));
            steps.push(put(Table::Unreachable, id, since.to_be_bytes().to_vec()));
        }
        Change::Remove(id) => forget(&mut steps, id),
        Change::Forget(ids) => {
            for id in ids {
                for table in [Table::Unreachable, Table::Drains, Table::Deactivated] {
                    steps.push(remove(table, id));
                }
            }
        }
        Change::Gone(id, at) => {
            forget(&mut steps, id);
            steps.push(put(Table::Gone, id, at.to_be_bytes().to_vec()));
        }
        Change::ForgetGone(ids) => {
            steps.extend(ids.iter().map(|id| remove(Table::Gone, id)));
        }
        Change::Drain(id, drain, deactivated) => {
            steps.push(match drain {
                Some(drain) => put(Table::Drains, id, bytes(drain)),
                None => remove(Table::Drains, id),
            });
            steps.push(if *deactivated {
                put(Table::Deactivated, id, Vec::new())
            } else {
                remove(Table::Deactivated, id)
            });
        }
        Change::Quotas(quotas) => {
            steps.extend(quotas.iter().map(|(role, quota)| match quota {
                Some(quota) => Step::Put(Table::Quotas, role.clone(), bytes(quota)),
                None => Step::Remove(Table::Quotas, role.clone()),
            }));
        }
        Change::Weights(weights) => {
            steps.push(Step::Put(Table::Facts, WEIGHTS.to_owned(), Vec::new()));
            steps.extend(weights.iter().map(|(role, weight)| {
                Step::Put(Table::Weights, role.clone(), weight.to_be_bytes().to_vec())
            }));
        }
        Change::Maintenance {
            schedule,
            machines,
            removed,
        } => {
            for id in removed {
                forget(&mut steps, id);
            }
            steps.push(match schedule {
                Some(schedule) => Step::Put(Table::Facts, SCHEDULE.to_owned(), bytes(schedule)),
                None => Step::Remove(Table::Facts, SCHEDULE.to_owned()),
            });
            steps.push(Step::Clear(Table::Machines));
            let mut buckets: BTreeMap<u32, Bucket> = BTreeMap::new();
            for (key, machine) in machines {
                buckets
                    .entry(bucket(key))
                    .or_default()
                    .machines
                    .push(bytes(machine));
            }
            steps.extend(buckets.into_iter().map(|(name, bucket)| {
                Step::Put(
                    Table::Machines,
                    format!("{name:02x}"),
                    bucket.encode_to_vec(),
                )
            }));
        }
        Change::Leader(info) => {
            steps.push(Step::Put(Table::Facts, MASTER.to_owned(), bytes(&**info)));
        }
    }
    steps
}

/// Nothing is left of the agent but that it may be gone.
fn forget(steps: &mut Vec<Step>, id: &AgentId) {
    for table in [
        Table::Agents,
        Table::Unreachable,
        Table::Drains,
        Table::Deactivated,
    ] {
        steps.push(remove(table, id));
    }
}

fn put(table: Table, id: &AgentId, value: Vec<u8>) -> Step {
    Step::Put(table, id.as_str().to_owned(), value)
}

fn remove(table: Table, id: &AgentId) -> Step {
    Step::Remove(table, id.as_str().to_owned())
}

fn bytes<M: WireMessage>(message: &M) -> Vec<u8> {
    mesos_wire::encode(Encoding::Protobuf, message)
}

/// Machines whose ids come to the same bucket, each a `MachineInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct Bucket {
    #[prost(bytes = "vec", repeated, tag = "1")]
    machines: Vec<Vec<u8>>,
}

fn bucket(key: &MachineKey) -> u32 {
    crc32fast::hash(format!("{} {}", key.ip, key.hostname).as_bytes()) & 0xff
}

/// Takes a stored entry into the registry.
///
/// # Errors
/// Why it does not read.
pub(super) fn read(
    registry: &mut Registry,
    table: Table,
    key: String,
    value: &[u8],
) -> Result<(), String> {
    match table {
        Table::Agents => {
            registry.agents.insert(AgentId::from(key), message(value)?);
        }
        Table::Drains => {
            registry.drains.insert(AgentId::from(key), message(value)?);
        }
        Table::Deactivated => {
            registry.deactivated.insert(AgentId::from(key));
        }
        Table::Unreachable => {
            let since = i64::from_be_bytes(eight(value)?);
            registry.unreachable.insert(AgentId::from(key), since);
        }
        Table::Gone => {
            let at = i64::from_be_bytes(eight(value)?);
            registry.gone.insert(AgentId::from(key), at);
        }
        Table::Quotas => {
            registry.quotas.insert(key, message(value)?);
        }
        Table::Weights => {
            let weight = f64::from_be_bytes(eight(value)?);
            registry.weights.get_or_insert_default().insert(key, weight);
        }
        Table::Machines => {
            let bucket = Bucket::decode(value).map_err(|error| error.to_string())?;
            for machine in &bucket.machines {
                let machine: MachineInfo = message(machine)?;
                registry
                    .machines
                    .insert(MachineKey::from(&machine.id), machine);
            }
        }
        Table::Facts => match key.as_str() {
            MASTER => registry.master = Some(message(value)?),
            SCHEDULE => registry.schedule = Some(message(value)?),
            WEIGHTS => {
                registry.weights.get_or_insert_default();
            }
            _ => return Err("this release does not know it".to_owned()),
        },
    }
    Ok(())
}

fn message<M: WireMessage>(value: &[u8]) -> Result<M, String> {
    mesos_wire::decode(Encoding::Protobuf, value).map_err(|error| error.to_string())
}

fn eight(value: &[u8]) -> Result<[u8; 8], String> {
    <[u8; 8]>::try_from(value).map_err(|_| format!("{} bytes instead of 8", value.len()))
}
