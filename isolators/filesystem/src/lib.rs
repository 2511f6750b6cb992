//! The isolators of the `filesystem/*` family, a file each.

#![forbid(unsafe_code)]

mod linux;
mod persistent;
mod posix;
mod volume;

pub use linux::LinuxFilesystem;
pub use posix::PosixFilesystem;
