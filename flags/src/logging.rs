//! The logging flags, which both daemons have.

use crate::{
    load::Loaded,
    table::{Flag, Kind},
};

/// Least severity that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogSeverity {
    /// Everything but debug output.
    Info,
    /// What may need somebody.
    Warning,
    /// What has failed.
    Error,
}

/// How the daemon logs.
#[derive(Debug, Clone)]
pub struct LoggingFlags {
    /// Least severity.
    pub level: LogSeverity,
    /// Directory of log files besides stderr.
    pub log_dir: Option<std::path::PathBuf>,
    /// Nothing on stderr.
    pub quiet: bool,
    /// A file that others write the log to; shown as the daemon's log.
    pub external_log_file: Option<std::path::PathBuf>,
}

impl LoggingFlags {
    pub(crate) fn from(loaded: &Loaded) -> Self {
        Self {
            level: match loaded.text("logging_level").as_str() {
                "ERROR" => LogSeverity::Error,
                "WARNING" => LogSeverity::Warning,
                _ => LogSeverity::Info,
            },
            log_dir: loaded.opt_text("log_dir").map(Into::into),
            quiet: loaded.bool("quiet"),
            external_log_file: loaded.opt_text("external_log_file").map(Into::into),
        }
    }
}

pub(crate) const FLAGS: &[Flag] = &[
    Flag::new(
        "logging_level",
        Kind::Choice(&["INFO", "WARNING", "ERROR"]),
        "Least severity that is logged.",
    )
    .default("INFO"),
    Flag::new(
        "log_dir",
        Kind::Path,
        "Directory of log files, besides stderr.",
    ),
    Flag::new("quiet", Kind::Bool, "Logs nothing on stderr.").default("false"),
    Flag::new(
        "logbufsecs",
        Kind::Int,
        "Seconds that log lines may be held back. They never are here.",
    )
    .default("0")
    .not_built(),
    Flag::new(
        "initialize_driver_logging",
        Kind::Bool,
        "Whether the scheduler driver sets logging up.",
    )
    .default("true")
    .not_built(),
    Flag::new(
        "external_log_file",
        Kind::Path,
        "File that somebody else writes the log to; shown as the daemon's log.",
    ),
    Flag::new(
        "memory_profiling",
        Kind::Bool,
        "Endpoints of the memory profiler.",
    )
    .default("false")
    .not_built(),
];
