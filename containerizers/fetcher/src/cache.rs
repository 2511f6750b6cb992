//! Files that several tasks fetch, kept while there is room.
//!
//! An entry belongs to a user and a URI, as in Mesos, and is never asked about again. The oldest
//! entries that nobody copies from make room for new ones. The index is in memory only, so what an
//! earlier process has left is removed; each process has a folder of its own, which it locks, so
//! that agents can share the parent, and nothing else in it is touched.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{Failure, confine};

/// Longest base name in the cache, in characters; longer ones keep their two ends.
/// Source: `MAX_SIZE` in `FetcherProcess::Cache::nextFilename` of Apache Mesos.
const MAX_NAME: usize = 20;

/// A file in the cache that cannot be evicted as long as this is held.
#[derive(Debug, Clone)]
pub(crate) struct Cached(Arc<Entry>);

impl Cached {
    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }
}

/// Removes its file when the last holder is gone and the cache has dropped it.
#[derive(Debug)]
struct Entry {
    path: PathBuf,
    size: u64,
    /// When it was used last, in ticks of the cache.
    used: AtomicU64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.path);
    }
}

/// What stands behind one user and URI; locked while it is being downloaded.
#[derive(Debug, Default)]
pub(crate) struct Slot(Option<Weak<Entry>>);

type Slots = HashMap<(String, String), Arc<tokio::sync::Mutex<Slot>>>;

#[derive(Debug, Default)]
struct State {
    slots: Slots,
    entries: Vec<Arc<Entry>>,
    /// Bytes of entries and of downloads under way.
    used: u64,
    ticks: u64,
    files: u64,
}

/// The cache.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    size: u64,
    state: Arc<Mutex<State>>,
    /// Held while this process lives.
    _lock: File,
}

impl Drop for Cache {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.dir);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the folders of processes start with, and the file in them that is locked.
const FOLDER: &str = "agent-";
const LOCK: &str = "lock";

/// Removes folders of processes that have ended.
fn clean(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let ours = entry.file_name().to_string_lossy().starts_with(FOLDER);
        if !ours || !entry.file_type()?.is_dir() {
            continue;
        }
        let Ok(file) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        if file.try_lock().is_ok() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

impl Cache {
    pub(crate) fn new(parent: &Path, size: u64) -> io::Result<Self> {
        let make = || {
            fs::create_dir_all(parent)?;
            clean(parent)?;
            let id = uuid::Uuid::new_v4();
            let dir = parent.join(format!("{FOLDER}{id}"));
            fs::DirBuilder::new().mode(0o700).create(&dir)?;
            let lock = File::create(dir.join(LOCK))?;
            lock.try_lock()?;
            Ok((dir, lock))
        };
        let (dir, lock) = make().map_err(|error: io::Error| {
            io::Error::other(format!("the fetcher's cache {}: {error}", parent.display()))
        })?;
        Ok(Self {
            dir,
            size,
            state: Arc::default(),
            _lock: lock,
        })
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> u64 {
        lock(&self.state).used
    }

    pub(crate) fn slot(&self, user: &str, uri: &str) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut state = lock(&self.state);
        // Slots without an entry and without anybody at work are of no use.
        state.slots.retain(|_, slot| {
            Arc::strong_count(slot) > 1
                || slot.try_lock().is_ok_and(|slot| {
                    slot.0
                        .as_ref()
                        .is_some_and(|entry| entry.strong_count() > 0)
                })
        });
        Arc::clone(
            state
                .slots
                .entry((user.to_owned(), uri.to_owned()))
                .or_default(),
        )
    }

    /// The file of a slot, if it is there.
    pub(crate) fn hit(&self, slot: &Slot) -> Option<Cached> {
        let mut state = lock(&self.state);
        let entry = slot.0.as_ref()?.upgrade()?;
        state.ticks += 1;
        entry.used.store(state.ticks, Ordering::Relaxed);
        Some(Cached(entry))
    }

    /// Room for a file, made by dropping the least recently used ones nobody holds.
    pub(crate) fn reserve(&self, bytes: u64) -> Option<Reserved> {
        let mut state = lock(&self.state);
        if bytes > self.size {
            return None;
        }
        while state.used.saturating_add(bytes) > self.size {
            let idle = |entry: &&Arc<Entry>| Arc::strong_count(entry) == 1;
            let oldest = state
                .entries
                .iter()
                .filter(idle)
                .min_by_key(|entry| entry.used.load(Ordering::Relaxed))
                .cloned()?;
            state.used -= oldest.size;
            state.entries.retain(|entry| !Arc::ptr_eq(entry, &oldest));
        }
        state.used += bytes;
        Some(Reserved {
            dir: self.dir.clone(),
            state: Arc::clone(&self.state),
            size: self.size,
            bytes,
            path: None,
        })
    }
}

/// Room in the cache for a file that is not there yet; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    dir: PathBuf,
    state: Arc<Mutex<State>>,
    size: u64,
    bytes: u64,
    path: Option<PathBuf>,
}

impl Reserved {
    /// Makes the file.
    pub(crate) fn create(&mut self, user: &str, name: &str) -> Result<File, Failure> {
        let number = {
            let mut state = lock(&self.state);
            state.files += 1;
            state.files
        };
        let folder = self.dir.join(if user.is_empty() { "agent" } else { user });
        let path = folder.join(format!("c{number}-{}", shorten(name)));
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .and_then(|()| confine::create_at(&path, 0o600));
        let file = made.map_err(|error| Failure::io("write", &path, &error))?;
        self.path = Some(path);
        Ok(file)
    }

    /// The file is complete. One that became larger than announced, and too large, is only kept
    /// for who asked for it.
    pub(crate) fn keep(mut self, slot: &mut Slot, actual: u64) -> Cached {
        let mut state = lock(&self.state);
        state.ticks += 1;
        let entry = Arc::new(Entry {
            path: self.path.take().unwrap_or_default(),
            size: actual,
            used: AtomicU64::new(state.ticks),
        });
        state.used -= self.bytes;
        self.bytes = 0;
        if state.used.saturating_add(actual) <= self.size {
            state.used += actual;
            state.entries.push(Arc::clone(&entry));
            slot.0 = Some(Arc::downgrade(&entry));
        }
        drop(state);
        Cached(entry)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        lock(&self.state).used -= self.bytes;
        if let Some(path) = &self.path {
            let _gone = fs::remove_file(path);
        }
    }
}

fn shorten(name: &str) -> String {
    let length = name.chars().count();
    if length <= MAX_NAME {
        return name.to_owned();
    }
    let half = MAX_NAME / 2;
    let (first, last): (String, String) = (
        name.chars().take(half).collect(),
        name.chars().skip(length - half).collect(),
    );
    format!("{first}_{last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_ended_processes_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("precious"), "x").unwrap();
        let left_behind = parent.path().join("agent-of-before");
        fs::create_dir_all(left_behind.join("user")).unwrap();
        File::create(left_behind.join(LOCK)).unwrap();
        let first = Cache::new(parent.path(), 1).unwrap();
        assert!(!left_behind.exists());
        let second = Cache::new(parent.path(), 1).unwrap();
        assert!(first.dir.exists() && second.dir.exists());
        drop(first);
        drop(second);
        let rest: Vec<_> = fs::read_dir(parent.path()).unwrap().flatten().collect();
        assert_eq!(rest.len(), 1, "{rest:?}");
    }

    #[test]
    fn long_names_keep_their_ends() {
        assert_eq!(shorten("short.tgz"), "short.tgz");
        assert_eq!(
            shorten("a-very-long-name-1.2.3.tar.gz"),
            "a-very-lon_2.3.tar.gz"
        );
    }
}
