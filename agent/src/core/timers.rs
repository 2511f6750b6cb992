//! Points in time at which the core wants to be called again.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use mesos_types::{ContainerId, FrameworkId, TaskId};
use uuid::Uuid;

/// What is to be done at a point in time. One timer per key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Timer {
    /// Send the first update of a task again.
    Retry(FrameworkId, TaskId),
    /// Tell the end of an operation again.
    Operation(Uuid),
    /// The grace of a kill or a shutdown is over.
    Grace(ContainerId),
    /// A task has reached its `max_completion_time`.
    Completion(ContainerId),
    /// An executor has not subscribed (again).
    Registration(ContainerId),
    /// Ask again how a container ended.
    Wait(ContainerId),
    /// The master has been silent for too long.
    Silence,
    /// Tell the master what has been taken over.
    Acknowledge,
    /// Send heartbeats to executors.
    Heartbeat,
    /// Do not wait for the master's answer any longer before ending.
    Leave,
}

/// Timers by time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeMap<(Duration, u64), Timer>,
    set: HashMap<Timer, (Duration, u64)>,
    count: u64,
}

impl Timers {
    /// Sets or moves a timer.
    pub(super) fn set(&mut self, timer: Timer, at: Duration) {
        self.cancel(&timer);
        self.count += 1;
        self.due.insert((at, self.count), timer.clone());
        self.set.insert(timer, (at, self.count));
    }

    /// Removes a timer, if it is set.
    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some(key) = self.set.remove(timer) {
            self.due.remove(&key);
        }
    }

    /// When a timer is due.
    pub(super) fn at(&self, timer: &Timer) -> Option<Duration> {
        self.set.get(timer).map(|(at, _)| *at)
    }

    /// When the first one is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes one that is due.
    pub(super) fn pop(&mut self, now: Duration) -> Option<Timer> {
        let entry = self.due.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        let timer = entry.remove();
        self.set.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_one_timer_and_they_come_in_order() {
        let mut timers = Timers::default();
        let second = Duration::from_secs;
        timers.set(Timer::Silence, second(5));
        timers.set(Timer::Heartbeat, second(3));
        timers.set(Timer::Silence, second(1));
        assert_eq!(timers.next(), Some(second(1)));
        assert_eq!(timers.pop(second(0)), None);
        assert_eq!(timers.pop(second(9)), Some(Timer::Silence));
        assert_eq!(timers.pop(second(9)), Some(Timer::Heartbeat));
        assert_eq!(timers.pop(second(9)), None);
        timers.set(Timer::Leave, second(1));
        timers.cancel(&Timer::Leave);
        assert_eq!(timers.next(), None);
    }
}
