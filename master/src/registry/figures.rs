//! Numbers about the registry, for the metrics.
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Numbers about a registry that is open; copies show the same.
#[derive(Debug, Clone, Default)]
pub struct Figures(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Where the size is to be found, if not in `size`.
    file: Option<PathBuf>,
    size: AtomicU64,
    queued: AtomicU64,
    fetch_micros: AtomicU64,
}

impl Figures {
    /// Of a registry that is a file.
    pub(super) fn of_file(path: &Path) -> Self {
        Self(Arc::new(Inner {
            file: Some(path.to_owned()),
            ..Inner::default()
        }))
    }

    /// Size of keys and values, or of the file, in bytes.
    pub fn size_bytes(&self) -> u64 {
        let file = self.0.file.as_ref();
        let file = file.and_then(|path| path.metadata().ok());
        file.map_or_else(
            || self.0.size.load(Ordering::Relaxed),
            |metadata| metadata.len(),
        )
    }

    /// Changes whose outcome nobody knows yet.
    pub fn queued(&self) -> u64 {
        self.0.queued.load(Ordering::Relaxed)
    }

    /// How long it took to open and read it.
    pub fn fetch(&self) -> Duration {
        Duration::from_micros(self.0.fetch_micros.load(Ordering::Relaxed))
    }

    pub(super) fn set_size(&self, bytes: usize) {
        self.0.size.store(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn set_fetch(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_micros.store(micros, Ordering::Relaxed);
    }

    /// A change is queued until what comes back is dropped.
    pub(super) fn enqueue(&self) -> Queued {
        self.0.queued.fetch_add(1, Ordering::Relaxed);
        Queued(self.clone())
    }
}

/// A change that is queued.
#[derive(Debug)]
pub(super) struct Queued(Figures);

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}
