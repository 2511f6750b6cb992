//! The master daemon: flags become a configuration, the master runs until it is told to stop.

#![forbid(unsafe_code)]

mod configure;

use std::process::ExitCode;

use mesos_flags::{Input, MasterFlags, Notice, Start, logging::LogSeverity};
use mesos_http::logging::LogLevel;
use mesos_logging::Threshold;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Records are made on one thread and freed on others all the time; the allocator of the C library keeps a
/// heap for each and grew by half over hours of offers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As many open files as this process may have: every agent and client takes one.
fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(hard)
    });
    match raised {
        Ok(files) if files < FEW_FILES => {
            tracing::info!(
                files,
                "more agents and clients than open files cannot be served"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
}

/// Open files below which a big cluster would notice.
const FEW_FILES: u64 = 65_536;

/// How the process ends.
#[derive(Debug, Clone, Copy)]
enum Exit {
    /// Told to, or nothing more to do.
    Done = 0,
    /// The flags cannot be used.
    Flags = 1,
    /// The port, the registry or the like cannot be had.
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
    let (flags, notices) = match MasterFlags::load(&Input::from_process()) {
        Ok(Start::Print(text)) => {
            println!("{text}");
            return Exit::Done.into();
        }
        Ok(Start::Run(flags, notices)) => (flags, notices),
        Err(error) => return fail("the flags cannot be used", &error, Exit::Flags),
    };
    let config = match configure::config(&flags) {
        Ok(config) => config,
        Err(error) => return fail("the flags cannot be used", &*error, Exit::Flags),
    };
    let threshold = match (flags.logging.quiet, flags.logging.level) {
        (true, _) => Threshold::Nothing,
        (false, LogSeverity::Error) => Threshold::Error,
        (false, LogSeverity::Warning) => Threshold::Warning,
        (false, LogSeverity::Info) => Threshold::Info,
    };
    let log_dir = flags.logging.log_dir.as_deref();
    let verbosity = match mesos_logging::start("master", threshold, log_dir) {
        Ok(verbosity) => verbosity,
        Err(error) => return fail("cannot log", &error, Exit::Start),
    };
    let level = LogLevel::new(0, move |level| verbosity.set(level));
    for notice in notices {
        match notice {
            Notice::Info(text) => tracing::info!("{text}"),
            Notice::Warning(text) => tracing::warn!("{text}"),
        }
    }
    raise_open_files();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail("cannot start the runtime", &error, Exit::Start),
    };
    runtime.block_on(run(config, level)).into()
}

async fn run(config: mesos_master::MasterConfig, level: mesos_http::logging::LogLevel) -> Exit {
    let stop = CancellationToken::new();
    // Before anybody can know that we are here, or the first signal would simply kill us.
    let signals = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            fail("cannot listen for signals", &error, Exit::Start);
            return Exit::Start;
        }
    };
    let running = match mesos_master::start(config, level, stop.clone()).await {
        Ok(running) => running,
        Err(error) => {
            fail("the master cannot start", &error, Exit::Start);
            return Exit::Start;
        }
    };
    // On stderr whatever the log's settings are: scripts wait for this line.
    eprintln!("listening on {}", running.address);
    let told = stop.clone();
    tokio::spawn(async move {
        // SIGTERM and SIGINT end the master in order; tasks run on.
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
        told.cancel();
    });
    match running.wait().await {
        Ok(()) => Exit::Done,
        Err(error) => {
            fail("the master cannot go on", &error, Exit::Broken);
            Exit::Broken
        }
    }
}

/// Prints an error with its causes.
fn fail(what: &str, error: &dyn std::error::Error, exit: Exit) -> ExitCode {
    let mut text = format!("master: {what}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    eprintln!("{text}");
    exit.into()
}
