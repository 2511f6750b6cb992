//! The isolators of the `namespaces/*` family, a file each.

#![forbid(unsafe_code)]

mod pid;

pub use pid::PidIsolator;
