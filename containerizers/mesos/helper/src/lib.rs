//! What the agent tells `mesos-containerizer`, and what the two say to each other while a
//! container starts.
//!
//! The agent keeps one `mesos-containerizer serve` with a socket (seqpacket) as its standard input. For
//! a container it writes a [`Launch`] to `launch_info` in the container's runtime directory, and
//! sends the path of that file with one end of a new stream socket. From then on the lines of
//! [`Report`] come over that one and [`RELEASE`] goes to it. When the agent's end closes before
//! that, the container ends without having run anything. The other end is closed by the exec of
//! the task, so its end of file means that it runs.

#![forbid(unsafe_code)]

mod launch;
mod report;

pub use launch::{DecodeError, Launch, MountStep};
pub use report::{RELEASE, Report};

/// The helper's argument to wait for launches.
pub const SERVE: &str = "serve";
/// Name of the file with the [`Launch`], in the container's runtime directory.
pub const LAUNCH_INFO: &str = "launch_info";
/// Name of the file with the first process's pid, start time and boot id, a line each.
pub const PID: &str = "pid";
/// Name of the file with the raw wait status of the task as text, see [`RELEASED`].
pub const STATUS: &str = "status";
/// What [`STATUS`] holds from the task's release until its end; empty before.
pub const RELEASED: &[u8] = b"r";
