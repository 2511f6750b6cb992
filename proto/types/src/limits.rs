//! Upper bounds on what a container may use, apart from what it asked for.

use crate::Scalar;

/// An upper bound on one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitValue {
    /// No bound at all.
    Infinite,
    /// CPUs, or MiB of memory.
    Finite(Scalar),
}

/// Upper bounds that differ from the requests (`TaskInfo.limits`); `None`: none was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPUs.
    pub cpus: Option<LimitValue>,
    /// Memory in MiB.
    pub mem: Option<LimitValue>,
}
