//! What is due when. A timer is not taken back: when it fires, the state says whether it still matters.
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use mesos_types::{AgentId, FrameworkId, OfferId};

/// What a timer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Offer what is free.
    Allocate,
    /// A HEARTBEAT on this stream.
    Heartbeat(u64),
    /// The framework must be back by now, unless it has subscribed since (its epoch has changed).
    FailoverTimeout(FrameworkId, u64),
    /// The offer was not answered in time.
    OfferTimeout(OfferId),
    /// Time to look whether the agent has answered, unless it registered anew (its epoch has changed).
    Ping(AgentId, u64),
    /// Agents of the registry must be back by now.
    ReregisterTimeout,
    /// Forget unreachable agents that are too many or too old.
    Prune,
}

/// Timers by time; those of one moment in the order they were set.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeMap<(Instant, u64), Timer>,
    set: u64,
}

impl Timers {
    pub(crate) fn set(&mut self, now: Instant, after: Duration, timer: Timer) {
        // Instants end some centuries from now; such a timer is as good as none.
        let Some(at) = now.checked_add(after) else {
            return;
        };
        self.set += 1;
        self.queue.insert((at, self.set), timer);
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes one that is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Timer> {
        let first = self.queue.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_order_and_not_early() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.set(start, Duration::from_secs(2), Timer::Prune);
        timers.set(start, Duration::from_secs(1), Timer::Allocate);
        timers.set(start, Duration::from_secs(1), Timer::Heartbeat(1));
        timers.set(start, Duration::MAX, Timer::ReregisterTimeout);
        assert_eq!(timers.due(start), None);
        let later = start + Duration::from_secs(1);
        assert_eq!(timers.next(), Some(later));
        assert_eq!(timers.due(later), Some(Timer::Allocate));
        assert_eq!(timers.due(later), Some(Timer::Heartbeat(1)));
        assert_eq!(timers.due(later), None);
        assert_eq!(
            timers.due(start + Duration::from_secs(9)),
            Some(Timer::Prune)
        );
        assert_eq!(timers.next(), None);
    }
}
