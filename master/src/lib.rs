//! The master as a library: it admits agents, divides resources, forwards tasks, and keeps almost nothing.
//!
//! - [`state`]: what it knows, as immutable records that readers get whole ([`state::Snapshot`]).
//! - [`core`]: the only code that changes it: an event goes in, changes and effects come out, no I/O.
//! - [`validation`]: checks of what comes from outside.
//! - [`owner`], [`handle`]: the task that owns the core, and the way to it for the endpoints.
//! - [`scheduler`], [`control`]: frameworks over HTTP, agents over gRPC; [`serve`] puts it on a port.
//! - [`reading`]: the operator API and the older endpoints, from the newest state alone.
//! - [`registry`]: what outlives every master.
//! - [`leadership`], [`candidate`]: who leads, and how this master comes to.

#![forbid(unsafe_code)]

pub mod candidate;
pub mod clock;
pub mod config;
pub mod constraints;
pub mod control;
pub mod core;
pub mod counters;
pub mod handle;
pub mod leadership;
mod legacy;
mod metrics;
mod operator;
pub mod owner;
pub mod reading;
pub mod registry;
mod roles;
pub mod scheduler;
pub mod serve;
pub mod state;
pub mod validation;
mod whitelist;

pub use config::MasterConfig;
pub use handle::Handle;
pub use serve::{Running, StartError, start};
