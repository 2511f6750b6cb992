//! Containers on the real kernel. Needs root and a cgroup hierarchy with cpu, memory and (v1) freezer.
//!
//! Each test has a cgroup root and directories of its own, and checks when it ends that nothing of
//! it is left: no cgroup, process, mount or file.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy.toml does not see as such"
)]

mod crash;
mod destroy;
mod end;
mod guest;
mod host;
mod isolation;
mod launch;
mod recovery;
mod volumes;
