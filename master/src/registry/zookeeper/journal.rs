//! A change that is larger than one request: written down first, then made, so that it is made wholly or not
//! at all whoever dies in between.
//!
//! Parts `0`, `1` ... hold the encoded steps; the last node written, `whole`, says how many there are. From
//! then on the change will be made: whoever takes the registry over makes it again, which is the same as
//! making the rest. Parts without `whole` are dropped.
use std::collections::BTreeMap;

use prost::Message;
use serde::{Deserialize, Serialize};

use super::layout::{Layout, PART};
use crate::registry::entries::{Step, Table};

/// Says that all parts are there.
pub(super) const WHOLE: &str = "whole";

/// What stands in `whole`.
#[derive(Debug, Serialize, Deserialize)]
struct Whole {
    parts: usize,
    bytes: usize,
    crc32: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Steps {
    #[prost(message, repeated, tag = "1")]
    steps: Vec<Encoded>,
}

/// No key: the table is cleared. No value: the key is removed.
#[derive(Clone, PartialEq, Message)]
struct Encoded {
    #[prost(string, tag = "1")]
    table: String,
    #[prost(string, optional, tag = "2")]
    key: Option<String>,
    #[prost(bytes = "vec", optional, tag = "3")]
    value: Option<Vec<u8>>,
}

/// Path and data of the nodes to be made, in this order.
pub(super) fn parts(layout: &Layout, steps: &[Step]) -> Vec<(String, Vec<u8>)> {
    let steps = steps.iter().map(|step| {
        let (table, key, value) = match step {
            Step::Put(table, key, value) => (table, Some(key), Some(value)),
            Step::Remove(table, key) => (table, Some(key), None),
            Step::Clear(table) => (table, None, None),
        };
        Encoded {
            table: table.name().to_owned(),
            key: key.cloned(),
            value: value.cloned(),
        }
    });
    let bytes = Steps {
        steps: steps.collect(),
    }
    .encode_to_vec();
    let mut nodes: Vec<(String, Vec<u8>)> = bytes
        .chunks(PART)
        .enumerate()
        .map(|(index, part)| (layout.journal_entry(&index.to_string()), part.to_vec()))
        .collect();
    let whole = Whole {
        parts: nodes.len(),
        bytes: bytes.len(),
        crc32: crc32fast::hash(&bytes),
    };
    // A struct of numbers: it cannot fail.
    let whole = serde_json::to_vec(&whole).unwrap_or_default();
    nodes.push((layout.journal_entry(WHOLE), whole));
    nodes
}

/// The steps of the journal, from its nodes by name. `None`: the change was not written down wholly, and
/// nothing of it was made.
///
/// # Errors
/// Why it does not read.
pub(super) fn steps(nodes: &BTreeMap<String, Vec<u8>>) -> Result<Option<Vec<Step>>, String> {
    let Some(whole) = nodes.get(WHOLE) else {
        return Ok(None);
    };
    let whole: Whole =
        serde_json::from_slice(whole).map_err(|error| format!("its `{WHOLE}`: {error}"))?;
    let mut bytes = Vec::new();
    for index in 0..whole.parts {
        let part = nodes
            .get(&index.to_string())
            .ok_or_else(|| format!("its part {index} of {} is missing", whole.parts))?;
        bytes.extend_from_slice(part);
    }
    if bytes.len() != whole.bytes || crc32fast::hash(&bytes) != whole.crc32 {
        return Err("its parts are not those that were written".to_owned());
    }
    let steps = Steps::decode(bytes.as_slice()).map_err(|error| error.to_string())?;
    let steps = steps.steps.into_iter().map(|step| {
        let table = Table::ALL
            .into_iter()
            .find(|table| table.name() == step.table)
            .ok_or_else(|| format!("no table `{}`", step.table))?;
        Ok(match (step.key, step.value) {
            (Some(key), Some(value)) => Step::Put(table, key, value),
            (Some(key), None) => Step::Remove(table, key),
            (None, _) => Step::Clear(table),
        })
    });
    steps.collect::<Result<_, String>>().map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some_steps() -> Vec<Step> {
        vec![
            Step::Clear(Table::Machines),
            Step::Put(Table::Machines, "k".to_owned(), vec![7; PART + 1]),
            Step::Put(Table::Facts, "weights".to_owned(), Vec::new()),
            Step::Remove(Table::Agents, String::new()),
        ]
    }

    fn nodes(steps: &[Step]) -> BTreeMap<String, Vec<u8>> {
        let layout = Layout::new("/m");
        let prefix = layout.journal_entry("");
        let parts = parts(&layout, steps).into_iter();
        parts
            .map(|(path, data)| (path.trim_start_matches(&prefix).to_owned(), data))
            .collect()
    }

    #[test]
    fn a_journal_reads_as_what_was_written() {
        assert_eq!(steps(&nodes(&some_steps())), Ok(Some(some_steps())));
        assert_eq!(steps(&nodes(&[])), Ok(Some(Vec::new())));
    }

    #[test]
    fn without_its_last_node_it_is_nothing_and_without_another_it_is_damaged() {
        let whole = nodes(&some_steps());
        assert_eq!(whole.len(), 3);
        for name in whole.keys() {
            let mut less = whole.clone();
            less.remove(name);
            let read = steps(&less);
            if name == WHOLE {
                assert_eq!(read, Ok(None));
            } else {
                assert!(read.is_err_and(|reason| reason.contains("missing")));
            }
        }
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_noticed(at in 0..1000_usize, by in 1..255_u8) {
            let mut nodes = nodes(&some_steps());
            if let Some(byte) = nodes.get_mut("0").and_then(|part| part.get_mut(at)) {
                *byte = byte.wrapping_add(by);
            }
            prop_assert!(steps(&nodes).is_err());
        }
    }
}
