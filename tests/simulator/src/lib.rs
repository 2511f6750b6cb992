//! Simulated agents: thousands in one process, over few connections, against any master that speaks the
//! control protocol. They register, come back with snapshots, answer pings, "run" tasks and report them as
//! an agent would. What they do not have is containers, disks and HTTP.
//!
//! - [`Fleet`]: starts agents and counts what they do.
//! - [`Settings`]: how many, what they offer, how their tasks behave.
//! - [`Framework`]: a small scheduler for measurements.

#![forbid(unsafe_code)]

mod agent;
mod count;
mod fleet;
mod framework;
mod pool;
mod settings;
mod tasks;

pub use count::Counts;
pub use fleet::Fleet;
pub use framework::{Caller, Framework, FrameworkError, command_task};
pub use settings::{Settings, TaskLife};
