//! Reading all of a registry: every name first, then every value, many requests at a time.
use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use zookeeper_client::{Client, Error, MultiReadResult};

use super::{
    layout::{Layout, has_shards, unescape},
    plan::Plan,
};
use crate::registry::{
    Registry,
    entries::{self, Table},
};

/// Requests under way at a time.
const UNDER_WAY: usize = 64;
/// Values asked for by one request. Most are below 1 KiB.
const BATCH: usize = 64;

/// Why it does not read.
#[derive(Debug)]
pub(super) enum LoadError {
    /// What was read, and what ZooKeeper said.
    ZooKeeper(String, Error),
    Damaged(String),
    Entry {
        table: Table,
        key: String,
        reason: String,
    },
}

/// All there is.
#[derive(Debug)]
pub(super) struct Loaded {
    pub registry: Registry,
    pub plan: Plan,
    /// What is left of a large change, by name. While there is something, values may be half made: then
    /// `registry` is empty.
    pub journal: BTreeMap<String, Vec<u8>>,
}

/// Reads everything. Nobody may write meanwhile.
pub(super) async fn load(client: &Client, layout: &Layout) -> Result<Loaded, LoadError> {
    let mut plan = Plan::new(layout.clone());
    let mut registry = Registry::default();
    let mut journal = BTreeMap::new();
    for name in children(client, &layout.journal()).await? {
        let (data, _) = value(client, &layout.journal_entry(&name)).await?;
        journal.insert(name, data);
    }
    let entries: Vec<(Table, String)> = names(client, layout, &mut plan).await?;
    let batches: Vec<Vec<(Table, String)>> = entries.chunks(BATCH).map(<[_]>::to_vec).collect();
    let mut values = stream::iter(batches)
        .map(async |batch| {
            let values = values(client, layout, &batch).await?;
            Ok::<_, LoadError>((batch, values))
        })
        .buffer_unordered(UNDER_WAY);
    while let Some((batch, values)) = values.try_next().await? {
        for ((table, key), (value, parts)) in batch.into_iter().zip(values) {
            plan.entry(table, key.clone(), &value, parts);
            if journal.is_empty()
                && let Err(reason) = entries::read(&mut registry, table, key.clone(), &value)
            {
                return Err(LoadError::Entry { table, key, reason });
            }
        }
    }
    drop(values);
    Ok(Loaded {
        registry,
        plan,
        journal,
    })
}

/// Every entry's table and key.
async fn names(
    client: &Client,
    layout: &Layout,
    plan: &mut Plan,
) -> Result<Vec<(Table, String)>, LoadError> {
    let tables: Vec<(Table, Vec<String>)> = stream::iter(Table::ALL)
        .map(async |table| Ok((table, children(client, &layout.table(table)).await?)))
        .buffered(Table::ALL.len())
        .try_collect()
        .await?;
    let mut lists = Vec::new();
    let mut entries = Vec::new();
    for (table, names) in tables {
        if has_shards(table) {
            for shard in names {
                lists.push((table, layout.shard(table, &shard)));
                plan.shard(table, shard);
            }
        } else {
            for name in names {
                entries.push((table, key(layout.table(table), &name)?));
            }
        }
    }
    let mut lists = stream::iter(lists)
        .map(async |(table, path)| {
            let names = children(client, &path).await?;
            Ok::<_, LoadError>((table, path, names))
        })
        .buffer_unordered(UNDER_WAY);
    while let Some((table, path, names)) = lists.try_next().await? {
        for name in names {
            entries.push((table, key(path.clone(), &name)?));
        }
    }
    Ok(entries)
}

fn key(parent: String, name: &str) -> Result<String, LoadError> {
    unescape(name).ok_or_else(|| {
        LoadError::Damaged(format!("{parent}/{name} is not named as an entry would be"))
    })
}

/// The values of entries, and in how many children each stands.
async fn values(
    client: &Client,
    layout: &Layout,
    entries: &[(Table, String)],
) -> Result<Vec<(Vec<u8>, usize)>, LoadError> {
    let paths: Vec<String> = entries
        .iter()
        .map(|(table, key)| layout.entry(*table, key))
        .collect();
    let mut reader = client.new_multi_reader();
    for path in &paths {
        reader.add_get_data(path).map_err(at(path))?;
    }
    let mut found = Vec::with_capacity(paths.len());
    match reader.commit().await {
        Ok(results) if results.len() == paths.len() => {
            for (path, result) in paths.iter().zip(results) {
                match result {
                    MultiReadResult::Data { data, stat } => {
                        found.push(value_of(client, path, data, stat.num_children).await?);
                    }
                    MultiReadResult::Error { err } => return Err(at(path)(err)),
                    _ => {
                        let odd = Error::UnexpectedError("something else than data".to_owned());
                        return Err(at(path)(odd));
                    }
                }
            }
        }
        // Servers older than 3.6 read one by one.
        Ok(_) | Err(Error::Unimplemented) => {
            for path in &paths {
                found.push(value(client, path).await?);
            }
        }
        Err(error) => return Err(at(layout.root())(error)),
    }
    Ok(found)
}

/// A node's value, and in how many children it stands.
async fn value(client: &Client, path: &str) -> Result<(Vec<u8>, usize), LoadError> {
    let (data, stat) = client.get_data(path).await.map_err(at(path))?;
    value_of(client, path, data, stat.num_children).await
}

/// The value of a node that holds `data` and has so many children.
async fn value_of(
    client: &Client,
    path: &str,
    data: Vec<u8>,
    children: i32,
) -> Result<(Vec<u8>, usize), LoadError> {
    let parts = usize::try_from(children).unwrap_or(0);
    if parts == 0 {
        return Ok((data, 0));
    }
    let mut whole = Vec::new();
    for index in 0..parts {
        let path = Layout::part(path, index);
        let (data, _) = client.get_data(&path).await.map_err(at(&path))?;
        whole.extend_from_slice(&data);
    }
    Ok((whole, parts))
}

async fn children(client: &Client, path: &str) -> Result<Vec<String>, LoadError> {
    client.list_children(path).await.map_err(at(path))
}

pub(super) fn at(path: &str) -> impl FnOnce(Error) -> LoadError {
    move |error| match error {
        Error::NoNode => LoadError::Damaged(format!("{path} is missing")),
        error => LoadError::ZooKeeper(path.to_owned(), error),
    }
}
