//! Safe doors to the kernel: cgroups, mounts, namespaces, processes. The home of `unsafe`.
//!
//! Everything here blocks at most for as long as the kernel needs (microseconds), takes its
//! roots as arguments so that a test can hand it a directory, and depends on no runtime.
#![expect(
    unsafe_code,
    reason = "the one library that may: each use argues its case"
)]

pub mod cgroup;
pub mod fd_passing;
pub mod hierarchies;
pub mod kill;
pub mod memory_events;
pub mod mountinfo;
pub mod mounts;
pub mod pidfd;
pub mod process;
pub mod signals;
pub mod spawn;
#[cfg(feature = "tokio")]
pub mod wait;

pub use cgroup::{Cgroup, CgroupError, Created};
pub use hierarchies::{CgroupVersion, Hierarchies};
pub use pidfd::PidFd;
pub use process::ProcessKey;

/// Uids, gids and the rest of what is safe already.
pub use nix;
