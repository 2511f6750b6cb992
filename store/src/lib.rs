//! Durable key-value store of a daemon: tables of bytes in one file, each commit on disk before it is answered.
//!
//! - [`Store`] is the file: it opens, checks the format version, is locked by its owner's pid, reads.
//! - [`Writer`] is the way to change it: a thread that commits everything that waits in one transaction.
//!
//! Crash consistency: a commit is atomic and survives power loss (redb syncs the file before the commit
//! returns); a batch is answered after its commit, so what was answered is never lost, and a batch that
//! was not answered is there wholly or not at all.

#![forbid(unsafe_code)]

mod batch;
mod error;
mod lock;
mod store;
mod writer;

pub use batch::Batch;
pub use error::StoreError;
pub use store::Store;
pub use writer::{Committed, Writer};
