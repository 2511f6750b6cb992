//! The master as a library: it admits agents, divides resources, forwards tasks, and keeps almost nothing.
//!
//! - [`state`]: what it knows, as immutable records that readers get whole ([`state::Snapshot`]).
//! - [`core`]: the only code that changes it: an event goes in, changes and effects come out, no I/O.
//! - [`validation`]: checks of what comes from outside.
//! - [`registry`]: the durable list of admitted agents.

#![forbid(unsafe_code)]

pub mod clock;
pub mod config;
pub mod core;
pub mod counters;
pub mod registry;
pub mod state;
pub mod validation;
