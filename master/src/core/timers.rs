//! What is due when. There is one timer of each kind and subject: setting it again moves it.
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use mesos_types::{AgentId, FrameworkId, OfferId};

/// What a timer is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Timer {
    /// Offer what is free.
    Allocate,
    /// A HEARTBEAT on this stream.
    Heartbeat(u64),
    /// The framework must be back by now.
    FailoverTimeout(FrameworkId),
    /// The offer was not answered in time.
    OfferTimeout(OfferId),
    /// Time to look whether the agent has answered.
    Ping(AgentId),
    /// The agent must be back by now, after its session broke.
    AgentReturn(AgentId),
    /// The agent is lost, and something else was under way with it.
    Lost(AgentId),
    /// The next agent may be marked unreachable.
    Removal,
    /// Weights that flags gave are not in the registry yet.
    Weights,
    /// Agents of the registry must be back by now.
    ReregisterTimeout,
    /// Forget unreachable agents that are too many or too old.
    Prune,
}

/// Timers by time; those of one moment in the order they were set.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeMap<(Instant, u64), Timer>,
    places: HashMap<Timer, (Instant, u64)>,
    set: u64,
}

impl Timers {
    /// Sets a timer, instead of when it was set for before.
    pub(crate) fn set(&mut self, now: Instant, after: Duration, timer: Timer) {
        self.cancel(&timer);
        // Instants end some centuries from now; such a timer is as good as none.
        let Some(at) = now.checked_add(after) else {
            return;
        };
        self.set += 1;
        self.places.insert(timer.clone(), (at, self.set));
        self.queue.insert((at, self.set), timer);
    }

    /// The timer does not fire any more.
    pub(crate) fn cancel(&mut self, timer: &Timer) {
        if let Some(place) = self.places.remove(timer) {
            self.queue.remove(&place);
        }
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes one that is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Timer> {
        let first = self.queue.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let timer = first.remove();
        self.places.remove(&timer);
        Some(timer)
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

    #[test]
    fn a_timer_that_is_set_again_moves_and_one_that_is_cancelled_is_silent() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut timers = Timers::default();
        timers.set(start, second, Timer::Prune);
        timers.set(start, 3 * second, Timer::Prune);
        timers.set(start, second, Timer::Allocate);
        timers.cancel(&Timer::Allocate);
        assert_eq!(timers.due(start + 2 * second), None);
        assert_eq!(timers.due(start + 3 * second), Some(Timer::Prune));
        assert_eq!(timers.next(), None);
        assert!(timers.places.is_empty());
    }
}
