//! What the core does, event by event.

mod commands;
mod executors;
mod restarts;
mod sessions;
