//! Load and memory of the host, read from /proc once per answer.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use mesos_http::system::SystemStats;

/// How long figures of the host are good for; the kernel counts its load every five seconds.
const FRESH: Duration = Duration::from_millis(100);

/// The figures read last.
#[derive(Default)]
pub(super) struct Host(Mutex<Option<(Instant, SystemStats)>>);

impl Host {
    pub(super) fn stats(&self) -> SystemStats {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((read, stats)) if read.elapsed() < FRESH => stats.clone(),
            _ => {
                let stats = SystemStats::read();
                *kept = Some((Instant::now(), stats.clone()));
                stats
            }
        }
    }
}
