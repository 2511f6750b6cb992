//! Isolators that need no kernel facility: they measure, and the disk one may end a container.

#![forbid(unsafe_code)]

mod disk;
mod processes;
mod walker;

pub use disk::DiskUsage;
pub use processes::{PosixCpu, PosixMem};
