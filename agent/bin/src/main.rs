//! The agent daemon: flags become parts, the agent runs until it is told to stop.

#![forbid(unsafe_code)]

mod containers;
mod run;

use std::process::ExitCode;

use mesos_flags::{AgentFlags, FlagError, Input, Notice, Start, logging::LogSeverity};
use mesos_http::logging::LogLevel;
use mesos_isolator_linux::process::raise_open_files;
use mesos_logging::Threshold;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Told to, or nothing more to do.
    Done = 0,
    /// The flags cannot be used.
    Flags = 1,
    /// The port, the checkpoints or the like cannot be had.
    Start = 2,
    /// It ran and cannot go on.
    Broken = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

fn main() -> ExitCode {
    let (flags, notices) = match AgentFlags::load(&Input::from_process()) {
        Ok(Start::Print(text)) => {
            println!("{text}");
            return Exit::Done.into();
        }
        Ok(Start::Run(flags, notices)) => (*flags, notices),
        Err(error) => return flags_fail(&error),
    };
    let threshold = match (flags.logging.quiet, flags.logging.level) {
        (true, _) => Threshold::Nothing,
        (false, LogSeverity::Error) => Threshold::Error,
        (false, LogSeverity::Warning) => Threshold::Warning,
        (false, LogSeverity::Info) => Threshold::Info,
    };
    let verbosity = match mesos_logging::start("agent", threshold, flags.logging.log_dir.as_deref())
    {
        Ok(verbosity) => verbosity,
        Err(error) => return fail("cannot log", &error, Exit::Start).into(),
    };
    for notice in notices {
        match notice {
            Notice::Info(text) => tracing::info!("{text}"),
            Notice::Warning(text) => tracing::warn!("{text}"),
        }
    }
    let level = LogLevel::new(0, move |level| verbosity.set(level));
    match raise_open_files() {
        Ok(limit) => tracing::debug!(limit, "files this agent may have open"),
        Err(error) => {
            tracing::warn!(%error, "cannot raise the number of open files; an agent has about eight per container")
        }
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail("cannot start the runtime", &error, Exit::Start).into(),
    };
    let exit = match runtime.block_on(run::run(flags, level)) {
        Ok(exit) => exit,
        Err(error) => fail("cannot start", &error, Exit::Start),
    };
    // Calls to engines and the like that nobody waits for any more.
    runtime.shutdown_background();
    exit.into()
}

fn flags_fail(error: &FlagError) -> ExitCode {
    fail("the flags cannot be used", error, Exit::Flags).into()
}

/// Prints an error with its causes.
fn fail(what: &str, error: &dyn std::error::Error, exit: Exit) -> Exit {
    let mut text = format!("agent: {what}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(&format!(": {more}"));
        }
        cause = error.source();
    }
    eprintln!("{text}");
    exit
}
