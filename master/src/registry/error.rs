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
    /// Another form than this release writes.
    #[error("the registry at {place} has format {found}, this release reads {known}; {remedy}")]
    Format {
        /// The path in ZooKeeper.
        place: String,
        /// Its format.
        found: u32,
        /// The format of this release.
        known: u32,
        /// What to do.
        remedy: String,
    },
    /// What is there was not written by a master, or something is missing.
    #[error(
        "the registry at {place} is damaged: {reason}; restore it from a backup, or remove {place} to begin \
         with an empty one"
    )]
    Damaged {
        /// The path in ZooKeeper.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Another master was elected after this one: this one must not lead.
    #[error("the registry at {place} belongs to a later leader: {by}")]
    Fenced {
        /// The path in ZooKeeper.
        place: String,
        /// The other master, as it noted itself.
        by: String,
    },
    /// ZooKeeper refuses what is asked, now and later.
    #[error("ZooKeeper refuses to {action} {path}: {reason}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: String,
        /// Why.
        reason: String,
    },
    /// ZooKeeper could not be reached, or did not answer, for as long as it may take.
    #[error("the registry at {place} could not be read within {seconds} s: {reason}")]
    Unavailable {
        /// The path in ZooKeeper.
        place: String,
        /// How long it was tried.
        seconds: u64,
        /// What went wrong last.
        reason: String,
    },
}

/// Why a change was not kept. Whoever asked for it must not act on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Another master leads and has taken the registry over: this one must step down.
    #[error("the registry at {place} was taken over by another master: {by}")]
    Fenced {
        /// The path in ZooKeeper.
        place: String,
        /// The other master, as it noted itself.
        by: String,
    },
    /// The store did not take the change in time; whether it is kept, only the next leader will know. The
    /// writer has ended.
    #[error("the registry at {place} could not be written for {seconds} s: {reason}")]
    Unavailable {
        /// The path in ZooKeeper.
        place: String,
        /// How long it was tried.
        seconds: u64,
        /// What went wrong last.
        reason: String,
    },
    /// The store refused for good. The writer of ZooKeeper has ended.
    #[error("cannot write to the registry at {place}: {reason}")]
    Refused {
        /// The file, or the path in ZooKeeper.
        place: String,
        /// Why.
        reason: String,
    },
    /// The change is larger than any change may be. Nothing was written; the writer goes on.
    #[error("a change of the registry of {size} bytes is more than the {limit} that are allowed")]
    TooLarge {
        /// Keys and values of the change, in bytes.
        size: usize,
        /// The most, in bytes.
        limit: usize,
    },
    /// The writer has ended.
    #[error("the writer of the registry at {place} has ended")]
    Ended {
        /// The file, or the path in ZooKeeper.
        place: String,
    },
}
