//! A thread that commits: whatever waits when it comes back from the disk goes into one transaction.
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use tokio::sync::{mpsc, oneshot};

use crate::{Batch, Store, StoreError};

/// Most batches of one transaction.
const GROUP: usize = 1024;

/// Tells when a batch is on the disk.
pub type Committed = oneshot::Receiver<Result<(), Arc<StoreError>>>;

type Waiting = (Batch, oneshot::Sender<Result<(), Arc<StoreError>>>);

/// Commits batches of many callers, grouped, in the order they were given.
#[derive(Debug)]
pub struct Writer {
    queue: Option<mpsc::UnboundedSender<Waiting>>,
    thread: Option<thread::JoinHandle<()>>,
    path: PathBuf,
}

impl Writer {
    /// Starts the thread, which owns the store from here on.
    ///
    /// # Errors
    /// The system gives no further thread.
    pub fn start(store: Store) -> Result<Self, StoreError> {
        let path = store.path().to_owned();
        let (queue, waiting) = mpsc::unbounded_channel();
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || run(&store, waiting))
            .map_err(|source| StoreError::Io {
                action: "start the writer of",
                path: path.clone(),
                source,
            })?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            path,
        })
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Queues a batch; never blocks. The receiver ends without a value only when the thread was lost.
    ///
    /// # Errors
    /// The thread has ended.
    pub fn write(&self, batch: Batch) -> Result<Committed, StoreError> {
        let (done, committed) = oneshot::channel();
        self.queue
            .as_ref()
            .and_then(|queue| queue.send((batch, done)).ok())
            .map(|()| committed)
            .ok_or_else(|| StoreError::Ended {
                path: self.path.clone(),
            })
    }
}

impl Drop for Writer {
    /// Waits until everything queued is committed.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed already; there is nothing left to save.
            let _ = thread.join();
        }
    }
}

fn run(store: &Store, mut waiting: mpsc::UnboundedReceiver<Waiting>) {
    let mut group = Vec::with_capacity(GROUP);
    while waiting.blocking_recv_many(&mut group, GROUP) > 0 {
        let result = store
            .commit(group.iter().map(|(batch, _)| batch))
            .map_err(Arc::new);
        for (_, done) in group.drain(..) {
            // Nobody waits any more: the batch is committed all the same.
            let _ = done.send(result.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_committed_in_order_and_before_the_writer_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry");
        let writer = Writer::start(Store::open(&path, 1).unwrap()).unwrap();
        let mut last = None;
        for n in 0..3000_u32 {
            last = Some(
                writer
                    .write(Batch::new().put("t", "key", n.to_string()))
                    .unwrap(),
            );
        }
        last.unwrap().blocking_recv().unwrap().unwrap();
        writer.write(Batch::new().put("t", "end", *b"")).unwrap();
        drop(writer);
        let store = Store::open(&path, 1).unwrap();
        let entries = store.read("t").unwrap();
        assert_eq!(
            entries,
            [
                ("end".to_owned(), vec![]),
                ("key".to_owned(), b"2999".to_vec())
            ]
        );
    }
}
