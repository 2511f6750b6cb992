//! The tree of roles, with the frameworks in each: whose turn it is.
//!
//! `eng/prod` lies below `eng`, and what it holds counts for both. A role that has frameworks of
//! its own besides sub-roles competes with them as one more child, [`Child::Own`].

use std::{
    collections::{HashMap, btree_set},
    sync::Arc,
};

use mesos_types::Quantities;

use crate::{
    share::{Cluster, Weight},
    sorter::{Rank, Sorter},
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
struct Node {
    path: Arc<str>,
    parent: Option<RoleKey>,
    frameworks: Sorter<FrameworkKey>,
    children: Sorter<Child>,
}

impl Node {
    fn new(path: Arc<str>, parent: Option<RoleKey>) -> Self {
        Self {
            path,
            parent,
            frameworks: Sorter::default(),
            children: Sorter::default(),
        }
    }
}

/// Roles exist as long as a framework is subscribed or holds something in them or below.
#[derive(Debug)]
pub(crate) struct Roles {
    nodes: Table<Arc<str>, RoleKey, Node>,
    root: RoleKey,
    weights: HashMap<String, Weight>,
    cluster: Cluster,
    /// The version of the cluster that the sorters know.
    seen: u64,
}

impl Roles {
    pub fn new(cluster: Cluster, weights: HashMap<String, Weight>) -> Self {
        let mut nodes = Table::default();
        // No role has an empty name.
        let root: Arc<str> = "".into();
        let root = nodes.insert(root.clone(), Node::new(root, None));
        let seen = cluster.version();
        Self {
            nodes,
            root,
            weights,
            cluster,
            seen,
        }
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// An agent has come, gone or changed. [`Roles::refresh`] must follow before the next turn.
    pub fn resize_cluster(&mut self, old: &Quantities, new: &Quantities) {
        self.cluster.replace(old, new);
    }

    /// Takes changes of the cluster into the order.
    pub fn refresh(&mut self) {
        if self.seen == self.cluster.version() {
            return;
        }
        self.seen = self.cluster.version();
        for (_, node) in self.nodes.iter_mut() {
            node.frameworks.refresh(&self.cluster);
            node.children.refresh(&self.cluster);
        }
    }

    pub fn key(&self, path: &str) -> Option<RoleKey> {
        self.nodes.key(path).filter(|key| *key != self.root)
    }

    pub fn path(&self, role: RoleKey) -> Arc<str> {
        self.node(role).path.clone()
    }

    fn node(&self, role: RoleKey) -> &Node {
        self.nodes
            .get(role)
            .expect("a role lives as long as a framework has its key")
    }

    fn node_mut(&mut self, role: RoleKey) -> &mut Node {
        self.nodes
            .get_mut(role)
            .expect("a role lives as long as a framework has its key")
    }

    /// Makes the framework a client of the role, inactive and holding nothing if it was none.
    pub fn add_client(&mut self, path: &str, framework: FrameworkKey, name: Arc<str>) -> RoleKey {
        let role = self.nodes.key(path).unwrap_or_else(|| self.add_path(path));
        let node = self.node_mut(role);
        let path = node.path.clone();
        node.frameworks.add(framework, name, Weight::ONE);
        node.children.add(Child::Own, path, Weight::ONE);
        role
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
        let mut role = role;
        while self.node(role).children.is_empty() {
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
        let node = self.node_mut(role);
        node.frameworks.set_active(framework, active);
        let active = node.frameworks.has_active();
        node.children.set_active(Child::Own, active);
        let mut role = role;
        loop {
            let node = self.node(role);
            let (active, parent) = (node.children.has_active(), node.parent);
            let Some(parent) = parent else { return };
            self.node_mut(parent)
                .children
                .set_active(Child::Role(role), active);
            role = parent;
        }
    }

    /// The framework holds `more` now.
    pub fn allocate(&mut self, role: RoleKey, framework: FrameworkKey, more: &Quantities) {
        self.change(role, framework, |change| match change {
            Change::Framework(sorter, key, cluster) => sorter.allocate(key, more, cluster),
            Change::Child(sorter, key, cluster) => sorter.allocate(key, more, cluster),
        });
    }

    /// The framework has given back `less`.
    pub fn release(&mut self, role: RoleKey, framework: FrameworkKey, less: &Quantities) {
        self.change(role, framework, |change| match change {
            Change::Framework(sorter, key, cluster) => sorter.release(key, less, cluster),
            Change::Child(sorter, key, cluster) => sorter.release(key, less, cluster),
        });
    }

    fn change(&mut self, role: RoleKey, framework: FrameworkKey, apply: impl Fn(Change<'_>)) {
        let Self { nodes, cluster, .. } = self;
        let mut next = nodes.get_mut(role);
        let mut child = Child::Own;
        let mut at = role;
        while let Some(node) = next {
            if child == Child::Own {
                apply(Change::Framework(&mut node.frameworks, framework, cluster));
            }
            apply(Change::Child(&mut node.children, child, cluster));
            child = Child::Role(at);
            let Some(parent) = node.parent else { return };
            at = parent;
            next = nodes.get_mut(parent);
        }
    }

    /// What the frameworks of a role and of those below it hold.
    pub fn allocated(&self, role: RoleKey) -> Option<&Quantities> {
        let parent = self.nodes.get(role)?.parent?;
        self.node(parent).children.allocated(Child::Role(role))
    }

    /// Roles with active frameworks, the one that is next first.
    pub fn in_order(&self) -> RolesInOrder<'_> {
        let stack = vec![(self.root, self.node(self.root).children.in_order())];
        RolesInOrder { roles: self, stack }
    }

    /// Active frameworks of a role, the one that is next first.
    pub fn frameworks_in_order(&self, role: RoleKey) -> impl Iterator<Item = FrameworkKey> {
        self.node(role).frameworks.in_order().map(|(.., key)| *key)
    }
}

/// A place in the tree where something held changes.
enum Change<'a> {
    Framework(&'a mut Sorter<FrameworkKey>, FrameworkKey, &'a Cluster),
    Child(&'a mut Sorter<Child>, Child, &'a Cluster),
}

/// Depth first; a stack of its own, because the depth comes from outside.
pub(crate) struct RolesInOrder<'a> {
    roles: &'a Roles,
    stack: Vec<(RoleKey, btree_set::Iter<'a, Rank<Child>>)>,
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
    use std::collections::BTreeSet;

    use mesos_types::Scalar;

    use super::*;
    use crate::table::Key;

    fn cpus(n: i64) -> Quantities {
        Quantities::from_iter([("cpus", Scalar::from_thousandths(n * 1000))])
    }

    fn roles(paths: &[&str], weights: &[(&str, f64)]) -> (Roles, Vec<RoleKey>) {
        let mut cluster = Cluster::new(BTreeSet::new());
        cluster.replace(&Quantities::default(), &cpus(100));
        let weights = weights
            .iter()
            .map(|(role, w)| ((*role).to_owned(), Weight::from_f64(*w).unwrap()));
        let mut roles = Roles::new(cluster, weights.collect());
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
        roles.allocate(keys[0], framework, &cpus(10));
        assert_eq!(order(&roles), ["b", "a/y", "a/x"]);
        roles.allocate(keys[2], framework, &cpus(20));
        assert_eq!(order(&roles), ["a/y", "a/x", "b"]);
        assert_eq!(roles.allocated(roles.key("a").unwrap()), Some(&cpus(10)));
        roles.release(keys[0], framework, &cpus(10));
        assert_eq!(
            roles.allocated(roles.key("a").unwrap()),
            Some(&Quantities::default())
        );
    }

    #[test]
    fn frameworks_of_a_role_compete_with_its_sub_roles() {
        let framework = FrameworkKey::new(0);
        let (mut roles, keys) = roles(&["a", "a/x"], &[]);
        roles.allocate(keys[0], framework, &cpus(5));
        assert_eq!(order(&roles), ["a/x", "a"]);
        roles.allocate(keys[1], framework, &cpus(6));
        assert_eq!(order(&roles), ["a", "a/x"]);
    }

    #[test]
    fn a_weight_of_two_is_twice_the_share() {
        let framework = FrameworkKey::new(0);
        let (mut roles, keys) = roles(&["a", "b"], &[("b", 2.0)]);
        roles.allocate(keys[0], framework, &cpus(10));
        roles.allocate(keys[1], framework, &cpus(19));
        assert_eq!(order(&roles), ["b", "a"]);
        roles.allocate(keys[1], framework, &cpus(2));
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
