//! Checks of what comes from outside, before it touches any state.

pub mod agent;
pub mod call;
pub mod container;
pub mod framework;
pub mod health;
pub mod maintenance;
pub mod operation;
pub mod quota;
pub mod resources;
pub mod role;
pub mod task;

/// Why something is refused, in words for whoever sent it. Nothing decides by reading them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// Says it in words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The same with its place in front.
    #[must_use]
    pub fn within(self, place: &str) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

/// Largest FrameworkInfo, in bytes of protobuf: it goes to agents with each of the framework's tasks.
pub const FRAMEWORK_BYTES: usize = 512 << 10;
/// Largest task, and largest message between a framework and its executor, in bytes of protobuf. With the
/// FrameworkInfo it must fit into one message of the control stream, of which an agent takes 64 MiB and a master
/// 16 MiB.
pub const TASK_BYTES: usize = 16 << 20;

/// A check's outcome.
pub type Validity = Result<(), Invalid>;

/// `Ok` when `holds`, else the text.
pub(crate) fn require(holds: bool, text: impl FnOnce() -> String) -> Validity {
    if holds { Ok(()) } else { Err(Invalid(text())) }
}
