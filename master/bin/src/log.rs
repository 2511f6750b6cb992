//! Where the daemon's log goes, and how much of it.
use std::io::IsTerminal as _;

use mesos_flags::logging::{LogSeverity, LoggingFlags};
use mesos_http::logging::LogLevel;
use tracing_subscriber::{
    EnvFilter, fmt, layer::SubscriberExt as _, registry, reload, util::SubscriberInitExt as _,
};

/// Starts logging to stderr; `RUST_LOG` overrides the flag. The handle raises the verbosity for a while.
pub fn start(flags: &LoggingFlags) -> LogLevel {
    let base = match (flags.quiet, flags.level) {
        (true, _) => "off",
        (false, LogSeverity::Error) => "error",
        (false, LogSeverity::Warning) => "warn",
        (false, LogSeverity::Info) => "info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(base));
    let (layer, reload) = reload::Layer::new(filter);
    registry()
        .with(layer)
        .with(
            fmt::layer()
                .with_ansi(std::io::stderr().is_terminal())
                .with_writer(std::io::stderr),
        )
        .init();
    LogLevel::new(0, move |level| {
        let filter = match level {
            0 => base,
            1 => "debug",
            _ => "trace",
        };
        if let Err(error) = reload.reload(EnvFilter::new(filter)) {
            tracing::error!(%error, "cannot change the log's level");
        }
    })
}
