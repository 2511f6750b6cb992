//! The registry: which agents were admitted, and which of them are unreachable or gone.
//!
//! One key per agent, so that admitting one costs the same however many there are. Tables:
//! `agents` (id -> AgentInfo, protobuf), `unreachable` (id -> nanoseconds since 1970, 8 bytes big endian),
//! `gone` (the same).
use std::{collections::BTreeMap, path::Path, sync::Arc};

use mesos_store::{Batch, Committed, Store, StoreError, Writer};
use mesos_types::AgentId;
use mesos_wire::{Encoding, v1::AgentInfo};

/// Version of the form described above.
const FORMAT: u32 = 1;
const AGENTS: &str = "agents";
const UNREACHABLE: &str = "unreachable";
const GONE: &str = "gone";

/// What is known of agents when a master starts.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// Admitted.
    pub agents: BTreeMap<AgentId, AgentInfo>,
    /// Unreachable, and since when (nanoseconds since 1970).
    pub unreachable: BTreeMap<AgentId, i64>,
    /// Removed for good, and when.
    pub gone: BTreeMap<AgentId, i64>,
}

/// A change of the registry.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The agent is admitted (again): no longer unreachable.
    Admit(AgentId, Box<AgentInfo>),
    /// The agent is unreachable since then.
    Unreachable(AgentId, i64),
    /// The agent left or was replaced; it may come back as a new one.
    Remove(AgentId),
    /// These unreachable agents are forgotten.
    Forget(Vec<AgentId>),
}

/// Why the registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry does not read.
    #[error("{path}: the entry of agent {id} in `{table}` does not read: {reason}")]
    Entry {
        /// The store.
        path: String,
        /// The agent.
        id: String,
        /// The table.
        table: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Writes changes, durably or not at all.
#[derive(Debug)]
pub enum Registrar {
    /// Nothing is kept.
    InMemory,
    /// In the embedded store.
    Store(Writer),
}

impl Registrar {
    /// Opens the store and reads all of it. Blocks on the disk.
    ///
    /// # Errors
    /// The store cannot be opened, or holds what does not read.
    pub fn open(path: &Path) -> Result<(Self, Registry), RegistryError> {
        let store = Store::open(path, FORMAT)?;
        let registry = read(&store)?;
        Ok((Self::Store(Writer::start(store)?), registry))
    }

    /// Queues a change; the receiver tells when it is on the disk. `None`: there is nothing to wait for.
    ///
    /// # Errors
    /// The writer was lost.
    pub fn write(&self, change: &Change) -> Result<Option<Committed>, StoreError> {
        match self {
            Self::InMemory => Ok(None),
            Self::Store(writer) => writer.write(batch(change)).map(Some),
        }
    }
}

fn batch(change: &Change) -> Batch {
    let batch = Batch::new();
    match change {
        Change::Admit(id, info) => batch
            .put(
                AGENTS,
                id.as_str(),
                mesos_wire::encode(Encoding::Protobuf, &**info),
            )
            .remove(UNREACHABLE, id.as_str()),
        Change::Unreachable(id, since) => {
            batch
                .remove(AGENTS, id.as_str())
                .put(UNREACHABLE, id.as_str(), since.to_be_bytes())
        }
        Change::Remove(id) => batch
            .remove(AGENTS, id.as_str())
            .remove(UNREACHABLE, id.as_str()),
        Change::Forget(ids) => ids
            .iter()
            .fold(batch, |batch, id| batch.remove(UNREACHABLE, id.as_str())),
    }
}

fn read(store: &Store) -> Result<Registry, RegistryError> {
    let bad = |table, id: &str, reason: String| RegistryError::Entry {
        path: store.path().display().to_string(),
        id: id.to_owned(),
        table,
        reason,
    };
    let mut registry = Registry::default();
    for (id, bytes) in store.read(AGENTS)? {
        let info = mesos_wire::decode(Encoding::Protobuf, &bytes)
            .map_err(|error| bad(AGENTS, &id, error.to_string()))?;
        registry.agents.insert(AgentId::from(id), info);
    }
    for (table, into) in [
        (UNREACHABLE, &mut registry.unreachable),
        (GONE, &mut registry.gone),
    ] {
        for (id, bytes) in store.read(table)? {
            let bytes = <[u8; 8]>::try_from(bytes.as_slice())
                .map_err(|_| bad(table, &id, format!("{} bytes instead of 8", bytes.len())))?;
            into.insert(AgentId::from(id), i64::from_be_bytes(bytes));
        }
    }
    Ok(registry)
}

/// What a committed change answers with.
pub type Outcome = Result<(), Arc<StoreError>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn info(id: &str) -> AgentInfo {
        AgentInfo {
            hostname: "h".to_owned(),
            id: Some(id.into()),
            ..AgentInfo::default()
        }
    }

    #[test]
    fn agents_are_there_after_a_restart_as_they_were_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry");
        let (registrar, empty) = Registrar::open(&path).unwrap();
        assert!(empty.agents.is_empty() && empty.unreachable.is_empty());
        for id in ["a", "b", "c", "d"] {
            let change = Change::Admit(id.into(), Box::new(info(id)));
            registrar
                .write(&change)
                .unwrap()
                .unwrap()
                .blocking_recv()
                .unwrap()
                .unwrap();
        }
        for change in [
            Change::Unreachable("b".into(), 7),
            Change::Unreachable("c".into(), 8),
            Change::Admit("c".into(), Box::new(info("c"))),
            Change::Remove("d".into()),
        ] {
            registrar.write(&change).unwrap();
        }
        drop(registrar);
        let (registrar, registry) = Registrar::open(&path).unwrap();
        let ids: Vec<_> = registry.agents.keys().map(AgentId::as_str).collect();
        assert_eq!(ids, ["a", "c"]);
        assert_eq!(registry.agents["a"], info("a"));
        assert_eq!(registry.unreachable, BTreeMap::from([("b".into(), 7)]));
        registrar.write(&Change::Forget(vec!["b".into()])).unwrap();
        drop(registrar);
        assert!(Registrar::open(&path).unwrap().1.unreachable.is_empty());
    }
}
