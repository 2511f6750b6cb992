//! Containers from namespaces and cgroups, without a daemon.
//!
//! Start reading in `launch.rs`: the stages of a launch, and `lifecycle.rs`: what owns a container
//! from its launch to its end. Each container has a `mesos-containerizer` process of its own
//! that outlives the agent; all that a restarted agent needs is in the runtime directory and the kernel.

#![forbid(unsafe_code)]

mod container;
mod containerizer;
mod fork;
mod launch;
mod launcher;
mod lifecycle;
mod recover;
mod runtime_dir;
mod server;
mod settings;
mod teardown;
mod usage;
mod validate;

pub use containerizer::MesosContainerizer;
pub use launcher::Launcher;
pub use settings::{HelperNotFound, MesosSettings, find_helper};
