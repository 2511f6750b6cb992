//! What an agent is counted with while operations on it are not answered.
//!
//! The master counts with the result of an operation as soon as it is sent, so that the next one can
//! build on it. Should the agent answer that it did not happen, what it has is worked out anew
//! from what it has confirmed and from what is still under way.
use std::collections::VecDeque;

use mesos_types::{Conversion, Resources};
use uuid::Uuid;

/// The operations of one agent in the order they were sent.
#[derive(Debug)]
pub(super) struct Speculation {
    /// What the agent has with everything that it answered so far. Without allocations.
    confirmed: Resources,
    steps: VecDeque<Step>,
}

#[derive(Debug)]
struct Step {
    uuid: Uuid,
    conversions: Vec<Conversion>,
    belief: Belief,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    /// Sent: it will happen, as far as anybody knows.
    Expected,
    /// Sent in a session that broke, and the agent did not know of it: it may not have happened.
    Doubtful,
    /// The agent said that it happened; an earlier one is not answered.
    Happened,
}

impl Speculation {
    /// An agent whose resources are all confirmed.
    pub(super) fn new(confirmed: Resources) -> Self {
        Self {
            confirmed,
            steps: VecDeque::new(),
        }
    }

    /// An agent that has these resources, operations included that it has written down and not answered, in
    /// whatever order.
    pub(super) fn ahead(total: Resources, mut unanswered: Vec<(Uuid, Vec<Conversion>)>) -> Self {
        let mut confirmed = total;
        let mut steps = Vec::new();
        // The last one is one that can be taken back.
        while let Some((at, before)) = unanswered.iter().enumerate().find_map(|(at, (_, steps))| {
            let back: Vec<Conversion> = steps.iter().rev().map(Conversion::inverse).collect();
            Some((at, confirmed.apply_all(&back).ok()?))
        }) {
            steps.push(unanswered.remove(at));
            confirmed = before;
        }
        let mut ahead = Self::new(confirmed);
        for (uuid, conversions) in steps.into_iter().rev().chain(unanswered) {
            ahead.expect(uuid, conversions);
        }
        ahead
    }

    /// One more was sent.
    pub(super) fn expect(&mut self, uuid: Uuid, conversions: Vec<Conversion>) {
        self.push(uuid, conversions, Belief::Expected);
    }

    /// One more may have arrived.
    pub(super) fn doubt(&mut self, uuid: Uuid, conversions: Vec<Conversion>) {
        self.push(uuid, conversions, Belief::Doubtful);
    }

    fn push(&mut self, uuid: Uuid, conversions: Vec<Conversion>, belief: Belief) {
        self.steps.push_back(Step {
            uuid,
            conversions,
            belief,
        });
    }

    /// The agent has answered for one of them. Answers whether [`Self::total`] may be another one now.
    pub(super) fn settle(&mut self, uuid: Uuid, happened: bool) -> bool {
        let Some(at) = self.steps.iter().position(|step| step.uuid == uuid) else {
            return false;
        };
        let counted = self.steps[at].belief != Belief::Doubtful;
        if happened {
            self.steps[at].belief = Belief::Happened;
        } else {
            self.steps.remove(at);
        }
        while let Some(first) = self.steps.front()
            && first.belief == Belief::Happened
        {
            apply(&mut self.confirmed, first);
            self.steps.pop_front();
        }
        counted != happened
    }

    /// Whether nothing is under way any more.
    pub(super) fn is_settled(&self) -> bool {
        self.steps.is_empty()
    }

    /// What the agent is counted with.
    pub(super) fn total(&self) -> Resources {
        let mut total = self.confirmed.clone();
        for step in &self.steps {
            if step.belief != Belief::Doubtful {
                apply(&mut total, step);
            }
        }
        total
    }
}

/// One that builds on another that did not happen will not happen either; the agent says so next.
fn apply(total: &mut Resources, step: &Step) {
    match total.apply_all(&step.conversions) {
        Ok(after) => *total = after,
        Err(error) => {
            tracing::warn!(operation_uuid = %step.uuid, %error, "an operation has nothing to work on");
        }
    }
}

#[cfg(test)]
mod tests {
    use mesos_types::parse_resources;

    use super::*;

    fn of(text: &str) -> Resources {
        parse_resources(text, "*").unwrap()
    }

    fn turn(from: &str, to: &str) -> Vec<Conversion> {
        vec![Conversion {
            consumed: of(from),
            converted: of(to),
        }]
    }

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn what_is_under_way_counts_until_the_agent_says_otherwise() {
        let mut agent = Speculation::new(of("disk:10"));
        agent.expect(id(1), turn("disk:4", "disk(a):4"));
        agent.expect(id(2), turn("disk(a):4", "disk(b):4"));
        agent.expect(id(3), turn("disk:1", "disk(c):1"));
        assert_eq!(agent.total(), of("disk:5;disk(b):4;disk(c):1"));
        // The second builds on the first, which did not happen.
        agent.settle(id(1), false);
        assert_eq!(agent.total(), of("disk:9;disk(c):1"));
        agent.settle(id(2), false);
        agent.settle(id(3), true);
        assert!(agent.is_settled());
        assert_eq!(agent.total(), of("disk:9;disk(c):1"));
    }

    #[test]
    fn an_agent_that_is_ahead_is_taken_back_when_it_fails() {
        for order in [[1, 2], [2, 1]] {
            let all = [turn("disk:4", "disk(a):4"), turn("disk(a):4", "disk(b):4")];
            let unanswered = order.map(|n| (id(n), all[usize::try_from(n).unwrap() - 1].clone()));
            let mut agent = Speculation::ahead(of("disk:6;disk(b):4"), unanswered.into());
            assert_eq!(agent.total(), of("disk:6;disk(b):4"));
            agent.settle(id(2), false);
            assert_eq!(agent.total(), of("disk:6;disk(a):4"));
            agent.settle(id(1), true);
            assert!(agent.is_settled());
            assert_eq!(agent.total(), of("disk:6;disk(a):4"));
        }
    }

    #[test]
    fn answers_may_come_in_any_order() {
        let mut agent = Speculation::new(of("disk:10"));
        agent.expect(id(1), turn("disk:4", "disk(a):4"));
        agent.expect(id(2), turn("disk(a):4", "disk(b):4"));
        agent.settle(id(2), true);
        assert!(!agent.is_settled());
        assert_eq!(agent.total(), of("disk:6;disk(b):4"));
        agent.settle(id(1), true);
        assert!(agent.is_settled());
        assert_eq!(agent.total(), of("disk:6;disk(b):4"));
    }

    #[test]
    fn one_that_may_not_have_arrived_counts_once_the_agent_says_so() {
        let mut agent = Speculation::new(of("disk:10"));
        agent.doubt(id(1), turn("disk:4", "disk(a):4"));
        assert_eq!(agent.total(), of("disk:10"));
        agent.settle(id(1), true);
        assert_eq!(agent.total(), of("disk:6;disk(a):4"));
    }
}
