//! The flag syntax of Mesos daemons, the flags of agent and master, and where their values come from.
//!
//! Each flag is declared once, in [`agent::TABLE`] or [`master::TABLE`]; help, documentation, parsing and
//! `/flags` follow from there. [`AgentFlags::load`] and [`MasterFlags::load`] give typed values.

pub mod agent;
mod agent_table;
mod checks;
pub mod detect;
mod error;
mod etc;
mod help;
mod load;
pub mod logging;
pub mod master;
mod master_table;
pub mod network;
pub mod table;
mod value;

pub use agent::AgentFlags;
pub use error::{FlagError, Source};
pub use help::{COMPATIBLE, reference, usage, version};
pub use load::{Input, Notice, Start};
pub use master::MasterFlags;
pub use value::Value;
