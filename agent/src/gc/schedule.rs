//! Which directory goes when. No I/O, and time is given.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    time::Duration,
};

/// First pause after a removal that failed.
const RETRY_MIN: Duration = Duration::from_secs(10);
/// Longest pause.
const RETRY_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone)]
struct Item {
    /// When it became garbage.
    since: Duration,
    /// Not before this, after a failure.
    not_before: Duration,
    pause: Duration,
}

/// Directories that wait for their removal. Times are on one monotonic clock.
#[derive(Debug)]
pub struct Schedule {
    items: HashMap<PathBuf, Item>,
    by_time: BTreeMap<(Duration, PathBuf), ()>,
    /// Those after a failure, by when they may be tried again.
    deferred: BTreeMap<(Duration, PathBuf), ()>,
    delay: Duration,
    max_age: Duration,
}

impl Schedule {
    /// Nothing waits; directories go at the age of `delay`.
    pub fn new(delay: Duration) -> Self {
        Self {
            items: HashMap::new(),
            by_time: BTreeMap::new(),
            deferred: BTreeMap::new(),
            delay,
            max_age: delay,
        }
    }

    /// A directory that is garbage since `since`. One that waits already starts anew.
    pub fn add(&mut self, path: PathBuf, since: Duration) {
        self.remove(&path);
        self.by_time.insert((since, path.clone()), ());
        self.items.insert(
            path,
            Item {
                since,
                not_before: Duration::ZERO,
                pause: Duration::ZERO,
            },
        );
    }

    /// A directory that stays.
    pub fn remove(&mut self, path: &Path) {
        if let Some(item) = self.items.remove(path) {
            self.by_time.remove(&(item.since, path.to_owned()));
            self.deferred.remove(&(item.not_before, path.to_owned()));
        }
    }

    /// Takes the oldest directory that is due. It counts until [`removed`](Self::removed) or
    /// [`failed`](Self::failed).
    pub fn pop(&mut self, now: Duration) -> Option<PathBuf> {
        if let Some(((not_before, path), ())) = self.deferred.first_key_value()
            && *not_before <= now
        {
            let key = (*not_before, path.clone());
            self.deferred.remove(&key);
            return Some(key.1);
        }
        let ((since, path), ()) = self.by_time.first_key_value()?;
        if since.saturating_add(self.max_age) > now {
            return None;
        }
        let key = (*since, path.clone());
        self.by_time.remove(&key);
        Some(key.1)
    }

    /// It is gone, and so is everything beneath it.
    pub fn removed(&mut self, path: &Path) {
        let beneath: Vec<PathBuf> = self
            .items
            .keys()
            .filter(|item| item.starts_with(path))
            .cloned()
            .collect();
        for item in beneath {
            self.remove(&item);
        }
    }

    /// It could not be removed; it is tried again, after ever longer pauses. One that was taken back
    /// meanwhile stays.
    pub fn failed(&mut self, path: &Path, now: Duration) {
        let Some(item) = self.items.get_mut(path) else {
            return;
        };
        item.pause = (item.pause * 2).clamp(RETRY_MIN, RETRY_MAX);
        item.not_before = now.saturating_add(item.pause);
        self.deferred.insert((item.not_before, path.to_owned()), ());
    }

    /// The age at which directories go from now on, at most the delay.
    pub fn set_max_age(&mut self, max_age: Duration) {
        self.max_age = max_age.min(self.delay);
    }

    /// When the first one is due.
    pub fn next(&self) -> Option<Duration> {
        let aged = self
            .by_time
            .first_key_value()
            .map(|((since, _), ())| since.saturating_add(self.max_age));
        let deferred = self.deferred.first_key_value().map(|((at, _), ())| *at);
        [aged, deferred].into_iter().flatten().min()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// `gc_delay × max(0, 1 − gc_disk_headroom − used)`. Source: `Slave::age` of Mesos.
pub(super) fn max_age(delay: Duration, headroom: f64, used: f64) -> Duration {
    let share = (1.0 - headroom - used).clamp(0.0, 1.0);
    Duration::try_from_secs_f64(delay.as_secs_f64() * share).unwrap_or(delay)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn ages_follow_the_formula_of_mesos() {
        for (used, share) in [(0.0, 0.9), (0.5, 0.4), (0.9, 0.0), (1.0, 0.0)] {
            let age = max_age(WEEK, 0.1, used).as_secs_f64();
            assert!(
                (age - WEEK.as_secs_f64() * share).abs() < 1.0,
                "{used}: {age}"
            );
        }
    }

    #[test]
    fn a_full_disk_takes_everything_at_once() {
        let mut schedule = Schedule::new(WEEK);
        schedule.add("a".into(), secs(100));
        assert_eq!(schedule.pop(secs(101)), None);
        schedule.set_max_age(max_age(WEEK, 0.1, 0.95));
        assert_eq!(schedule.pop(secs(101)), Some("a".into()));
        schedule.removed(Path::new("a"));
        assert!(schedule.is_empty());
    }

    #[test]
    fn what_fails_is_tried_again_with_growing_pauses() {
        let mut schedule = Schedule::new(secs(1));
        schedule.add("a".into(), secs(0));
        let mut now = secs(1);
        let mut pauses = Vec::new();
        for _ in 0..4 {
            assert_eq!(schedule.pop(now), Some("a".into()));
            schedule.failed(Path::new("a"), now);
            assert_eq!(schedule.len(), 1);
            let next = schedule.next().unwrap();
            pauses.push((next - now).as_secs());
            assert_eq!(schedule.pop(next - secs(1)), None);
            now = next;
        }
        assert_eq!(pauses, [10, 20, 40, 80]);
    }

    #[test]
    fn a_directory_takes_those_beneath_it_along() {
        let mut schedule = Schedule::new(secs(1));
        for path in ["f", "f/e", "f/e/r", "g"] {
            schedule.add(path.into(), secs(5));
        }
        schedule.removed(Path::new("f"));
        assert_eq!(schedule.len(), 1);
        assert_eq!(schedule.pop(secs(9)), Some("g".into()));
    }

    proptest! {
        /// Nothing goes before its age, everything goes after it, oldest first.
        #[test]
        fn each_goes_at_its_age(ages in proptest::collection::vec(0u64..1000, 1..30), used in 0.0f64..1.0) {
            let delay = secs(500);
            let mut schedule = Schedule::new(delay);
            for (i, since) in ages.iter().enumerate() {
                schedule.add(format!("{i}").into(), secs(*since));
            }
            let max = max_age(delay, 0.1, used);
            schedule.set_max_age(max);
            let now = secs(1000);
            let mut last = Duration::ZERO;
            while let Some(path) = schedule.pop(now) {
                let index: usize = path.to_str().unwrap().parse().unwrap();
                let since = secs(ages[index]);
                prop_assert!(now >= since + max);
                prop_assert!(since >= last);
                last = since;
                schedule.removed(&path);
            }
            let left = ages.iter().filter(|since| now < secs(**since) + max).count();
            prop_assert_eq!(schedule.len(), left);
        }
    }
}
