//! Reading all of a registry: every name first, then every value, many requests at a time.
use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use zookeeper_client::{Client, Error};

use super::{
    layout::{Layout, unescape},
    plan::{Node, Plan},
};
use crate::registry::{
    Registry,
    entries::{self, Table},
};

/// Requests under way at a time. Each answer is at most [`super::layout::PART`] long, most are below 1 KiB.
const UNDER_WAY: usize = 512;

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
    /// What is left of a large change, by name.
    pub journal: BTreeMap<String, Vec<u8>>,
}

/// Reads everything. Nobody may write meanwhile.
pub(super) async fn load(client: &Client, layout: &Layout) -> Result<Loaded, LoadError> {
    let mut plan = Plan::new(layout.clone());
    let mut registry = Registry::default();
    let entries: Vec<(Table, String)> = names(client, layout, &mut plan).await?;
    let mut values = stream::iter(entries)
        .map(async |(table, key)| {
            let path = layout.entry(table, &key);
            let value = value(client, &path).await?;
            Ok((table, key, value))
        })
        .buffer_unordered(UNDER_WAY);
    while let Some((table, key, (value, parts))) = values.try_next().await? {
        let bytes = value.len();
        if let Err(reason) = entries::read(&mut registry, table, key.clone(), &value) {
            return Err(LoadError::Entry { table, key, reason });
        }
        plan.node(table, key, Node { parts, bytes });
    }
    drop(values);
    let mut journal = BTreeMap::new();
    for name in children(client, &layout.journal()).await? {
        let (data, _) = value(client, &layout.journal_entry(&name)).await?;
        journal.insert(name, data);
    }
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
        if table == Table::Facts {
            for name in names {
                entries.push((table, key(layout.table(table), &name)?));
            }
        } else {
            for shard in names {
                lists.push((table, layout.shard(table, &shard)));
                plan.shard(table, shard);
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

/// A node's value, and in how many children it stands.
async fn value(client: &Client, path: &str) -> Result<(Vec<u8>, usize), LoadError> {
    let (data, stat) = client.get_data(path).await.map_err(at(path))?;
    let parts = usize::try_from(stat.num_children).unwrap_or(0);
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

fn at(path: &str) -> impl FnOnce(Error) -> LoadError {
    move |error| match error {
        Error::NoNode => LoadError::Damaged(format!("{path} is missing")),
        error => LoadError::ZooKeeper(path.to_owned(), error),
    }
}
