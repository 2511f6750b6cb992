//! What quotas keep roles from, and who may get more when that changes.

use std::cell::{Cell, RefCell};

use mesos_types::is_subrole;

use crate::{
    Quota,
    amounts::Amounts,
    quota::{Allowance, Cut, InForce, Link},
    roles::{Node, Roles},
    table::RoleKey,
};

/// What keeps roles from getting what is there: to be looked at again when that gets better.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// Roles whose quota is watched for that.
    roles: Vec<RoleKey>,
    /// Since somebody got less than there was because it is kept free for others: the least that
    /// was free beyond what guarantees need.
    floor: Option<Amounts>,
    /// Found in this turn.
    new_roles: RefCell<Vec<RoleKey>>,
    new_headroom: Cell<bool>,
    /// Some role has another quota.
    changed: bool,
    /// Somebody may get more.
    eased: bool,
}

/// Who may get what it did not get before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Relief {
    /// These roles and those below them.
    Roles(Vec<RoleKey>),
    /// All.
    All,
}

impl Roles {
    /// Gives the role another quota; `None` or an empty one for none.
    pub fn set_quota(&mut self, path: &str, quota: Option<Quota>) {
        let quota = quota.filter(|quota| !quota.is_empty());
        if quota.is_none() && self.nodes.key(path).is_none() {
            return;
        }
        let role = self.role(path);
        let before = usize::from(self.node(role).quota.is_some());
        self.quotas = self.quotas - before + usize::from(quota.is_some());
        self.node_mut(role).quota = quota.map(|quota| Box::new(InForce::new(quota)));
        self.reckon(role);
        self.blocks.changed = true;
        self.prune(role);
    }

    /// Works out anew what the role and those above it need, after a change of what they consume.
    pub(crate) fn reckon(&mut self, role: RoleKey) {
        if self.quotas == 0 && self.node(self.root).needed_below.is_zero() {
            return;
        }
        let mut at = role;
        while let Some(node) = self.nodes.get_mut(at) {
            let Some(parent) = node.parent else { break };
            let needed = match &mut node.quota {
                Some(quota) => {
                    self.blocks.eased |= quota.note(&node.consumed, &node.needed_below);
                    quota.needed(&node.consumed, &node.needed_below)
                }
                None => node.needed_below.clone(),
            };
            if needed != node.needed {
                let more = needed.clone().minus(&node.needed);
                node.needed = needed;
                if let Some(parent) = self.nodes.get_mut(parent) {
                    parent.needed_below.add(&more);
                }
            }
            at = parent;
        }
        self.note_surplus();
    }

    /// What is free for anybody has changed on one agent.
    pub fn change_free(&mut self, old: &Amounts, new: &Amounts) {
        if old != new {
            self.free.subtract(old);
            self.free.add(new);
            self.note_surplus();
        }
    }

    fn note_surplus(&mut self) {
        if self.blocks.floor.is_some() {
            let surplus = self.surplus();
            if let Some(floor) = &mut self.blocks.floor {
                *floor = floor.smaller(&surplus);
                self.blocks.eased |= !floor.contains(&surplus);
            }
        }
    }

    /// Somebody in the role got less than there was. What it may get grows when the role or one
    /// above it consumes less, be it below a limit or towards a guarantee, and what is kept free
    /// for others also when more is free.
    pub fn note_cut(&self, role: RoleKey, cut: Cut) {
        self.blocks.new_roles.borrow_mut().push(role);
        if cut.headroom {
            self.blocks.new_headroom.set(true);
        }
    }

    /// Watches what kept somebody from something just now; before anything else changes.
    pub fn watch_cuts(&mut self) {
        if self.blocks.new_headroom.take() && self.blocks.floor.is_none() {
            self.blocks.floor = Some(self.surplus());
        }
        for role in std::mem::take(self.blocks.new_roles.get_mut()) {
            let mut next = Some(role);
            while let Some((key, node)) = next.and_then(|key| Some((key, self.nodes.get_mut(key)?)))
            {
                if let Some(quota) = &mut node.quota {
                    if !quota.is_watched() {
                        self.blocks.roles.push(key);
                    }
                    quota.watch(&node.consumed, &node.needed_below);
                }
                next = node.parent;
            }
        }
    }

    /// Whether [`Roles::take_relief`] has something to say.
    pub fn may_relieve(&self) -> bool {
        self.blocks.eased || self.blocks.changed
    }

    /// Who may get more now, of those who were kept from something.
    pub fn take_relief(&mut self) -> Option<Relief> {
        if !self.may_relieve() {
            return None;
        }
        self.blocks.eased = false;
        let surplus = self.surplus();
        // A new quota changes what others may get in more ways than are watched, and is rare.
        let changed = std::mem::take(&mut self.blocks.changed);
        if self
            .blocks
            .floor
            .take_if(|floor| changed || !floor.contains(&surplus))
            .is_some()
            || changed
        {
            for role in std::mem::take(&mut self.blocks.roles) {
                if let Some(quota) = self.nodes.get_mut(role).and_then(|n| n.quota.as_mut()) {
                    quota.unwatch();
                }
            }
            return Some(Relief::All);
        }
        let nodes = &mut self.nodes;
        let mut roles = Vec::new();
        self.blocks.roles.retain(|role| {
            let Some(node) = nodes.get_mut(*role) else {
                return false;
            };
            let Some(quota) = &mut node.quota else {
                return false;
            };
            let relieved = quota.is_relieved(&node.consumed, &node.needed_below);
            if relieved {
                quota.unwatch();
                roles.push(*role);
            }
            !relieved && quota.is_watched()
        });
        (!roles.is_empty()).then_some(Relief::Roles(roles))
    }

    /// What is free beyond what guarantees need; less than nothing where they need more.
    fn surplus(&self) -> Amounts {
        self.free.clone().minus(&self.node(self.root).needed_below)
    }

    /// Whether neither quota nor headroom can keep the role from anything.
    pub fn is_unrestricted(&self, role: RoleKey) -> bool {
        self.quotas == 0
            || (self.node(self.root).needed_below.is_zero()
                && self.chain(role).all(|node| node.quota.is_none()))
    }

    /// Whether a guarantee of the role or of one above it is not met, in something of `offerable`.
    pub fn is_owed(&self, role: RoleKey, offerable: &Amounts) -> bool {
        let owed = |node: &Node| {
            let Some(quota) = &node.quota else {
                return false;
            };
            let mut guarantees = quota.guarantees().iter();
            guarantees.any(|(name, guarantee)| {
                offerable.get(name) > 0 && node.consumed.get(name) < guarantee
            })
        };
        self.chain(role).any(owed)
    }

    /// Whether any guarantee is not met, in something of `offerable`.
    pub fn anybody_is_owed(&self, offerable: &Amounts) -> bool {
        let mut needed = self.node(self.root).needed_below.iter();
        needed.any(|(name, amount)| amount > 0 && offerable.get(name) > 0)
    }

    /// How much more of `name` the role may get.
    pub fn allowance<'a>(&'a self, role: RoleKey, name: &'a str) -> Allowance<'a> {
        let mut child = 0;
        let link = |node: &'a Node| {
            let link = Link {
                quota: node.quota.as_deref(),
                consumed: node.consumed.get(name),
                below: node.needed_below.get(name),
                child,
            };
            child = node.needed.get(name);
            link
        };
        let chain = self.chain(role).map(link).collect();
        let needed = &self.node(self.root).needed_below;
        Allowance::new(name, chain, self.free.get(name) - needed.get(name))
    }

    /// How many roles, from this one upwards, are charged for something that is reserved for
    /// `reservation`, one of them.
    pub fn span(&self, role: RoleKey, reservation: Option<&str>) -> usize {
        let below = |node: &&Node| reservation.is_none_or(|above| is_subrole(&node.path, above));
        self.chain(role).take_while(below).count()
    }
}
