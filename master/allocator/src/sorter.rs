//! Clients of one level in the order of their shares: who is next.

use std::{
    collections::{BTreeSet, HashMap, btree_set},
    hash::Hash,
    sync::Arc,
};

use mesos_types::Quantities;

use crate::share::{Cluster, Weight};

/// Smaller share first, then fewer allocations so far, then the name.
/// Source of the order: `DRFComparator` in `drf/sorter.hpp` of Apache Mesos.
pub(crate) type Rank<K> = (u128, u64, Arc<str>, K);

#[derive(Debug)]
struct Client {
    name: Arc<str>,
    weight: Weight,
    allocated: Quantities,
    allocations: u64,
    share: u128,
    active: bool,
}

/// Clients with what they hold. Only active ones are in the order.
#[derive(Debug)]
pub(crate) struct Sorter<K> {
    clients: HashMap<K, Client>,
    order: BTreeSet<Rank<K>>,
}

impl<K> Default for Sorter<K> {
    fn default() -> Self {
        Self {
            clients: HashMap::new(),
            order: BTreeSet::new(),
        }
    }
}

impl<K: Copy + Eq + Hash + Ord> Sorter<K> {
    /// Adds an inactive client that holds nothing; nothing happens if it is known.
    pub fn add(&mut self, key: K, name: Arc<str>, weight: Weight) {
        self.clients.entry(key).or_insert_with(|| Client {
            name,
            weight,
            allocated: Quantities::default(),
            allocations: 0,
            share: 0,
            active: false,
        });
    }

    pub fn remove(&mut self, key: K) {
        self.set_active(key, false);
        self.clients.remove(&key);
    }

    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    pub fn has_active(&self) -> bool {
        !self.order.is_empty()
    }

    pub fn set_active(&mut self, key: K, active: bool) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        client.active = active;
        let rank = rank(key, client);
        if active {
            self.order.insert(rank);
        } else {
            self.order.remove(&rank);
        }
    }

    pub fn allocated(&self, key: K) -> Option<&Quantities> {
        self.clients.get(&key).map(|client| &client.allocated)
    }

    /// The client holds `more` now; counts as one allocation.
    pub fn allocate(&mut self, key: K, more: &Quantities, cluster: &Cluster) {
        self.change(key, cluster, |client| {
            client.allocated.add_all(more);
            client.allocations += 1;
        });
    }

    /// The client has given back `less`.
    pub fn release(&mut self, key: K, less: &Quantities, cluster: &Cluster) {
        self.change(key, cluster, |client| client.allocated.subtract_all(less));
    }

    fn change(&mut self, key: K, cluster: &Cluster, change: impl FnOnce(&mut Client)) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        if client.active {
            self.order.remove(&rank(key, client));
        }
        change(client);
        client.share = cluster.share(&client.allocated, client.weight);
        if client.active {
            self.order.insert(rank(key, client));
        }
    }

    /// Takes in that the cluster has changed.
    pub fn refresh(&mut self, cluster: &Cluster) {
        for client in self.clients.values_mut() {
            client.share = cluster.share(&client.allocated, client.weight);
        }
        let active = self.clients.iter().filter(|(_, client)| client.active);
        self.order = active.map(|(key, client)| rank(*key, client)).collect();
    }

    /// Active clients, the one that is next first.
    pub fn in_order(&self) -> btree_set::Iter<'_, Rank<K>> {
        self.order.iter()
    }
}

fn rank<K>(key: K, client: &Client) -> Rank<K> {
    (client.share, client.allocations, client.name.clone(), key)
}

#[cfg(test)]
mod tests {
    use mesos_types::Scalar;

    use super::*;

    fn cpus(n: i64) -> Quantities {
        Quantities::from_iter([("cpus", Scalar::from_thousandths(n * 1000))])
    }

    fn sorter() -> (Sorter<u32>, Cluster) {
        let mut cluster = Cluster::new(BTreeSet::new());
        cluster.replace(&Quantities::default(), &cpus(10));
        let mut sorter = Sorter::default();
        for (key, name) in [(0, "a"), (1, "b"), (2, "c")] {
            sorter.add(key, name.into(), Weight::ONE);
            sorter.set_active(key, true);
        }
        (sorter, cluster)
    }

    fn order(sorter: &Sorter<u32>) -> Vec<u32> {
        sorter.in_order().map(|(.., key)| *key).collect()
    }

    #[test]
    fn the_smallest_share_is_next_then_the_fewest_allocations_then_the_name() {
        let (mut sorter, cluster) = sorter();
        assert_eq!(order(&sorter), [0, 1, 2]);
        sorter.allocate(0, &cpus(2), &cluster);
        sorter.allocate(1, &cpus(1), &cluster);
        assert_eq!(order(&sorter), [2, 1, 0]);
        sorter.release(0, &cpus(2), &cluster);
        assert_eq!(order(&sorter), [2, 0, 1]);
    }

    #[test]
    fn inactive_clients_keep_their_share_but_have_no_turn() {
        let (mut sorter, cluster) = sorter();
        sorter.set_active(0, false);
        sorter.allocate(0, &cpus(5), &cluster);
        assert_eq!(order(&sorter), [1, 2]);
        sorter.set_active(0, true);
        assert_eq!(order(&sorter), [1, 2, 0]);
        sorter.remove(1);
        assert_eq!(order(&sorter), [2, 0]);
    }

    #[test]
    fn a_changed_cluster_changes_the_order() {
        let mut cluster = Cluster::new(BTreeSet::new());
        let amounts = |cpus: i64, mem: i64| {
            Quantities::from_iter([
                ("cpus", Scalar::from_thousandths(cpus)),
                ("mem", Scalar::from_thousandths(mem)),
            ])
        };
        cluster.replace(&Quantities::default(), &amounts(100, 1000));
        let mut sorter = Sorter::default();
        for (key, name, held) in [(0, "a", amounts(30, 0)), (1, "b", amounts(0, 400))] {
            sorter.add(key, name.into(), Weight::ONE);
            sorter.set_active(key, true);
            sorter.allocate(key, &held, &cluster);
        }
        assert_eq!(order(&sorter), [0, 1]);
        cluster.replace(&Quantities::default(), &amounts(0, 9000));
        sorter.refresh(&cluster);
        assert_eq!(order(&sorter), [1, 0]);
    }
}
