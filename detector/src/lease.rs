//! How long a candidate may trust that its session still lives, by the clock alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A promise that ends by itself: until it does, ZooKeeper has not given our place to anybody else.
///
/// It runs for the negotiated session timeout from the beginning of the last exchange that all of ZooKeeper
/// is known to have taken note of, and is renewed four times in that time. A process that was frozen and wakes up finds
/// it run out, whatever else it has not heard yet; so check it before each act that only a leader may do.
/// Clones share it. A lease that was revoked or belongs to a candidacy that was lost never becomes valid again.
///
/// The clock is [`Instant`], `CLOCK_MONOTONIC`: it runs on while a process is stopped, but stands still while
/// the whole (virtual) machine is suspended. After a suspension the lease may look valid for at most the
/// rest it had; the registry's own fence and the agents' election numbers hold even then.
#[derive(Debug, Clone)]
pub struct Lease(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    origin: Instant,
    /// Nanoseconds from `origin` to the end. 0: over for good.
    until: AtomicU64,
}

impl Lease {
    /// A lease that is over.
    pub fn none() -> Self {
        Self(Arc::new(Shared {
            origin: Instant::now(),
            until: AtomicU64::new(0),
        }))
    }

    /// A lease of `length` from `start`.
    pub fn new(start: Instant, length: Duration) -> Self {
        Self(Arc::new(Shared {
            origin: start,
            until: AtomicU64::new(nanos(length).max(1)),
        }))
    }

    /// Whether the lease has not run out at `now`.
    pub fn is_valid(&self, now: Instant) -> bool {
        !self.remaining(now).is_zero()
    }

    /// How much is left at `now`.
    pub fn remaining(&self, now: Instant) -> Duration {
        let until = Duration::from_nanos(self.0.until.load(Ordering::Acquire));
        until.saturating_sub(now.saturating_duration_since(self.0.origin))
    }

    /// When it runs out; a moment in the past when it is over for good.
    pub fn until(&self) -> Instant {
        self.0.origin + Duration::from_nanos(self.0.until.load(Ordering::Acquire))
    }

    /// Lets it end `length` after `start`, unless that is earlier than now planned, or it is over for good.
    pub fn renew(&self, start: Instant, length: Duration) {
        let until = nanos(
            start
                .saturating_duration_since(self.0.origin)
                .saturating_add(length),
        );
        let _ = self
            .0
            .until
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
                (old != 0 && until > old).then_some(until)
            });
    }

    /// Ends it for good.
    pub fn revoke(&self) {
        self.0.until.store(0, Ordering::Release);
    }
}

/// 584 years are enough.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_runs_out_and_is_renewed() {
        let start = Instant::now();
        let lease = Lease::new(start, 10 * SECOND);
        assert!(lease.is_valid(start));
        assert_eq!(lease.remaining(start + 4 * SECOND), 6 * SECOND);
        assert!(!lease.is_valid(start + 10 * SECOND));
        lease.renew(start + 5 * SECOND, 10 * SECOND);
        assert!(lease.clone().is_valid(start + 14 * SECOND));
        assert!(!lease.is_valid(start + 15 * SECOND));
        // An answer that came late does not shorten it.
        lease.renew(start + SECOND, 10 * SECOND);
        assert_eq!(lease.until(), start + 15 * SECOND);
    }

    #[test]
    fn what_is_over_stays_over() {
        let start = Instant::now();
        let lease = Lease::new(start, 10 * SECOND);
        let copy = lease.clone();
        lease.revoke();
        copy.renew(start + SECOND, 10 * SECOND);
        assert!(!copy.is_valid(start + SECOND));
        assert!(!Lease::none().is_valid(start));
    }
}
