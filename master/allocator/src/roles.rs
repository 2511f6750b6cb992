//! The tree of roles, with the frameworks in each: whose turn it is, and what each role has.
//!
//! `eng/prod` lies below `eng`, and what it holds counts for both. A role that has frameworks of
//! its own besides sub-roles competes with them as one more child, [`Child::Own`].

use std::{
    collections::{HashMap, btree_set},
    sync::Arc,
};

use mesos_types::{Meta, Resource, Resources};
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    Options, Policy, Quota, Weight,
    amounts::Amounts,
    charge::Charge,
    quota::InForce,
    relief::Blocks,
    share::Cluster,
    sorter::{Judge, Place, Sorter},
    table::{FrameworkKey, RoleKey, Table},
};

/// What competes below a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Child {
    /// The frameworks of the role itself.
    Own,
    /// A sub-role with all below it.
    Role(RoleKey),
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) path: Arc<str>,
    pub(crate) parent: Option<RoleKey>,
    frameworks: Sorter<FrameworkKey>,
    children: Sorter<Child>,
    pub(crate) quota: Option<Box<InForce>>,
    /// Held by frameworks of this role and those below it.
    held: Amounts,
    /// Reserved for this role and those below it.
    pub(crate) reserved: Amounts,
    /// What counts against a quota.
    pub(crate) consumed: Amounts,
    /// What guarantees of this role and those below it still need, and what those below need.
    pub(crate) needed: Amounts,
    pub(crate) needed_below: Amounts,
    /// Of what is allocated to the role and nothing else.
    plain: Arc<Meta>,
}

impl Node {
    fn new(path: Arc<str>, parent: Option<RoleKey>) -> Self {
        let plain = Meta {
            allocation_role: Some(path.clone()),
            ..Meta::default()
        };
        Self {
            plain: Arc::new(plain),
            path,
            parent,
            frameworks: Sorter::default(),
            children: Sorter::default(),
            quota: None,
            held: Amounts::default(),
            reserved: Amounts::default(),
            consumed: Amounts::default(),
            needed: Amounts::default(),
            needed_below: Amounts::default(),
        }
    }

    /// Whether anything still asks for the role.
    fn is_needed(&self) -> bool {
        !self.children.is_empty() || self.quota.is_some() || !self.reserved.is_zero()
    }
}

/// Roles exist as long as a framework is subscribed or holds something in them or below, or they
/// have a quota or a reservation.
#[derive(Debug)]
pub(crate) struct Roles {
    pub(crate) nodes: Table<Arc<str>, RoleKey, Node>,
    pub(crate) root: RoleKey,
    weights: HashMap<String, Weight>,
    cluster: Cluster,
    role_policy: Arc<dyn Policy>,
    framework_policy: Arc<dyn Policy>,
    chance: StdRng,
    /// The version of the cluster that the sorters know.
    seen: u64,
    /// What anybody may have: neither held, nor reserved, nor revocable, on agents that are offered.
    pub(crate) free: Amounts,
    /// How many roles have a quota.
    pub(crate) quotas: usize,
    /// Who got less than there was, and what kept it from more.
    pub(crate) blocks: Blocks,
}

impl Roles {
    pub fn new(options: &Options) -> Self {
        let mut nodes = Table::default();
        // No role has an empty name.
        let root: Arc<str> = "".into();
        let root = nodes.insert(root.clone(), Node::new(root, None));
        let cluster = Cluster::new(options.excluded_from_shares.clone());
        let seen = cluster.version();
        Self {
            nodes,
            root,
            weights: options.weights.clone(),
            cluster,
            role_policy: options.role_sorter.clone(),
            framework_policy: options.framework_sorter.clone(),
            chance: StdRng::seed_from_u64(options.seed),
            seen,
            free: Amounts::default(),
            quotas: 0,
            blocks: Blocks::default(),
        }
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// An agent has come, gone or changed. [`Roles::refresh`] must follow before the next turn.
    pub fn resize_cluster(&mut self, old: &Amounts, new: &Amounts) {
        self.cluster.replace(old, new);
    }

    /// Takes changes of the cluster into the order.
    pub fn refresh(&mut self) {
        if self.seen == self.cluster.version() {
            return;
        }
        self.seen = self.cluster.version();
        for (_, node) in self.nodes.iter_mut() {
            node.frameworks.refresh(&mut Judge {
                cluster: &self.cluster,
                policy: &*self.framework_policy,
                chance: &mut self.chance,
            });
            node.children.refresh(&mut Judge {
                cluster: &self.cluster,
                policy: &*self.role_policy,
                chance: &mut self.chance,
            });
        }
    }

    pub fn key(&self, path: &str) -> Option<RoleKey> {
        self.nodes.key(path).filter(|key| *key != self.root)
    }

    pub fn path(&self, role: RoleKey) -> Arc<str> {
        self.node(role).path.clone()
    }

    pub(crate) fn node(&self, role: RoleKey) -> &Node {
        self.nodes
            .get(role)
            .expect("a role lives as long as a framework has its key")
    }

    pub(crate) fn node_mut(&mut self, role: RoleKey) -> &mut Node {
        self.nodes
            .get_mut(role)
            .expect("a role lives as long as a framework has its key")
    }

    /// Makes the framework a client of the role, inactive and holding nothing if it was none.
    pub fn add_client(&mut self, path: &str, framework: FrameworkKey, name: Arc<str>) -> RoleKey {
        let role = self.role(path);
        let node = self.node_mut(role);
        let path = node.path.clone();
        node.frameworks.add(framework, name, Weight::ONE);
        node.children.add(Child::Own, path, Weight::ONE);
        role
    }

    /// The role of this name; there is one afterwards.
    pub(crate) fn role(&mut self, path: &str) -> RoleKey {
        self.nodes.key(path).unwrap_or_else(|| self.add_path(path))
    }

    fn add_path(&mut self, path: &str) -> RoleKey {
        let ends = path
            .match_indices('/')
            .map(|(at, _)| at)
            .chain([path.len()]);
        let mut parent = self.root;
        for end in ends {
            let path = &path[..end];
            parent = self.nodes.key(path).unwrap_or_else(|| {
                let weight = self.weights.get(path).copied().unwrap_or(Weight::ONE);
                let path: Arc<str> = path.into();
                let role = self
                    .nodes
                    .insert(path.clone(), Node::new(path.clone(), Some(parent)));
                self.node_mut(parent)
                    .children
                    .add(Child::Role(role), path, weight);
                role
            });
        }
        parent
    }

    /// Forgets the framework, which must hold nothing there, and roles that nobody needs now.
    pub fn remove_client(&mut self, role: RoleKey, framework: FrameworkKey) {
        self.set_active(role, framework, false);
        let node = self.node_mut(role);
        node.frameworks.remove(framework);
        if node.frameworks.is_empty() {
            node.children.remove(Child::Own);
        }
        self.prune(role);
    }

    pub(crate) fn prune(&mut self, mut role: RoleKey) {
        while !self.node(role).is_needed() {
            let Some(parent) = self.node(role).parent else {
                return;
            };
            let path = self.path(role);
            self.node_mut(parent).children.remove(Child::Role(role));
            self.nodes.remove(&path);
            role = parent;
        }
    }

    /// Whether the framework takes its turn in the role.
    pub fn set_active(&mut self, role: RoleKey, framework: FrameworkKey, active: bool) {
        let (nodes, mut judges) = self.judges();
        let Some(node) = nodes.get_mut(role) else {
            return;
        };
        node.frameworks
            .set_active(framework, active, &mut judges.frameworks());
        let active = node.frameworks.has_active();
        node.children
            .set_active(Child::Own, active, &mut judges.roles());
        let mut role = role;
        while let Some(node) = nodes.get_mut(role) {
            let (active, parent) = (node.children.has_active(), node.parent);
            let Some(parent) = parent else { return };
            if let Some(above) = nodes.get_mut(parent) {
                above
                    .children
                    .set_active(Child::Role(role), active, &mut judges.roles());
            }
            role = parent;
        }
    }

    /// The framework holds `more` now, which may be less than nothing. `served`: it has been
    /// offered that.
    pub fn charge(&mut self, role: RoleKey, framework: FrameworkKey, more: &Charge, served: bool) {
        let (nodes, mut judges) = self.judges();
        let Some(node) = nodes.get_mut(role) else {
            return;
        };
        node.frameworks
            .change(framework, &more.all, served, &mut judges.frameworks());
        node.children
            .change(Child::Own, &more.all, served, &mut judges.roles());
        let mut at = role;
        while let Some(node) = nodes.get_mut(at) {
            node.held.add(&more.all);
            let Some(parent) = node.parent else { break };
            let counted = more.counted(&node.path);
            node.consumed.add(&more.consumed(&counted));
            if let Some(parent) = nodes.get_mut(parent) {
                parent
                    .children
                    .change(Child::Role(at), &counted, served, &mut judges.roles());
            }
            at = parent;
        }
        self.reckon(role);
    }

    /// So much more is reserved for the role; may be less than nothing.
    pub fn reserve(&mut self, path: &str, more: &Amounts) {
        let role = self.role(path);
        let (nodes, mut judges) = self.judges();
        let mut at = role;
        while let Some(node) = nodes.get_mut(at) {
            let Some(parent) = node.parent else { break };
            node.reserved.add(more);
            node.consumed.add(more);
            if let Some(parent) = nodes.get_mut(parent) {
                parent
                    .children
                    .change(Child::Role(at), more, false, &mut judges.roles());
            }
            at = parent;
        }
        self.reckon(role);
        self.prune(role);
    }

    /// Roles with a quota, in no order.
    pub fn quotas(&self) -> impl Iterator<Item = (&Arc<str>, &Quota)> {
        let nodes = self.nodes.iter().map(|(_, node)| node);
        nodes.filter_map(|node| Some((&node.path, &node.quota.as_ref()?.quota)))
    }

    pub fn has_quotas(&self) -> bool {
        self.quotas > 0
    }

    /// The role and those above it.
    pub(crate) fn chain(&self, role: RoleKey) -> impl Iterator<Item = &Node> {
        let mut next = Some(role);
        std::iter::from_fn(move || {
            let node = self.nodes.get(next?)?;
            next = node.parent;
            node.parent.is_some().then_some(node)
        })
    }

    /// From now on the roles have these weights; others keep theirs.
    pub fn set_weights(&mut self, weights: &[(String, Weight)]) {
        for (path, weight) in weights {
            if *weight == Weight::ONE {
                self.weights.remove(path);
            } else {
                self.weights.insert(path.clone(), *weight);
            }
            let Some(role) = self.key(path) else { continue };
            let (nodes, mut judges) = self.judges();
            let parent = nodes.get(role).and_then(|node| node.parent);
            if let Some(parent) = parent.and_then(|parent| nodes.get_mut(parent)) {
                parent
                    .children
                    .set_weight(Child::Role(role), *weight, &mut judges.roles());
            }
        }
    }

    /// The weight of a role, known or not.
    pub fn weight(&self, path: &str) -> Weight {
        self.weights.get(path).copied().unwrap_or(Weight::ONE)
    }

    /// What the frameworks of a role and of those below it hold.
    pub fn held(&self, path: &str) -> Option<&Amounts> {
        Some(&self.node(self.key(path)?).held)
    }

    /// What all frameworks hold.
    pub fn held_by_all(&self) -> &Amounts {
        &self.node(self.root).held
    }

    /// What is reserved for a role and those below it.
    pub fn reserved(&self, path: &str) -> Option<&Amounts> {
        Some(&self.node(self.key(path)?).reserved)
    }

    /// What counts against the quota of a role.
    pub fn consumed(&self, path: &str) -> Option<&Amounts> {
        Some(&self.node(self.key(path)?).consumed)
    }

    /// The quota of a role.
    pub fn quota(&self, path: &str) -> Option<&Quota> {
        let quota = self.node(self.key(path)?).quota.as_ref()?;
        Some(&quota.quota)
    }

    /// Each role with its dominant share, divided by its weight, in 2^-64.
    pub fn shares(&self) -> impl Iterator<Item = (&Arc<str>, u128)> {
        self.nodes.iter().filter_map(|(key, node)| {
            let above = self.nodes.get(node.parent?)?;
            Some((&node.path, above.children.weighted_share(Child::Role(key))?))
        })
    }

    /// Roles with active frameworks, the one that is next first.
    pub fn in_order(&self) -> RolesInOrder<'_> {
        self.in_order_below(self.root)
    }

    /// The same for a role and those below it.
    pub fn in_order_below(&self, role: RoleKey) -> RolesInOrder<'_> {
        let children = self.nodes.get(role).map(|node| node.children.in_order());
        let stack = children.map(|children| (role, children)).into_iter();
        RolesInOrder {
            roles: self,
            stack: stack.collect(),
        }
    }

    /// Active frameworks of a role, the one that is next first.
    pub fn frameworks_in_order(&self, role: RoleKey) -> impl Iterator<Item = FrameworkKey> {
        self.node(role).frameworks.in_order().map(|(.., key)| *key)
    }

    /// The resources, allocated to the role.
    pub fn allocate(&self, role: RoleKey, resources: &Resources) -> Resources {
        let node = self.node(role);
        let plain = Meta::default();
        if resources
            .distinct()
            .any(|r| *r.meta != plain || r.meta.disk.is_some())
        {
            return resources.allocated_to(&node.path);
        }
        let allocated = resources.distinct().map(|r| Resource {
            meta: node.plain.clone(),
            ..r.clone()
        });
        allocated.collect()
    }

    /// Whether something is reserved for the role or for one above it.
    pub fn has_reservations(&self, role: RoleKey) -> bool {
        self.chain(role).any(|node| !node.reserved.is_zero())
    }

    fn judges(&mut self) -> (&mut Table<Arc<str>, RoleKey, Node>, Judges<'_>) {
        let judges = Judges {
            cluster: &self.cluster,
            roles: &*self.role_policy,
            frameworks: &*self.framework_policy,
            chance: &mut self.chance,
        };
        (&mut self.nodes, judges)
    }
}

/// Makers of judges for both kinds of clients.
struct Judges<'a> {
    cluster: &'a Cluster,
    roles: &'a dyn Policy,
    frameworks: &'a dyn Policy,
    chance: &'a mut StdRng,
}

impl Judges<'_> {
    fn roles(&mut self) -> Judge<'_> {
        Judge {
            cluster: self.cluster,
            policy: self.roles,
            chance: self.chance,
        }
    }

    fn frameworks(&mut self) -> Judge<'_> {
        Judge {
            cluster: self.cluster,
            policy: self.frameworks,
            chance: self.chance,
        }
    }
}

/// Depth first; a stack of its own, because the depth comes from outside.
pub(crate) struct RolesInOrder<'a> {
    roles: &'a Roles,
    stack: Vec<(RoleKey, btree_set::Iter<'a, Place<Child>>)>,
}

impl Iterator for RolesInOrder<'_> {
    type Item = RoleKey;

    fn next(&mut self) -> Option<RoleKey> {
        loop {
            let (role, children) = self.stack.last_mut()?;
            match children.next() {
                None => {
                    self.stack.pop();
                }
                Some((.., Child::Own)) => return Some(*role),
                Some((.., Child::Role(below))) => {
                    self.stack
                        .push((*below, self.roles.node(*below).children.in_order()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mesos_types::parse_resources;

    use super::*;
    use crate::table::Key;

    fn cpus(n: i64) -> Amounts {
        Amounts::all(&parse_resources(&format!("cpus:{n}"), "*").unwrap())
    }

    fn charge(text: &str) -> Charge {
        Charge::of(&parse_resources(text, "*").unwrap())
    }

    fn roles(paths: &[&str], weights: &[(&str, f64)]) -> (Roles, Vec<RoleKey>) {
        let weights = weights
            .iter()
            .map(|(role, w)| ((*role).to_owned(), Weight::from_f64(*w).unwrap()));
        let mut roles = Roles::new(&Options {
            weights: weights.collect(),
            ..Options::default()
        });
        roles.resize_cluster(&Amounts::default(), &cpus(100));
        roles.refresh();
        let framework = FrameworkKey::new(0);
        let keys = paths.iter().map(|path| {
            let key = roles.add_client(path, framework, "f".into());
            roles.set_active(key, framework, true);
            key
        });
        let keys = keys.collect();
        (roles, keys)
    }

    fn order(roles: &Roles) -> Vec<String> {
        roles
            .in_order()
            .map(|key| roles.path(key).to_string())
            .collect()
    }

    #[test]
    fn what_a_sub_role_holds_counts_for_the_roles_above() {
        let framework = FrameworkKey::new(0);
        let (mut roles, keys) = roles(&["a/x", "a/y", "b"], &[]);
        assert_eq!(order(&roles), ["a/x", "a/y", "b"]);
        roles.charge(keys[0], framework, &charge("cpus:10"), true);
        assert_eq!(order(&roles), ["b", "a/y", "a/x"]);
        roles.charge(keys[2], framework, &charge("cpus:20"), true);
        assert_eq!(order(&roles), ["a/y", "a/x", "b"]);
        assert_eq!(roles.held("a"), Some(&cpus(10)));
        roles.charge(keys[0], framework, &charge("cpus:10").negative(), false);
        assert_eq!(roles.held("a"), Some(&Amounts::default()));
    }

    #[test]
    fn reservations_count_once_whether_they_are_held_or_not() {
        let framework = FrameworkKey::new(0);
        let (mut roles, keys) = roles(&["a/x", "b"], &[]);
        roles.reserve("a", &cpus(10));
        assert_eq!(order(&roles), ["b", "a/x"]);
        roles.charge(keys[1], framework, &charge("cpus:9"), true);
        assert_eq!(order(&roles), ["b", "a/x"]);
        roles.charge(keys[0], framework, &charge("cpus(a):10"), true);
        assert_eq!(order(&roles), ["b", "a/x"]);
        assert_eq!(roles.consumed("a"), Some(&cpus(10)));
        // What is reserved above a role counts for it only when it holds it.
        assert_eq!(roles.consumed("a/x"), Some(&cpus(10)));
        roles.charge(keys[1], framework, &charge("cpus:2"), true);
        assert_eq!(order(&roles), ["a/x", "b"]);
        roles.reserve("a", &Amounts::default().minus(&cpus(10)));
        assert_eq!(roles.reserved("a"), Some(&Amounts::default()));
    }

    #[test]
    fn a_role_stays_as_long_as_something_is_reserved_for_it_or_it_has_a_quota() {
        let (mut roles, _) = roles(&[], &[]);
        roles.reserve("a/b", &cpus(1));
        let quota = Quota {
            limits: [("cpus".to_owned(), mesos_types::Scalar::ZERO)].into(),
            ..Quota::default()
        };
        roles.set_quota("a", Some(quota.clone()));
        roles.reserve("a/b", &Amounts::default().minus(&cpus(1)));
        assert!(roles.key("a/b").is_none());
        assert_eq!(roles.quota("a"), Some(&quota));
        roles.set_quota("a", Some(Quota::default()));
        assert!(roles.key("a").is_none() && !roles.has_quotas());
    }

    #[test]
    fn frameworks_of_a_role_compete_with_its_sub_roles() {
        let framework = FrameworkKey::new(0);
        let (mut roles, keys) = roles(&["a", "a/x"], &[]);
        roles.charge(keys[0], framework, &charge("cpus:5"), true);
        assert_eq!(order(&roles), ["a/x", "a"]);
        roles.charge(keys[1], framework, &charge("cpus:6"), true);
        assert_eq!(order(&roles), ["a", "a/x"]);
    }

    #[test]
    fn a_weight_of_two_is_twice_the_share_also_from_now_on() {
        let framework = FrameworkKey::new(0);
        let (mut roles, keys) = roles(&["a", "b"], &[("b", 2.0)]);
        roles.charge(keys[0], framework, &charge("cpus:10"), true);
        roles.charge(keys[1], framework, &charge("cpus:19"), true);
        assert_eq!(order(&roles), ["b", "a"]);
        roles.charge(keys[1], framework, &charge("cpus:2"), true);
        assert_eq!(order(&roles), ["a", "b"]);
        roles.set_weights(&[("b".to_owned(), Weight::from_f64(3.0).unwrap())]);
        assert_eq!(order(&roles), ["b", "a"]);
        roles.set_weights(&[("b".to_owned(), Weight::ONE)]);
        assert_eq!(order(&roles), ["a", "b"]);
    }

    #[test]
    fn roles_vanish_with_their_last_framework() {
        let framework = FrameworkKey::new(0);
        let (mut roles, keys) = roles(&["a/x/y", "a"], &[]);
        roles.set_active(keys[1], framework, false);
        assert_eq!(order(&roles), ["a/x/y"]);
        roles.remove_client(keys[0], framework);
        assert_eq!(order(&roles), [""; 0]);
        assert!(roles.key("a/x").is_none() && roles.key("a").is_some());
        roles.remove_client(keys[1], framework);
        assert!(roles.key("a").is_none());
        assert_eq!(roles.nodes.len(), 1);
    }

    #[test]
    fn depth_costs_no_stack() {
        let path = vec!["a"; 2_000].join("/");
        let (roles, keys) = roles(&[&path], &[]);
        assert_eq!(roles.in_order().collect::<Vec<_>>(), keys);
    }
}
