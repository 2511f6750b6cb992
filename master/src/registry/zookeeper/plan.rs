//! From steps of the registry to requests of ZooKeeper.
//!
//! In a `multi`, creating what is there and deleting what is not are errors, so the plan knows which nodes
//! there are: all were read when the registry was taken over, and nobody else writes since.
use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    hash::{BuildHasher as _, RandomState},
};

use tokio::sync::oneshot;

use super::{
    journal,
    layout::{Layout, PART, shard_of},
};
use crate::registry::{
    WriteError,
    entries::{Step, Table},
};

/// Most operations of one `multi`. More of them would only make the servers wait longer at a time.
const MULTI_OPERATIONS: usize = 1000;
/// Most bytes of one `multi`. A packet may have 1,048,575 (`jute.maxbuffer`), but each server keeps the last
/// 500 writes in memory (`zookeeper.commitLogCount`): this way they never take more than 32 MiB of its heap.
const MULTI_BYTES: usize = 64 * 1024;
/// What an operation takes beside its path and its data, at most, with two access rules.
const OPERATION_BYTES: usize = 96;

/// A change of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    Create(String, Vec<u8>),
    Set(String, Vec<u8>),
    Delete(String),
}

impl Operation {
    pub(super) fn path(&self) -> &str {
        match self {
            Self::Create(path, _) | Self::Set(path, _) | Self::Delete(path) => path,
        }
    }

    fn size(&self) -> usize {
        OPERATION_BYTES
            + match self {
                Self::Create(path, data) | Self::Set(path, data) => path.len() + data.len(),
                Self::Delete(path) => path.len(),
            }
    }
}

/// Who waits for a change.
pub(super) type Waiting = oneshot::Sender<Result<(), WriteError>>;

/// Operations that are made together, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct Multi {
    pub operations: Vec<Operation>,
    pub waiting: Vec<Waiting>,
    size: usize,
}

impl Multi {
    pub(super) fn new(operations: Vec<Operation>) -> Self {
        Self {
            size: operations.iter().map(Operation::size).sum(),
            operations,
            waiting: Vec::new(),
        }
    }

    fn takes(&self, operations: usize, size: usize) -> bool {
        self.operations.len() + operations <= MULTI_OPERATIONS && self.size + size <= MULTI_BYTES
    }
}

/// How an entry is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Node {
    /// Children that hold its value; 0: the node itself does.
    parts: usize,
    /// Length of its value.
    bytes: usize,
    /// Hash of its value, so that setting it to what it is costs nothing.
    hash: u64,
}

/// The nodes there are, and will be once everything planned is made.
#[derive(Debug)]
pub(super) struct Plan {
    layout: Layout,
    nodes: BTreeMap<(Table, String), Node>,
    shards: BTreeSet<(Table, String)>,
    /// Values and keys, in bytes.
    bytes: usize,
    /// Of random keys, so that nobody can choose values that look the same.
    hasher: RandomState,
}

impl Plan {
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            nodes: BTreeMap::new(),
            shards: BTreeSet::new(),
            bytes: 0,
            hasher: RandomState::new(),
        }
    }

    /// Size of keys and values, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Notes a shard that is there.
    pub(super) fn shard(&mut self, table: Table, shard: String) {
        self.shards.insert((table, shard));
    }

    /// Notes an entry that is there, its value in so many children.
    pub(super) fn entry(&mut self, table: Table, key: String, value: &[u8], parts: usize) {
        let node = Node {
            parts,
            bytes: value.len(),
            hash: self.hasher.hash_one(value),
        };
        self.bytes += key.len() + node.bytes;
        let length = key.len();
        if let Some(old) = self.nodes.insert((table, key), node) {
            self.bytes -= length + old.bytes;
        }
    }

    /// Adds a change to the requests to be made: to the last of them where there is room, so that many small
    /// changes cost one request; behind a journal where it does not fit in one.
    pub(super) fn add(
        &mut self,
        steps: &[Step],
        waiting: Option<Waiting>,
        requests: &mut VecDeque<Multi>,
    ) {
        let operations = self.operations(steps);
        let size = operations.iter().map(Operation::size).sum();
        if Multi::default().takes(operations.len(), size) {
            match requests
                .back_mut()
                .filter(|last| last.takes(operations.len(), size))
            {
                Some(last) => {
                    last.operations.extend(operations);
                    last.size += size;
                    last.waiting.extend(waiting);
                }
                None => requests.push_back(Multi {
                    waiting: waiting.into_iter().collect(),
                    ..Multi::new(operations)
                }),
            }
            return;
        }
        let parts = journal::parts(&self.layout, steps);
        let names: Vec<String> = parts.iter().map(|(path, _)| path.clone()).collect();
        for (path, data) in parts {
            requests.push_back(Multi::new(vec![Operation::Create(path, data)]));
        }
        requests.extend(cut(operations));
        let clean = names.into_iter().rev().map(Operation::Delete).collect();
        requests.push_back(Multi {
            waiting: waiting.into_iter().collect(),
            ..Multi::new(clean)
        });
    }

    /// What remains to be done of a change whose journal is complete, as requests of bounded size.
    pub(super) fn again(&mut self, steps: &[Step]) -> Vec<Multi> {
        cut(self.operations(steps))
    }

    fn operations(&mut self, steps: &[Step]) -> Vec<Operation> {
        let mut operations = Vec::new();
        for step in steps {
            match step {
                Step::Put(table, key, value) => self.put(*table, key, value, &mut operations),
                Step::Remove(table, key) => self.remove(*table, key, &mut operations),
                Step::Clear(table) => {
                    // What is put again by the same change is set then, if it is another value.
                    let again: HashSet<&str> = steps
                        .iter()
                        .filter_map(|step| match step {
                            Step::Put(of, key, _) if of == table => Some(key.as_str()),
                            _ => None,
                        })
                        .collect();
                    let keys: Vec<String> = self
                        .nodes
                        .range((*table, String::new())..)
                        .take_while(|((of, _), _)| of == table)
                        .filter(|((_, key), _)| !again.contains(key.as_str()))
                        .map(|((_, key), _)| key.clone())
                        .collect();
                    for key in keys {
                        self.remove(*table, &key, &mut operations);
                    }
                }
            }
        }
        operations
    }

    fn put(&mut self, table: Table, key: &str, value: &[u8], operations: &mut Vec<Operation>) {
        let path = self.layout.entry(table, key);
        let parts = if value.len() > PART {
            value.len().div_ceil(PART)
        } else {
            0
        };
        let own = if parts == 0 { value } else { &[] };
        let old = self.nodes.get(&(table, key.to_owned())).copied();
        if old
            .is_some_and(|old| old.bytes == value.len() && old.hash == self.hasher.hash_one(value))
        {
            return;
        }
        match old {
            Some(_) => operations.push(Operation::Set(path.clone(), own.to_vec())),
            None => {
                if let Some(shard) = shard_of(table, key) {
                    let name = self.layout.shard(table, &shard);
                    if self.shards.insert((table, shard)) {
                        operations.push(Operation::Create(name, Vec::new()));
                    }
                }
                operations.push(Operation::Create(path.clone(), own.to_vec()));
            }
        }
        let before = old.map_or(0, |node| node.parts);
        if parts > 0 {
            for (index, part) in value.chunks(PART).enumerate() {
                let path = Layout::part(&path, index);
                operations.push(if index < before {
                    Operation::Set(path, part.to_vec())
                } else {
                    Operation::Create(path, part.to_vec())
                });
            }
        }
        operations.extend(
            (parts..before)
                .rev()
                .map(|index| Operation::Delete(Layout::part(&path, index))),
        );
        self.entry(table, key.to_owned(), value, parts);
    }

    fn remove(&mut self, table: Table, key: &str, operations: &mut Vec<Operation>) {
        let Some(node) = self.nodes.remove(&(table, key.to_owned())) else {
            return;
        };
        self.bytes -= key.len() + node.bytes;
        let path = self.layout.entry(table, key);
        // The last one first: whenever this is cut short, those that are there count from 0.
        let parts = (0..node.parts).rev();
        let parts = parts.map(|index| Operation::Delete(Layout::part(&path, index)));
        operations.extend(parts);
        operations.push(Operation::Delete(path));
    }
}

/// Requests of bounded size, in order.
fn cut(operations: Vec<Operation>) -> Vec<Multi> {
    let mut requests: Vec<Multi> = Vec::new();
    for operation in operations {
        let size = operation.size();
        match requests.last_mut().filter(|last| last.takes(1, size)) {
            Some(last) => {
                last.operations.push(operation);
                last.size += size;
            }
            None => requests.push(Multi::new(vec![operation])),
        }
    }
    requests
}
