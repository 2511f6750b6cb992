//! The file: opening, format version, reading, committing.
use std::{
    fs,
    path::{Path, PathBuf},
};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError};

use crate::{Batch, StoreError, batch::Change, lock::Lock};

type Table<'a> = TableDefinition<'a, &'static str, &'static [u8]>;

const META: Table<'static> = TableDefinition::new("meta");
const FORMAT: &str = "format";

/// A store that is open and ours.
#[derive(Debug)]
pub struct Store {
    database: Database,
    path: PathBuf,
    format: u32,
    _lock: Lock,
}

impl Store {
    /// Opens the store at `path`, or makes an empty one there (with its folders). `format` is the newest
    /// format the caller knows: an older store is taken as it is and keeps its number until
    /// [`Store::upgrade`]. Blocks on the disk.
    ///
    /// # Errors
    /// The store is held by another process, was written by a newer release, is damaged, or the file
    /// system refuses.
    pub fn open(path: &Path, format: u32) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|source| StoreError::Io {
                action: "create",
                path: folder.to_owned(),
                source,
            })?;
        }
        let lock = Lock::take(path)?;
        let database = Database::create(path).map_err(|error| match error {
            redb::DatabaseError::Storage(redb::StorageError::Io(source)) => StoreError::Io {
                action: "open",
                path: path.to_owned(),
                source,
            },
            error => StoreError::Damaged {
                path: path.to_owned(),
                reason: error.to_string(),
            },
        })?;
        let mut store = Self {
            database,
            path: path.to_owned(),
            format,
            _lock: lock,
        };
        match store.stored_format()? {
            Some(found) if found > format => {
                return Err(StoreError::Newer {
                    path: store.path,
                    found,
                    known: format,
                });
            }
            Some(found) => store.format = found,
            None => store.upgrade(format)?,
        }
        Ok(store)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The format it was written in.
    pub fn format(&self) -> u32 {
        self.format
    }

    /// Notes that everything in it has format `format` now.
    pub fn upgrade(&mut self, format: u32) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(self.failed("write"))?;
        {
            let mut meta = transaction.open_table(META).map_err(self.failed("write"))?;
            meta.insert(FORMAT, format.to_be_bytes().as_slice())
                .map_err(self.failed("write"))?;
        }
        transaction.commit().map_err(self.failed("commit to"))?;
        self.format = format;
        Ok(())
    }

    /// All keys and values of a table, in the order of the keys. A table that was never written is empty.
    pub fn read(&self, table: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let transaction = self.database.begin_read().map_err(self.failed("read"))?;
        let table = match transaction.open_table(Table::new(table)) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(self.failed("read")(error)),
        };
        table
            .iter()
            .map_err(self.failed("read"))?
            .map(|entry| {
                let (key, value) = entry.map_err(self.failed("read"))?;
                Ok((key.value().to_owned(), value.value().to_owned()))
            })
            .collect()
    }

    /// Commits the batches as one transaction, in order; on the disk when it returns. Blocks.
    pub fn commit<'a>(
        &self,
        batches: impl IntoIterator<Item = &'a Batch>,
    ) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(self.failed("write"))?;
        for change in batches.into_iter().flat_map(|batch| &batch.changes) {
            match change {
                Change::Put { table, key, value } => {
                    let mut table = transaction
                        .open_table(Table::new(table))
                        .map_err(self.failed("write"))?;
                    table
                        .insert(key.as_str(), value.as_slice())
                        .map_err(self.failed("write"))?;
                }
                Change::Remove { table, key } => {
                    let mut table = transaction
                        .open_table(Table::new(table))
                        .map_err(self.failed("write"))?;
                    table.remove(key.as_str()).map_err(self.failed("write"))?;
                }
                Change::Clear { table } => {
                    let mut table = transaction
                        .open_table(Table::new(table))
                        .map_err(self.failed("write"))?;
                    table.retain(|_, _| false).map_err(self.failed("write"))?;
                }
            }
        }
        transaction.commit().map_err(self.failed("commit to"))
    }

    fn stored_format(&self) -> Result<Option<u32>, StoreError> {
        let entries = self.read("meta")?;
        let Some((_, value)) = entries.into_iter().find(|(key, _)| key == FORMAT) else {
            return Ok(None);
        };
        let bytes = <[u8; 4]>::try_from(value.as_slice()).map_err(|_| StoreError::Damaged {
            path: self.path.clone(),
            reason: format!("its format version has {} bytes instead of 4", value.len()),
        })?;
        Ok(Some(u32::from_be_bytes(bytes)))
    }

    fn failed<E: Into<redb::Error>>(&self, action: &'static str) -> impl FnOnce(E) -> StoreError {
        let path = self.path.clone();
        move |source| StoreError::Database {
            action,
            path,
            source: Box::new(source.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(store: &Store, table: &str) -> Vec<(String, Vec<u8>)> {
        store.read(table).unwrap()
    }

    #[test]
    fn what_was_committed_is_there_after_opening_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/registry");
        let store = Store::open(&path, 1).unwrap();
        assert!(pairs(&store, "agents").is_empty());
        let first = Batch::new()
            .put("agents", "b", *b"2")
            .put("agents", "a", *b"1");
        let second = Batch::new()
            .remove("agents", "b")
            .remove("agents", "never")
            .put("gone", "b", *b"");
        store.commit([&first, &second]).unwrap();
        drop(store);
        let store = Store::open(&path, 3).unwrap();
        assert_eq!(store.format(), 1);
        assert_eq!(pairs(&store, "agents"), [("a".to_owned(), b"1".to_vec())]);
        assert_eq!(pairs(&store, "gone"), [("b".to_owned(), Vec::new())]);
    }

    #[test]
    fn a_cleared_table_holds_only_what_is_put_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("registry"), 1).unwrap();
        let before = Batch::new().put("t", "a", *b"1").put("t", "b", *b"2");
        let after = Batch::new()
            .put("t", "c", *b"3")
            .clear("t")
            .put("t", "b", *b"4");
        store.commit([&before, &after]).unwrap();
        assert_eq!(pairs(&store, "t"), [("b".to_owned(), b"4".to_vec())]);
        store.commit([&Batch::new().clear("never")]).unwrap();
        assert!(pairs(&store, "never").is_empty());
    }

    #[test]
    fn a_newer_format_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry");
        drop(Store::open(&path, 2).unwrap());
        let error = Store::open(&path, 1).unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Newer {
                    found: 2,
                    known: 1,
                    ..
                }
            ),
            "{error}"
        );
        assert!(
            error.to_string().contains("start the newer release again"),
            "{error}"
        );
    }

    #[test]
    fn a_second_owner_learns_the_pid_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry");
        let first = Store::open(&path, 1).unwrap();
        let error = Store::open(&path, 1).unwrap_err();
        let own = std::process::id();
        assert!(
            matches!(error, StoreError::Locked { pid: Some(pid), .. } if pid == own),
            "{error}"
        );
        drop(first);
        Store::open(&path, 1).unwrap();
    }

    #[test]
    fn a_file_of_something_else_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry");
        fs::write(
            &path,
            b"this is not a database, and it is long enough to have a header of some kind",
        )
        .unwrap();
        let error = Store::open(&path, 1).unwrap_err();
        assert!(error.to_string().contains("registry"), "{error}");
    }
}
