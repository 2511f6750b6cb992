//! The order in which directories are given to the garbage collector and taken back from it.

use std::path::{Path, PathBuf};

use mesos_gc::Gc;
use tokio::sync::{mpsc, oneshot};

enum Request {
    Collect(PathBuf),
    Keep(Vec<PathBuf>, oneshot::Sender<()>),
}

/// Hands requests to the collector one after the other; asking never waits.
#[derive(Debug, Clone)]
pub(crate) struct Garbage(mpsc::UnboundedSender<Request>);

impl Garbage {
    /// Starts the task that hands them on; it ends with the last handle.
    pub(crate) fn start(gc: Gc) -> Self {
        let (sender, mut requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                match request {
                    Request::Collect(path) => {
                        if let Err(error) = gc.schedule(&path).await {
                            tracing::warn!(%error, "a directory stays");
                        }
                    }
                    Request::Keep(paths, done) => {
                        for path in paths {
                            gc.unschedule(&path).await;
                        }
                        let _ = done.send(());
                    }
                }
            }
        });
        Self(sender)
    }

    /// Has a directory removed when it is old enough, counted from now.
    pub(crate) fn collect(&self, path: PathBuf) {
        let _ = self.0.send(Request::Collect(path));
    }

    /// Keeps directories; answers when those that were just being removed are gone.
    pub(crate) fn keep<'a>(&self, paths: impl Iterator<Item = &'a Path>) -> oneshot::Receiver<()> {
        let (done, kept) = oneshot::channel();
        let paths = paths.map(Path::to_owned).collect();
        let _ = self.0.send(Request::Keep(paths, done));
        kept
    }
}
