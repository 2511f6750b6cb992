//! What black-box tests need: clusters of the real binaries, clients that see bytes, polling.
//!
//! Everything here blocks and panics: it is for tests, and a panic is how a test fails. Nothing
//! here uses the project's own codecs, so that a mistake in them cannot hide itself.

#![forbid(unsafe_code)]

pub mod cluster;
pub mod docker;
pub mod executables;
pub mod framework;
pub mod ha;
pub mod http;
pub mod loopback;
pub mod machine;
pub mod relay;
pub mod scheduler;
pub mod task;
pub mod wait;
pub mod zookeeper;

mod daemon;

pub use cluster::{Builder, TestCluster};
pub use framework::Framework;
pub use ha::HaCluster;
pub use scheduler::Scheduler;
pub use wait::{wait_for, wait_until};
pub use zookeeper::ZooKeeper;
