//! What the master knows: immutable records behind `Arc`, in maps that share structure, published as a [`Snapshot`].
//!
//! Only the master's owner task changes them; it clones the record it changes and leaves the rest alone,
//! so a reader's snapshot costs a few counters and never makes the writer wait.

mod agent;
mod change;
mod encoded;
mod framework;
mod inverse_offer;
mod offer;
mod operation;
mod settings;
mod shown;
mod snapshot;
mod task;

pub use agent::{Agent, Deactivation, RecoveredAgent, UnreachableAgent};
pub use change::Change;
pub use framework::{Executor, Framework, Standing, Subscription};
pub use inverse_offer::{InverseOffer, Planned};
pub use offer::Offer;
pub(crate) use offer::agent_url;
pub use operation::Operation;
pub use settings::Settings;
pub use shown::Shown;
pub use snapshot::{Identity, Published, Snapshot};
pub use task::{Task, TaskKey, is_terminal_operation};

/// Seconds since 1970 with fractions, wall clock: the form of every time on the wire.
pub type WallTime = f64;
