//! `/logging/toggle` and the v1 logging calls: a verbose level for a while.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    auth::{Action, Object},
    request::{Head, Request},
    response::Response,
    router::Router,
};

type Apply = Arc<dyn Fn(u32) + Send + Sync>;

/// The verbosity of the daemon's log: 0 as flagged, 1 debug, 2 and more trace.
#[derive(Clone)]
pub struct LogLevel {
    apply: Apply,
    original: u32,
    current: Arc<Mutex<Current>>,
}

struct Current {
    level: u32,
    revert: CancellationToken,
}

impl LogLevel {
    /// `apply` sets the log's filter; it is called with the new level on each change.
    pub fn new(original: u32, apply: impl Fn(u32) + Send + Sync + 'static) -> Self {
        let current = Current {
            level: original,
            revert: CancellationToken::new(),
        };
        Self {
            apply: Arc::new(apply),
            original,
            current: Arc::new(Mutex::new(current)),
        }
    }

    /// The level now.
    pub fn get(&self) -> u32 {
        self.current
            .lock()
            .map(|current| current.level)
            .unwrap_or(self.original)
    }

    /// The level that it goes back to.
    pub fn original(&self) -> u32 {
        self.original
    }

    /// Sets the level for `duration`; a later call replaces an earlier one. Needs a tokio runtime.
    pub fn set(&self, level: u32, duration: Duration) {
        let revert = CancellationToken::new();
        if let Ok(mut current) = self.current.lock() {
            current.revert.cancel();
            current.revert = revert.clone();
            current.level = level;
            (self.apply)(level);
        }
        if level == self.original {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = revert.cancelled() => {}
                () = tokio::time::sleep(duration) => {
                    if let Ok(mut current) = this.current.lock() && !revert.is_cancelled() {
                        current.level = this.original;
                        (this.apply)(this.original);
                    }
                }
            }
        });
    }
}

/// Adds `/logging/toggle`.
pub fn route<S: Clone + Send + Sync + 'static>(router: &mut Router<S>, level: &LogLevel) {
    let level = level.clone();
    router
        .get("/logging/toggle", move |_: S, request: Request| {
            std::future::ready(toggle(&level, &request))
        })
        .bare()
        .ungated();
}

fn toggle(log: &LogLevel, head: &Head) -> Response {
    if !head.authorize(Action::GetEndpoint, Object::Named("/logging/toggle")) {
        return Response::forbidden("");
    }
    let refuse = |text: String| Response::bad_request(text + ".\n");
    let (level, duration) = match (head.query("level"), head.query("duration")) {
        (None, None) => {
            return Response::bytes("text/plain; charset=utf-8", format!("{}\n", log.get()));
        }
        (Some(_), None) => return refuse("Expecting 'duration=value' in query".to_owned()),
        (None, Some(_)) => return refuse("Expecting 'level=value' in query".to_owned()),
        (Some(level), Some(duration)) => (level, duration),
    };
    let number = match level.parse::<i64>() {
        Ok(number) => number,
        Err(_) => return refuse(format!("Failed to convert '{level}' to number")),
    };
    let Ok(number) = u32::try_from(number) else {
        return refuse(format!("Invalid level '{level}'"));
    };
    if number < log.original() {
        return refuse(format!("'{level}' < original level"));
    }
    match mesos_types::units::parse_duration(duration) {
        Ok(duration) => {
            log.set(number, duration);
            Response::ok()
        }
        Err(error) => refuse(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_level_lasts_for_its_duration_and_the_last_one_wins() {
        let applied = Arc::new(AtomicU32::new(0));
        let seen = applied.clone();
        let level = LogLevel::new(0, move |level| seen.store(level, Ordering::Relaxed));
        level.set(2, Duration::from_secs(10));
        level.set(1, Duration::from_secs(100));
        tokio::time::sleep(Duration::from_secs(50)).await;
        assert_eq!((level.get(), applied.load(Ordering::Relaxed)), (1, 1));
        tokio::time::sleep(Duration::from_secs(51)).await;
        assert_eq!((level.get(), applied.load(Ordering::Relaxed)), (0, 0));
    }
}
