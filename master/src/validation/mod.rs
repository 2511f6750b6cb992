//! Checks of what comes from outside, before it touches any state.

pub mod agent;
pub mod call;
pub mod container;
pub mod framework;
pub mod health;
pub mod resources;
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

/// A check's outcome.
pub type Validity = Result<(), Invalid>;

/// `Ok` when `holds`, else the text.
pub(crate) fn require(holds: bool, text: impl FnOnce() -> String) -> Validity {
    if holds { Ok(()) } else { Err(Invalid(text())) }
}
