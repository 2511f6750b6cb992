//! Sessions as data: fake frameworks and agents, a clock that is moved, and no I/O.

mod agents;
mod frameworks;
mod maintenance;
mod offers;
pub(crate) mod operations;
mod operators;
mod random;
mod removals;
mod service;
mod settings;
mod tasks;
mod validation;
pub(crate) mod world;
