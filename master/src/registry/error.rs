//! What can go wrong with the registry.
use mesos_store::StoreError;

/// Why the registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry does not read.
    #[error("{place}: the entry `{key}` of `{table}` does not read: {reason}")]
    Entry {
        /// The file, or the path in ZooKeeper.
        place: String,
        /// The entry.
        key: String,
        /// Its table.
        table: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Why a change was not kept. Whoever asked for it must not act on it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// Another master leads and has taken the registry over: this one must step down.
    #[error("another master has taken over the registry at {place}: {by}")]
    Fenced {
        /// The path in ZooKeeper.
        place: String,
        /// The other master, as it noted itself.
        by: String,
    },
    /// The store did not take the change in time; whether it is kept will only be known to the next
    /// leader. Nothing more is written.
    #[error("the registry at {place} could not be written for {seconds} s: {reason}")]
    Unavailable {
        /// The path in ZooKeeper.
        place: String,
        /// How long it was tried.
        seconds: u64,
        /// What went wrong last.
        reason: String,
    },
    /// The store refused for good.
    #[error("cannot write to the registry at {place}: {reason}")]
    Refused {
        /// The file, or the path in ZooKeeper.
        place: String,
        /// Why.
        reason: String,
    },
    /// The writer has ended.
    #[error("the writer of the registry at {place} has ended")]
    Ended {
        /// The file, or the path in ZooKeeper.
        place: String,
    },
}
