//! Clients of one level in the order of their ranks: who is next.

use std::{
    collections::{BTreeSet, btree_set},
    hash::Hash,
    sync::Arc,
};

use rand::{Rng, rngs::StdRng};
use rustc_hash::FxHashMap;

use crate::{
    Policy, Weight,
    amounts::Amounts,
    policy::{Occasion, Standing},
    share::Cluster,
};

/// Smaller rank first, then fewer allocations so far, then the name.
/// Source of the order: `DRFComparator` in `drf/sorter.hpp` of Apache Mesos.
pub(crate) type Place<K> = (u128, u64, Arc<str>, K);

/// What ranks are made of.
pub(crate) struct Judge<'a> {
    pub cluster: &'a Cluster,
    pub policy: &'a dyn Policy,
    pub chance: &'a mut StdRng,
}

#[derive(Debug)]
struct Client {
    name: Arc<str>,
    weight: Weight,
    /// What makes its share.
    counted: Amounts,
    allocations: u64,
    share: u128,
    rank: u128,
    active: bool,
}

/// Clients with what they hold. Only active ones are in the order.
#[derive(Debug)]
pub(crate) struct Sorter<K> {
    clients: FxHashMap<K, Client>,
    order: BTreeSet<Place<K>>,
}

impl<K> Default for Sorter<K> {
    fn default() -> Self {
        Self {
            clients: FxHashMap::default(),
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
            counted: Amounts::default(),
            allocations: 0,
            share: 0,
            rank: 0,
            active: false,
        });
    }

    pub fn remove(&mut self, key: K) {
        if let Some(client) = self.clients.remove(&key)
            && client.active
        {
            self.order.remove(&place(key, &client));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    pub fn has_active(&self) -> bool {
        !self.order.is_empty()
    }

    pub fn set_active(&mut self, key: K, active: bool, judge: &mut Judge<'_>) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        if client.active == active {
            return;
        }
        client.active = active;
        if active {
            let front = front(&self.order);
            client.judge(Occasion::Entered, front, judge);
            self.order.insert(place(key, client));
        } else {
            self.order.remove(&place(key, client));
        }
    }

    pub fn set_weight(&mut self, key: K, weight: Weight, judge: &mut Judge<'_>) {
        self.update(key, Occasion::Changed, judge, |client| {
            client.weight = weight
        });
    }

    /// The dominant share, divided by the weight, in 2^-64.
    pub fn weighted_share(&self, key: K) -> Option<u128> {
        let client = self.clients.get(&key)?;
        Some(client.weight.divide(client.share))
    }

    /// The client's share is of `more` than before, which may be less than nothing. `served`: this
    /// counts as one allocation.
    pub fn change(&mut self, key: K, more: &Amounts, served: bool, judge: &mut Judge<'_>) {
        let occasion = if served {
            Occasion::Served
        } else {
            Occasion::Changed
        };
        self.update(key, occasion, judge, |client| {
            client.counted.add(more);
            client.allocations += u64::from(served);
        });
    }

    fn update(
        &mut self,
        key: K,
        occasion: Occasion,
        judge: &mut Judge<'_>,
        change: impl FnOnce(&mut Client),
    ) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        let front = front(&self.order);
        if client.active {
            self.order.remove(&place(key, client));
        }
        change(client);
        client.share = judge.cluster.share(&client.counted);
        client.judge(occasion, front, judge);
        if client.active {
            self.order.insert(place(key, client));
        }
    }

    /// Takes in that the cluster has changed.
    pub fn refresh(&mut self, judge: &mut Judge<'_>) {
        let front = front(&self.order);
        for client in self.clients.values_mut() {
            client.share = judge.cluster.share(&client.counted);
            client.judge(Occasion::Changed, front, judge);
        }
        let active = self.clients.iter().filter(|(_, client)| client.active);
        self.order = active.map(|(key, client)| place(*key, client)).collect();
    }

    /// Active clients, the one that is next first.
    pub fn in_order(&self) -> btree_set::Iter<'_, Place<K>> {
        self.order.iter()
    }
}

impl Client {
    fn judge(&mut self, occasion: Occasion, front: u128, judge: &mut Judge<'_>) {
        let standing = Standing {
            share: self.share,
            weight: self.weight,
            rank: self.rank,
            front,
        };
        let chance = &mut judge.chance;
        let mut draw = || 1.0 - chance.random::<f64>();
        self.rank = judge.policy.rank(&standing, occasion, &mut draw);
    }
}

fn front<K: Ord>(order: &BTreeSet<Place<K>>) -> u128 {
    order.first().map_or(0, |(rank, ..)| *rank)
}

fn place<K>(key: K, client: &Client) -> Place<K> {
    (client.rank, client.allocations, client.name.clone(), key)
}

#[cfg(test)]
mod tests {
    use mesos_types::parse_resources;
    use rand::SeedableRng;

    use super::*;
    use crate::policy::{DominantShare, Random};

    fn amounts(text: &str) -> Amounts {
        Amounts::all(&parse_resources(text, "*").unwrap())
    }

    fn cluster(text: &str) -> Cluster {
        let mut cluster = Cluster::new(BTreeSet::new());
        cluster.replace(&Amounts::default(), &amounts(text));
        cluster
    }

    /// Three clients, and what they are judged by.
    struct Setting {
        sorter: Sorter<u32>,
        cluster: Cluster,
        policy: Box<dyn Policy>,
        chance: StdRng,
    }

    impl Setting {
        fn new(policy: impl Policy + 'static) -> Self {
            let mut new = Self {
                sorter: Sorter::default(),
                cluster: cluster("cpus:10"),
                policy: Box::new(policy),
                chance: StdRng::seed_from_u64(1),
            };
            for (key, name) in [(0, "a"), (1, "b"), (2, "c")] {
                new.sorter.add(key, name.into(), Weight::ONE);
                new.set_active(key, true);
            }
            new
        }

        fn with(&mut self, act: impl FnOnce(&mut Sorter<u32>, &mut Judge<'_>)) {
            let judge = &mut Judge {
                cluster: &self.cluster,
                policy: &*self.policy,
                chance: &mut self.chance,
            };
            act(&mut self.sorter, judge);
        }

        fn set_active(&mut self, key: u32, active: bool) {
            self.with(|sorter, judge| sorter.set_active(key, active, judge));
        }

        fn allocate(&mut self, key: u32, text: &str) {
            self.with(|sorter, judge| sorter.change(key, &amounts(text), true, judge));
        }

        fn order(&self) -> Vec<u32> {
            self.sorter.in_order().map(|(.., key)| *key).collect()
        }
    }

    #[test]
    fn the_smallest_share_is_next_then_the_fewest_allocations_then_the_name() {
        let mut setting = Setting::new(DominantShare);
        assert_eq!(setting.order(), [0, 1, 2]);
        setting.allocate(0, "cpus:2");
        setting.allocate(1, "cpus:1");
        assert_eq!(setting.order(), [2, 1, 0]);
        let back = Amounts::default().minus(&amounts("cpus:2"));
        setting.with(|sorter, judge| sorter.change(0, &back, false, judge));
        assert_eq!(setting.order(), [2, 0, 1]);
    }

    #[test]
    fn inactive_clients_keep_their_share_but_have_no_turn() {
        let mut setting = Setting::new(DominantShare);
        setting.set_active(0, false);
        setting.allocate(0, "cpus:5");
        assert_eq!(setting.order(), [1, 2]);
        setting.set_active(0, true);
        assert_eq!(setting.order(), [1, 2, 0]);
        setting.sorter.remove(1);
        assert_eq!(setting.order(), [2, 0]);
    }

    #[test]
    fn a_changed_cluster_or_weight_changes_the_order() {
        let mut setting = Setting::new(DominantShare);
        setting.cluster = cluster("cpus:100;mem:1000");
        setting.set_active(2, false);
        setting.allocate(0, "cpus:30");
        setting.allocate(1, "mem:400");
        assert_eq!(setting.order(), [0, 1]);
        setting.cluster = cluster("cpus:100;mem:10000");
        setting.with(|sorter, judge| sorter.refresh(judge));
        assert_eq!(setting.order(), [1, 0]);
        let ten = Weight::from_f64(10.0).unwrap();
        setting.with(|sorter, judge| sorter.set_weight(0, ten, judge));
        assert_eq!(setting.order(), [0, 1]);
    }

    #[test]
    fn a_random_order_serves_by_weight_and_whoever_comes_back_starts_anew() {
        let mut setting = Setting::new(Random);
        let three = Weight::from_f64(3.0).unwrap();
        setting.with(|sorter, judge| sorter.set_weight(2, three, judge));
        let mut served = [0; 3];
        for _ in 0..10_000 {
            let next = setting.order()[0];
            served[next as usize] += 1;
            setting.allocate(next, "cpus:1");
        }
        for (served, expected) in served.into_iter().zip([2000_i32, 2000, 6000]) {
            assert!((served - expected).abs() < 300, "{served}");
        }
        // One that was away for long is not next for long.
        setting.set_active(0, false);
        for _ in 0..1000 {
            setting.allocate(setting.order()[0], "cpus:1");
        }
        setting.set_active(0, true);
        let mut served = 0;
        for _ in 0..100 {
            let next = setting.order()[0];
            served += i32::from(next == 0);
            setting.allocate(next, "cpus:1");
        }
        assert!((3..40).contains(&served), "{served}");
    }
}
