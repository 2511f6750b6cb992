//! What the core does, event by event.

mod commands;
mod drains;
mod executors;
mod operations;
mod restarts;
mod sessions;
