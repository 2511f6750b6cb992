//! The agent: launches tasks in containers, remembers them over restarts, tells the master.
//!
//! [`Agent::start`] puts the parts together; [`core`] decides, everything else does. Readers take
//! [`state::AgentState`] from [`Agent::snapshots`].

#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod config;
mod control;
pub mod core;
mod driver;
mod effects;
mod executor_api;
pub mod files;
mod garbage;
mod leftovers;
mod legacy;
pub mod metrics;
pub mod operator;
pub mod sandbox;
mod startup;
pub mod state;
mod volumes;

pub use config::AgentConfig;
pub use core::Exit;
pub use driver::{Agent, Parts};
pub use executor_api::Executors;
pub use operator::ReadSide;
pub use startup::{Loaded, StartError, load};
pub use state::{AgentState, Snapshots};
