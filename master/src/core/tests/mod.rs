//! Sessions as data: fake frameworks and agents, a clock that is moved, and no I/O.

mod agents;
mod frameworks;
mod offers;
mod random;
mod tasks;
mod validation;
pub(crate) mod world;
