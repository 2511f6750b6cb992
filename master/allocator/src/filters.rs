//! What frameworks have refused on one agent, and until when.

use std::{collections::HashMap, time::Duration};

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

#[derive(Debug)]
struct Refusal {
    resources: Resources,
    until: Duration,
    /// Of the subscription at that time; a later one means that the refusal has been revoked.
    epoch: u64,
}

/// Refusals by framework and role.
#[derive(Debug, Default)]
struct Refusals(HashMap<Subscriber, Vec<Refusal>>);

impl Refusals {
    fn add(&mut self, who: Subscriber, new: Refusal) {
        let all = self.0.entry(who).or_default();
        all.retain(|old| {
            let covered = old.until <= new.until && new.resources.contains(&old.resources);
            old.epoch == new.epoch && !covered
        });
        all.push(new);
        if all.len() > MOST_REFUSALS {
            let first = all
                .iter()
                .enumerate()
                .min_by_key(|(_, refusal)| refusal.until);
            if let Some(first) = first.map(|(index, _)| index) {
                all.swap_remove(first);
            }
        }
    }

    fn refuses(&self, who: Subscriber, epoch: u64, resources: &Resources, now: Duration) -> bool {
        self.0.get(&who).is_some_and(|all| {
            all.iter().any(|refusal| {
                refusal.epoch == epoch
                    && refusal.until > now
                    && refusal.resources.contains(resources)
            })
        })
    }

    /// Forgets those that have ended. Answers when the next one ends.
    fn expire(&mut self, now: Duration) -> Option<Duration> {
        self.0.retain(|_, all| {
            all.retain(|refusal| refusal.until > now);
            !all.is_empty()
        });
        self.0.values().flatten().map(|refusal| refusal.until).min()
    }
}

/// Everything refused on one agent.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    /// Asked for by frameworks.
    asked: Refusals,
    /// Kept from whoever just declined them without a filter, so that nobody spins.
    /// Resources that become free end these.
    throttles: Refusals,
}

impl Filters {
    /// Refuses `resources`, or a part of them, to the framework until `until`. With `throttle`
    /// only as long as nothing becomes free on the agent.
    pub fn refuse(
        &mut self,
        who: Subscriber,
        epoch: u64,
        resources: Resources,
        until: Duration,
        throttle: bool,
    ) {
        let refusals = if throttle {
            &mut self.throttles
        } else {
            &mut self.asked
        };
        refusals.add(
            who,
            Refusal {
                resources,
                until,
                epoch,
            },
        );
    }

    /// Something became free: what was declined is not unchanged any more.
    pub fn end_throttles(&mut self) {
        self.throttles.0.clear();
    }

    /// Whether an offer of `resources` would be of nothing but what was refused.
    pub fn refuses(
        &self,
        who: Subscriber,
        epoch: u64,
        resources: &Resources,
        now: Duration,
    ) -> bool {
        self.asked.refuses(who, epoch, resources, now)
            || self.throttles.refuses(who, epoch, resources, now)
    }

    /// Forgets those that have ended. Answers when the next one ends.
    pub fn expire(&mut self, now: Duration) -> Option<Duration> {
        let ends = [self.asked.expire(now), self.throttles.expire(now)];
        ends.into_iter().flatten().min()
    }

    /// Whose filters there are, each as often as it has one.
    pub fn asked(&self) -> impl Iterator<Item = Subscriber> {
        let asked = self.asked.0.iter();
        asked.flat_map(|(who, all)| std::iter::repeat_n(*who, all.len()))
    }

    /// Forgets those of a framework that is gone.
    pub fn forget_framework(&mut self, framework: FrameworkKey) {
        self.asked.0.retain(|(who, _), _| *who != framework);
        self.throttles.0.retain(|(who, _), _| *who != framework);
    }

    /// Forgets all, because the agent is not what it was.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Key;

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
        let parse = |text| mesos_types::parse_resources(text, "*").unwrap();
        let who = (FrameworkKey::new(0), RoleKey::new(0));
        let second = Duration::from_secs(1);
        let mut filters = Filters::default();
        filters.refuse(who, 1, parse("cpus:2;mem:100"), second, false);
        let refuses =
            |filters: &Filters, epoch, text, now| filters.refuses(who, epoch, &parse(text), now);
        assert!(refuses(&filters, 1, "cpus:2;mem:100", Duration::ZERO));
        assert!(refuses(&filters, 1, "cpus:1", Duration::ZERO));
        assert!(!refuses(&filters, 1, "cpus:3", Duration::ZERO));
        assert!(!refuses(&filters, 2, "cpus:2", Duration::ZERO));
        assert!(!refuses(&filters, 1, "cpus:2", second));
        assert_eq!(filters.expire(Duration::ZERO), Some(second));
        assert_eq!(filters.expire(second), None);
    }

    #[test]
    fn refusals_of_one_framework_are_bounded() {
        let who = (FrameworkKey::new(0), RoleKey::new(0));
        let mut refusals = Refusals::default();
        for n in 1..100u64 {
            let text = format!("ports:[{n}-{n}]");
            let resources = mesos_types::parse_resources(&text, "*").unwrap();
            refusals.add(
                who,
                Refusal {
                    resources,
                    until: Duration::from_secs(n),
                    epoch: 1,
                },
            );
        }
        assert_eq!(refusals.0[&who].len(), MOST_REFUSALS);
        let first = Duration::from_secs(100 - MOST_REFUSALS as u64);
        assert_eq!(refusals.expire(Duration::ZERO), Some(first));
    }
}
