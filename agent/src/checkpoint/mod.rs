//! What the agent must remember: one append-only journal of keyed values beside `slave.info`.
//!
//! Crash consistency: a [`Batch`] is appended by one `write(2)` before any effect that depends on it is
//! carried out, so it survives `kill -9` of the agent at any instruction (the page cache belongs to the
//! kernel). Within a batch every [`Frame`](journal) is taken whole or not at all, and a batch that was
//! cut off loses only its end. Nothing is synced to the disk: after a power loss the boot id differs,
//! and every container that the journal names is gone anyway. Only the agent's id ([`identity`]), its
//! reservations, volumes and operations ([`resources`], a journal of their own) survive power loss.
//!
//! The journal lies in `meta/slaves/<agent id>/journal`, so that removing `meta/slaves/latest` makes the
//! agent start without memory.

mod error;
mod fence;
pub mod identity;
mod image;
mod journal;
mod key;
mod lock;
mod record;
pub mod resources;

pub use error::CheckpointError;
pub use fence::Fence;
pub use image::{Image, LostRecord};
pub use journal::{Batch, Change, Journal, Opened};
pub use key::Key;
pub use lock::Lock;
pub use record::{
    AgentRecord, DrainRecord, ExecutorRecord, IntentRecord, KillRecord, TaskRecord, UpdateRecord,
};
pub use resources::{OperationRecord, ResourceImage};
