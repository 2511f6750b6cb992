//! Changes that are committed together.

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Put {
        table: &'static str,
        key: String,
        value: Vec<u8>,
    },
    Remove {
        table: &'static str,
        key: String,
    },
    Clear {
        table: &'static str,
    },
}

/// Changes that become visible and durable together, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    pub(crate) changes: Vec<Change>,
}

impl Batch {
    /// No changes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key of a table, which is made when it is missing.
    #[must_use]
    pub fn put(
        mut self,
        table: &'static str,
        key: impl Into<String>,
        value: impl Into<Vec<u8>>,
    ) -> Self {
        self.changes.push(Change::Put {
            table,
            key: key.into(),
            value: value.into(),
        });
        self
    }

    /// Removes a key; one that is missing is fine.
    #[must_use]
    pub fn remove(mut self, table: &'static str, key: impl Into<String>) -> Self {
        self.changes.push(Change::Remove {
            table,
            key: key.into(),
        });
        self
    }

    /// Removes every key of a table; those put by a later step of the batch are there afterwards.
    #[must_use]
    pub fn clear(mut self, table: &'static str) -> Self {
        self.changes.push(Change::Clear { table });
        self
    }

    /// Whether it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}
