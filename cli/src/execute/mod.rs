//! `mesos execute`: a framework with one task that lives as long as the task.

mod args;
mod run;
mod task;

pub use args::ExecuteArgs;
pub use run::execute;
