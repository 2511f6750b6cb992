//! Where things are in ZooKeeper.
//!
//! Beneath the election's path, in a node that no detector takes for a master (no sequence number in its
//! name):
//!
//! ```text
//! <path>/mesos-rs.registry
//!     /format             version of the form, as text
//!     /claim              who took it over last; its version counts that
//!     /epoch              who may write; its version counts every write
//!     /journal            a change that is larger than one request, while it is made
//!     /<table>/<key>      of `facts` and `machines`, which have few keys
//!     /<table>/<shard>/<key>
//! ```
//!
//! A list of children must fit in one packet (1 MiB by default), so the keys of a table are spread over 256
//! shards by their CRC-32: 102,400 agents make 400 names in each. A value is the data of its node; one larger
//! than [`PART`] is cut over numbered children of it.
use std::fmt::Write as _;

use crate::registry::entries::Table;

/// Largest data of one node, in bytes: with its path it fits in one request of the size that `plan` makes.
pub(super) const PART: usize = 48 * 1024;

/// The paths of one registry.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: String,
}

impl Layout {
    /// `path`: the election's, as in `zk://host:port/path`.
    pub(super) fn new(path: &str) -> Self {
        Self {
            root: format!("{}/mesos-rs.registry", path.trim_end_matches('/')),
        }
    }

    /// The node that holds all of it.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// The version of the form.
    pub(super) fn format(&self) -> String {
        format!("{}/format", self.root)
    }

    /// Who took it over last.
    pub(super) fn claim(&self) -> String {
        format!("{}/claim", self.root)
    }

    /// Who may write.
    pub(super) fn epoch(&self) -> String {
        format!("{}/epoch", self.root)
    }

    /// The parts of a large change.
    pub(super) fn journal(&self) -> String {
        format!("{}/journal", self.root)
    }

    /// A part of a large change, or the note that all of them are there.
    pub(super) fn journal_entry(&self, name: &str) -> String {
        format!("{}/journal/{name}", self.root)
    }

    /// A table.
    pub(super) fn table(&self, table: Table) -> String {
        format!("{}/{}", self.root, table.name())
    }

    /// A shard of a table.
    pub(super) fn shard(&self, table: Table, shard: &str) -> String {
        format!("{}/{}/{shard}", self.root, table.name())
    }

    /// An entry.
    pub(super) fn entry(&self, table: Table, key: &str) -> String {
        match shard_of(table, key) {
            Some(shard) => format!("{}/{}/{shard}/{}", self.root, table.name(), escape(key)),
            None => format!("{}/{}/{}", self.root, table.name(), escape(key)),
        }
    }

    /// A part of the value of an entry, by the entry's path.
    pub(super) fn part(entry: &str, index: usize) -> String {
        format!("{entry}/{index}")
    }
}

/// Whether the keys of the table are spread over shards.
pub(super) fn has_shards(table: Table) -> bool {
    // There is one of each fact, and there are 256 buckets of machines.
    !matches!(table, Table::Facts | Table::Machines)
}

/// The shard in which the key is; `None`: the table has no shards.
pub(super) fn shard_of(table: Table, key: &str) -> Option<String> {
    has_shards(table).then(|| format!("{:02x}", crc32fast::hash(key.as_bytes()) & 0xff))
}

/// A key as the name of a node: everything but letters, digits, `-`, `_` and inner dots in percent signs.
pub(super) fn escape(key: &str) -> String {
    let dots = !key.is_empty() && key.bytes().all(|byte| byte == b'.');
    let mut name = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            b'.' if !dots => name.push('.'),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(name, "%{byte:02X}");
            }
        }
    }
    if name.is_empty() {
        name.push('%');
    }
    name
}

/// The key that was escaped to this name.
pub(super) fn unescape(name: &str) -> Option<String> {
    if name == "%" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (hex, after) = rest.split_at_checked(2)?;
        rest = after;
        bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_role_and_a_machine_are_names_of_one_node_each() {
        assert_eq!(escape("eng/dev"), "eng%2Fdev");
        assert_eq!(escape("10.0.0.1 host"), "10.0.0.1%20host");
        assert_eq!(escape(".."), "%2E%2E");
        assert_eq!(escape(""), "%");
        let layout = Layout::new("/mesos/");
        assert_eq!(
            layout.entry(Table::Facts, "master"),
            "/mesos/mesos-rs.registry/facts/master"
        );
    }

    #[test]
    fn keys_are_spread_evenly() {
        let mut counts = std::collections::HashMap::new();
        for n in 0..102_400 {
            let key = format!("2c8b5f52-8a1e-4d68-9ee0-8c4a6c1f2b3d-S{n}");
            *counts
                .entry(shard_of(Table::Agents, &key).unwrap())
                .or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 256);
        assert!(
            counts.values().all(|count| (200..=800).contains(count)),
            "{counts:?}"
        );
    }

    proptest! {
        #[test]
        fn every_key_comes_back_from_its_name(key in ".*") {
            let name = escape(&key);
            prop_assert!(!name.contains('/') && !name.is_empty() && name != "." && name != "..");
            prop_assert_eq!(unescape(&name), Some(key));
        }

        #[test]
        fn no_name_is_too_odd_to_be_judged(name in "[%a-zA-Z0-9é.]*") {
            let _ = unescape(&name);
        }
    }
}
