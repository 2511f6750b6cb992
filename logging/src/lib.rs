//! Where a daemon's log goes, and how much of it: stderr, and a file in `--log_dir` if there is one.

#![forbid(unsafe_code)]

use std::{
    fs::{self, File},
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    sync::Mutex,
};

use tracing_subscriber::{
    EnvFilter, Registry, fmt, layer::SubscriberExt as _, registry, reload,
    util::SubscriberInitExt as _,
};

/// The least that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// Nothing at all (`--quiet`).
    Nothing,
    /// Errors.
    Error,
    /// Warnings too.
    Warning,
    /// Changes of state too.
    Info,
}

impl Threshold {
    fn filter(self) -> &'static str {
        match self {
            Self::Nothing => "off",
            Self::Error => "error",
            Self::Warning => "warn",
            Self::Info => "info",
        }
    }
}

/// The log file cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the log file {path} of --log_dir")]
pub struct LogError {
    path: PathBuf,
    source: io::Error,
}

/// Changes how much is logged while the daemon runs.
#[derive(Debug, Clone)]
pub struct Verbosity {
    base: Threshold,
    reload: reload::Handle<EnvFilter, Registry>,
}

impl Verbosity {
    /// 0 is what the flags say, 1 adds debug events, more adds everything.
    pub fn set(&self, level: u32) {
        let filter = match level {
            0 => self.base.filter(),
            1 => "debug",
            _ => "trace",
        };
        if let Err(error) = self.reload.reload(EnvFilter::new(filter)) {
            tracing::error!(%error, "cannot change the log's level");
        }
    }
}

/// The file a daemon logs to in `--log_dir`, named as the log library of Mesos names it.
pub fn log_file(log_dir: &Path, daemon: &str) -> PathBuf {
    log_dir.join(format!("mesos-{daemon}.INFO"))
}

/// Starts logging for the process, once; `RUST_LOG` overrides the threshold.
///
/// # Errors
/// The folder or the file in `log_dir` cannot be made.
pub fn start(daemon: &str, base: Threshold, log_dir: Option<&Path>) -> Result<Verbosity, LogError> {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(base.filter()));
    let (filter, reload) = reload::Layer::new(filter);
    let file = log_dir
        .map(|dir| open(&log_file(dir, daemon)))
        .transpose()?;
    let file = file.map(|file| fmt::layer().with_ansi(false).with_writer(Mutex::new(file)));
    let stderr = fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    registry().with(filter).with(stderr).with(file).init();
    Ok(Verbosity { base, reload })
}

fn open(path: &Path) -> Result<File, LogError> {
    let error = |source| LogError {
        path: path.to_owned(),
        source,
    };
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(error)?;
    }
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_go_to_the_file_and_the_level_can_be_raised() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("logs");
        let verbosity = start("agent", Threshold::Info, Some(&logs)).unwrap();
        tracing::debug!("not yet");
        verbosity.set(1);
        tracing::debug!("now");
        verbosity.set(0);
        tracing::debug!("no more");
        let text = fs::read_to_string(logs.join("mesos-agent.INFO")).unwrap();
        assert!(text.contains("now"), "{text}");
        assert!(
            !text.contains("not yet") && !text.contains("no more"),
            "{text}"
        );
    }
}
