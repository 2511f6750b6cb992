//! Why a checkpoint cannot be read or written.

use std::{io, path::PathBuf};

/// A checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another agent has this work_dir.
    #[error(
        "{} is in use by {}; every agent on a host needs a --work_dir of its own",
        path.display(),
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The lock's file.
        path: PathBuf,
        /// Who holds it, when that can be read.
        pid: Option<u32>,
    },
    /// Not a journal of ours.
    #[error(
        "{} is not a journal of this agent; move it away to start without it (running containers are then not taken back)",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer release.
    #[error(
        "{} has format {found}, and this release reads up to {known}; start the newer release again, or remove the link meta/slaves/latest to start as a new agent",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// What this release knows.
        known: u32,
    },
    /// Bytes in the middle are not what was written.
    #[error(
        "{} is damaged at byte {offset} of {length}; start with --no-strict to go on with what is before it, or remove the link meta/slaves/latest to start as a new agent",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage starts.
        offset: u64,
        /// How long the file is.
        length: u64,
    },
    /// Reservations and volumes cannot be read.
    #[error(
        "{} does not tell the agent's reservations and volumes: {problem}; to go on without them, move it away (what is in volumes stays, below `volumes` of the work_dir)",
        path.display()
    )]
    Resources {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// `slave.info` does not hold an agent.
    #[error(
        "{} does not hold an agent's description; remove the link meta/slaves/latest to start as a new agent",
        path.display()
    )]
    Identity {
        /// The file.
        path: PathBuf,
    },
}

impl CheckpointError {
    /// Adds what was tried, on which file.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
