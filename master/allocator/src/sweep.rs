//! Frameworks that newly want offers, and how far they have been shown the agents that have any.

use rustc_hash::FxHashMap;

use crate::{bits::Bits, filters::Subscriber};

/// Goes round all agents that have something available, as long as somebody is to be shown them.
///
/// Whoever joins is shown each agent once, from where the round is. Agents that change meanwhile
/// have a turn of their own, with everybody.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    members: FxHashMap<Subscriber, Member>,
    /// The next agent's row.
    at: usize,
    /// No member leaves before this row.
    next_leave: Option<usize>,
}

#[derive(Debug)]
struct Member {
    joined_at: usize,
    /// Has been shown the rows from there to the end.
    wrapped: bool,
}

impl Sweep {
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether the subscriber takes part.
    pub fn contains(&self, who: Subscriber) -> bool {
        self.members.contains_key(&who)
    }

    /// Who takes part, if it is only one.
    pub fn only_member(&self) -> Option<Subscriber> {
        let mut members = self.members.keys();
        members.next().copied().filter(|_| members.len() == 0)
    }

    /// The subscriber is to be shown all agents, also those that it has been shown in this round.
    pub fn join(&mut self, who: Subscriber) {
        if self.members.is_empty() {
            self.clear();
        }
        let member = Member {
            joined_at: self.at,
            wrapped: false,
        };
        self.members.insert(who, member);
    }

    pub fn leave(&mut self, who: Subscriber) {
        self.members.remove(&who);
    }

    /// There is nothing to be shown.
    pub fn clear(&mut self) {
        self.members.clear();
        (self.at, self.next_leave) = (0, None);
    }

    /// The row of the next agent out of `rows` that members are to be shown. Those that have been
    /// shown all leave.
    pub fn next(&mut self, rows: &Bits) -> Option<usize> {
        loop {
            let next = rows.next(self.at);
            // As many rows as there can be, if none is left.
            let reached = next.unwrap_or(usize::MAX);
            if self.next_leave.is_some_and(|row| row <= reached) {
                self.members
                    .retain(|_, member| !member.wrapped || reached < member.joined_at);
                self.set_next_leave();
            }
            if self.members.is_empty() {
                self.clear();
                return None;
            }
            if let Some(row) = next {
                self.at = row + 1;
                return Some(row);
            }
            self.at = 0;
            for member in self.members.values_mut() {
                member.wrapped = true;
            }
            self.set_next_leave();
        }
    }

    fn set_next_leave(&mut self) {
        let wrapped = self.members.values().filter(|member| member.wrapped);
        self.next_leave = wrapped.map(|member| member.joined_at).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{FrameworkKey, Key, RoleKey};

    fn who(n: u32) -> Subscriber {
        (FrameworkKey::new(n), RoleKey::new(0))
    }

    fn rows(of: &[usize]) -> Bits {
        let mut rows = Bits::default();
        for row in of {
            rows.set(*row, true);
        }
        rows
    }

    #[test]
    fn everybody_is_shown_each_agent_once() {
        let (mut sweep, rows) = (Sweep::default(), rows(&[1, 3, 70]));
        assert_eq!(sweep.next(&rows), None);
        sweep.join(who(0));
        let mut shown = vec![Vec::new(); 2];
        let mut step = 0;
        while let Some(row) = sweep.next(&rows) {
            for n in 0..2 {
                if sweep.contains(who(n)) {
                    shown[n as usize].push(row);
                }
            }
            step += 1;
            if step == 2 {
                sweep.join(who(1));
            }
        }
        assert_eq!(shown, [vec![1, 3, 70], vec![70, 1, 3]]);
        assert!(sweep.is_empty());
    }

    #[test]
    fn a_round_without_agents_ends() {
        let (mut sweep, mut none) = (Sweep::default(), rows(&[5]));
        sweep.join(who(0));
        assert_eq!(sweep.next(&none), Some(5));
        sweep.join(who(1));
        none.set(5, false);
        assert_eq!(sweep.next(&none), None);
        assert!(sweep.is_empty());
    }
}
