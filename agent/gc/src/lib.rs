//! Removes directories of ended executors and frameworks: when they are old enough, and earlier
//! the fuller the disk is.
//!
//! - Only what lies below `slaves` or `meta/slaves` of the work_dir is ever taken; never a
//!   persistent volume, and nothing through a symbolic link or a mount.
//! - Age counts from the directory's modification time, so it survives a restart of the agent.
//! - A removal that fails is tried again.
//!
//! Behaviour: `slave/gc.cpp` of Apache Mesos 1.11, which never tries again.

#![forbid(unsafe_code)]

mod age;
mod collector;
mod remove;

pub use age::max_allowed_age;
pub use collector::{Gc, GcConfig, NotCollectable, Statistics};
pub use remove::{RemoveError, remove_tree};
