//! One reading of both clocks: the state machine gets it with each event and never looks itself.
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For every timeout.
    pub monotonic: Instant,
    /// For what is shown: time since 1970.
    pub wall: Duration,
}

impl Now {
    /// Seconds since 1970, as times stand on the wire.
    pub fn seconds(&self) -> f64 {
        self.wall.as_secs_f64()
    }

    /// Nanoseconds since 1970.
    pub fn nanos(&self) -> i64 {
        i64::try_from(self.wall.as_nanos()).unwrap_or(i64::MAX)
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The time now. The monotonic part never goes back.
    fn now(&self) -> Now;
}

/// The clocks of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now {
            // Of tokio, so that a test that pauses its time pauses this too.
            monotonic: tokio::time::Instant::now().into_std(),
            wall: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }
}
