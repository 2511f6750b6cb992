//! What frameworks have refused on one agent, and until when.

use std::{sync::Arc, time::Duration};

use mesos_types::Resources;

use crate::table::{FrameworkKey, RoleKey};

/// How long a framework refuses resources that says nothing about it.
/// Source: `Filters.refuse_seconds` in `mesos.proto`.
const DEFAULT_REFUSAL: Duration = Duration::from_secs(5);

/// Longest refusal. Source: `MAX_REFUSE_SECONDS`, `allocator/mesos/hierarchical.cpp`: 365 days.
const LONGEST_REFUSAL: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Most refusals remembered for one framework and role on one agent; beyond them the one that
/// ends first is forgotten, which can only cause an offer more.
const MOST_REFUSALS: usize = 8;

/// What `refuse_seconds` of a decline or an accept means: the default for a missing, negative or
/// undefined number, at most 365 days. Zero is no filter.
pub fn refusal_from_seconds(seconds: Option<f64>) -> Duration {
    match seconds {
        Some(seconds) if seconds >= 0.0 => {
            Duration::try_from_secs_f64(seconds).map_or(LONGEST_REFUSAL, |d| d.min(LONGEST_REFUSAL))
        }
        _ => DEFAULT_REFUSAL,
    }
}

/// A framework in one of its roles.
pub(crate) type Subscriber = (FrameworkKey, RoleKey);

/// Something that a framework does not want for some time.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub who: Subscriber,
    pub resources: Arc<Resources>,
    pub until: Duration,
    /// Of the subscription at that time; a later one means that the refusal has been revoked.
    pub epoch: u64,
    /// Not asked for by the framework: keeps what it has just declined from it, so that nobody
    /// spins, as long as nothing else becomes free on the agent.
    pub throttle: bool,
}

/// Everything refused on one agent.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    /// In the order of `who`.
    refusals: Vec<Refusal>,
    throttles: u32,
    /// When there are so many, those that have been revoked are looked for.
    crowded_at: usize,
}

impl Filters {
    /// Refuses `new.resources`, or a part of them, until then. `is_valid` knows which refusals,
    /// by subscriber and epoch, have not been revoked.
    pub fn refuse(&mut self, new: Refusal, is_valid: impl Fn(Subscriber, u64) -> bool) {
        let (begin, end) = self.range(new.who);
        let mut kept = begin;
        for at in begin..end {
            let old = &self.refusals[at];
            let covered = old.throttle == new.throttle
                && old.until <= new.until
                && covers(&new.resources, &old.resources);
            if old.epoch == new.epoch && !covered {
                self.refusals.swap(kept, at);
                kept += 1;
            }
        }
        if kept - begin == MOST_REFUSALS {
            let mine = self.refusals[begin..kept].iter().enumerate();
            let first = mine.min_by_key(|(_, refusal)| refusal.until);
            if let Some(first) = first.map(|(index, _)| begin + index) {
                kept -= 1;
                self.refusals.swap(first, kept);
            }
        }
        self.refusals.splice(kept..end, [new]);
        if self.refusals.len() > self.crowded_at.max(16) {
            self.refusals
                .retain(|refusal| is_valid(refusal.who, refusal.epoch));
            self.crowded_at = 2 * self.refusals.len();
        }
        self.count_throttles();
    }

    /// Something became free: what was declined is not unchanged any more.
    pub fn end_throttles(&mut self) {
        if self.throttles > 0 {
            self.refusals.retain(|refusal| !refusal.throttle);
            self.throttles = 0;
        }
    }

    /// Whether an offer of `resources` would be of nothing but what was refused.
    pub fn refuses(
        &self,
        who: Subscriber,
        epoch: u64,
        resources: &Arc<Resources>,
        now: Duration,
    ) -> bool {
        if self.refusals.is_empty() {
            return false;
        }
        let (begin, end) = self.range(who);
        self.refusals[begin..end].iter().any(|refusal| {
            refusal.epoch == epoch && refusal.until > now && covers(&refusal.resources, resources)
        })
    }

    /// Forgets those that have ended, and adds whose they were to `ended`. Answers when the next
    /// one ends.
    pub fn expire(&mut self, now: Duration, ended: &mut Vec<Subscriber>) -> Option<Duration> {
        let mut next: Option<Duration> = None;
        self.refusals.retain(|refusal| {
            if refusal.until <= now {
                if ended.last() != Some(&refusal.who) {
                    ended.push(refusal.who);
                }
                return false;
            }
            next = Some(next.map_or(refusal.until, |next| next.min(refusal.until)));
            true
        });
        self.count_throttles();
        next
    }

    /// Filters that frameworks have asked for, by subscriber and epoch.
    pub fn asked(&self) -> impl Iterator<Item = (Subscriber, u64)> {
        let asked = self.refusals.iter().filter(|refusal| !refusal.throttle);
        asked.map(|refusal| (refusal.who, refusal.epoch))
    }

    /// Forgets all, because the agent is not what it was.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn count_throttles(&mut self) {
        let throttles = self.refusals.iter().filter(|refusal| refusal.throttle);
        self.throttles = u32::try_from(throttles.count()).unwrap_or(u32::MAX);
    }

    /// Where the refusals of `who` are, or would be.
    fn range(&self, who: Subscriber) -> (usize, usize) {
        let begin = self.refusals.partition_point(|refusal| refusal.who < who);
        let count = self.refusals[begin..]
            .iter()
            .take_while(|refusal| refusal.who == who)
            .count();
        (begin, begin + count)
    }
}

fn covers(refused: &Arc<Resources>, offered: &Arc<Resources>) -> bool {
    Arc::ptr_eq(refused, offered) || refused.contains(offered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Key;

    fn refusal(framework: u32, epoch: u64, text: &str, until: u64) -> Refusal {
        Refusal {
            who: (FrameworkKey::new(framework), RoleKey::new(0)),
            resources: mesos_types::parse_resources(text, "*").unwrap().into(),
            until: Duration::from_secs(until),
            epoch,
            throttle: false,
        }
    }

    fn refuses(filters: &Filters, framework: u32, epoch: u64, text: &str, now: u64) -> bool {
        let asked = refusal(framework, epoch, text, now);
        filters.refuses(asked.who, epoch, &asked.resources, asked.until)
    }

    #[test]
    fn refuse_seconds_follow_mesos() {
        for (seconds, expected) in [
            (None, DEFAULT_REFUSAL),
            (Some(-1.0), DEFAULT_REFUSAL),
            (Some(f64::NAN), DEFAULT_REFUSAL),
            (Some(0.0), Duration::ZERO),
            (Some(0.5), Duration::from_millis(500)),
            (Some(1e9), LONGEST_REFUSAL),
            (Some(f64::INFINITY), LONGEST_REFUSAL),
        ] {
            assert_eq!(refusal_from_seconds(seconds), expected, "{seconds:?}");
        }
    }

    #[test]
    fn a_refusal_holds_for_equal_and_smaller_resources_until_its_end() {
        let mut filters = Filters::default();
        filters.refuse(refusal(0, 1, "cpus:2;mem:100", 1), |_, _| true);
        filters.refuse(refusal(1, 2, "mem:50", 3), |_, _| true);
        assert!(refuses(&filters, 0, 1, "cpus:2;mem:100", 0));
        assert!(refuses(&filters, 0, 1, "cpus:1", 0));
        assert!(!refuses(&filters, 0, 1, "cpus:3", 0));
        assert!(!refuses(&filters, 0, 2, "cpus:2", 0));
        assert!(!refuses(&filters, 0, 1, "cpus:2", 1));
        assert!(refuses(&filters, 1, 2, "mem:50", 2));
        let mut ended = Vec::new();
        let second = Duration::from_secs(1);
        assert_eq!(filters.expire(Duration::ZERO, &mut ended), Some(second));
        assert_eq!(filters.expire(second, &mut ended), Some(3 * second));
        assert_eq!(ended, [(FrameworkKey::new(0), RoleKey::new(0))]);
        assert_eq!(filters.expire(3 * second, &mut ended), None);
    }

    #[test]
    fn refusals_of_one_framework_are_bounded() {
        let mut filters = Filters::default();
        for n in 1..100u64 {
            filters.refuse(refusal(3, 1, &format!("ports:[{n}-{n}]"), n), |_, _| true);
        }
        assert_eq!(filters.refusals.len(), MOST_REFUSALS);
        let first = Duration::from_secs(100 - MOST_REFUSALS as u64);
        assert_eq!(filters.expire(Duration::ZERO, &mut Vec::new()), Some(first));
    }

    #[test]
    fn refusals_of_those_who_are_gone_are_forgotten_when_there_are_many() {
        let mut filters = Filters::default();
        for n in 0..1000 {
            let gone = FrameworkKey::new(n);
            filters.refuse(refusal(n, 1, "cpus:1", 1000), |who, _| who.0 == gone);
        }
        assert!(filters.refusals.len() <= 17, "{}", filters.refusals.len());
    }

    #[test]
    fn throttles_end_by_themselves() {
        let mut filters = Filters::default();
        let throttle = Refusal {
            throttle: true,
            ..refusal(0, 1, "cpus:1", 9)
        };
        filters.refuse(throttle, |_, _| true);
        filters.refuse(refusal(0, 1, "mem:1", 9), |_, _| true);
        assert_eq!(filters.asked().count(), 1);
        filters.end_throttles();
        assert!(!refuses(&filters, 0, 1, "cpus:1", 0));
        assert!(refuses(&filters, 0, 1, "mem:1", 0));
    }
}
