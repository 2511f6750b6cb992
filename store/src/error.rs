//! What can go wrong with a store.
use std::{io, path::PathBuf};

/// Why a store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds it.
    #[error("{path} is in use by {}; stop it, or give this daemon another work_dir", holder(.pid))]
    Locked {
        /// The store's file.
        path: PathBuf,
        /// The owner's pid, when it could be read.
        pid: Option<u32>,
    },
    /// Written by a newer release.
    #[error(
        "{path} has format {found}, this release reads up to {known}; start the newer release again, \
         or move the file away to begin with an empty one"
    )]
    Newer {
        /// The store's file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that is known.
        known: u32,
    },
    /// Not a store of ours, or damaged.
    #[error(
        "{path} is not a store of this daemon or is damaged: {reason}; move it away to begin with an empty one"
    )]
    Damaged {
        /// The store's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database refused.
    #[error("cannot {action} {path}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// The store's file.
        path: PathBuf,
        /// What the database said.
        source: Box<redb::Error>,
    },
    /// The writer has ended.
    #[error("the writer of {path} has ended")]
    Ended {
        /// The store's file.
        path: PathBuf,
    },
}

fn holder(pid: &Option<u32>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}
