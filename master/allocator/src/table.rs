//! Rows with short keys, found by their long ids.

use std::{borrow::Borrow, collections::HashMap, fmt::Debug, hash::Hash};

/// Names one row of one kind of table. A key is given out again after its row is removed.
pub(crate) trait Key: Copy + Eq + Ord + Hash + Debug {
    fn new(index: u32) -> Self;
    fn index(self) -> usize;
}

macro_rules! keys {
    ($($name:ident),*) => {$(
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(u32);

        impl Key for $name {
            fn new(index: u32) -> Self {
                Self(index)
            }
            fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

keys!(AgentKey, FrameworkKey, RoleKey);

/// Rows by key, and keys by id.
#[derive(Debug)]
pub(crate) struct Table<I, K, T> {
    keys: HashMap<I, K>,
    rows: Vec<Option<T>>,
    free: Vec<K>,
}

impl<I, K, T> Default for Table<I, K, T> {
    fn default() -> Self {
        Self {
            keys: HashMap::new(),
            rows: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<I: Eq + Hash + Borrow<str>, K: Key, T> Table<I, K, T> {
    pub fn key(&self, id: &str) -> Option<K> {
        self.keys.get(id).copied()
    }

    pub fn get(&self, key: K) -> Option<&T> {
        self.rows.get(key.index())?.as_ref()
    }

    pub fn get_mut(&mut self, key: K) -> Option<&mut T> {
        self.rows.get_mut(key.index())?.as_mut()
    }

    /// Puts in a row under an id that has none yet.
    pub fn insert(&mut self, id: I, row: T) -> K {
        let key = self.free.pop().unwrap_or_else(|| {
            self.rows.push(None);
            K::new(u32::try_from(self.rows.len() - 1).expect("memory ends before 2^32 rows"))
        });
        self.rows[key.index()] = Some(row);
        self.keys.insert(id, key);
        key
    }

    pub fn remove(&mut self, id: &str) -> Option<(K, T)> {
        let key = self.keys.remove(id)?;
        let row = self.rows.get_mut(key.index())?.take()?;
        self.free.push(key);
        Some((key, row))
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        let rows = self.rows.iter().enumerate();
        rows.filter_map(|(i, row)| Some((K::new(i as u32), row.as_ref()?)))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut T)> {
        let rows = self.rows.iter_mut().enumerate();
        rows.filter_map(|(i, row)| Some((K::new(i as u32), row.as_mut()?)))
    }
}
