//! The way to change the registry, whatever keeps it.
use std::{
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use mesos_store::Writer;
use mesos_wire::v1::MasterInfo;
use tokio::sync::oneshot;

use super::{
    Change, Figures, Registry, RegistryError, WriteError, ZooKeeper, ZooKeeperSettings, embedded,
    entries::{self, Step},
    figures::Queued,
};

/// Most bytes of keys and values of one change. A limit, because the whole change is in memory, and in
/// ZooKeeper twice for a while. 102,400 forgotten agents take 12 MiB.
const LARGEST: usize = 64 << 20;

/// Writes changes, durably or not at all, in the order they are given.
#[derive(Debug)]
pub enum Registrar {
    /// Nothing is kept.
    InMemory,
    /// In the embedded store.
    Store(Writer, Figures),
    /// In ZooKeeper.
    ZooKeeper(ZooKeeper, Figures),
}

impl Registrar {
    /// Opens the store and reads all of it. Blocks on the disk.
    ///
    /// # Errors
    /// The store cannot be opened, or holds what does not read.
    pub fn open(path: &Path) -> Result<(Self, Registry), RegistryError> {
        let begun = Instant::now();
        let (writer, registry) = embedded::open(path)?;
        let figures = Figures::of_file(path);
        figures.set_fetch(begun.elapsed());
        Ok((Self::Store(writer, figures), registry))
    }

    /// Takes the registry in ZooKeeper over, from whoever led before, and reads all of it. From then on every
    /// write of an earlier leader fails, as [`WriteError::Fenced`]. An empty one is made when there is none.
    ///
    /// `election`: the number under which this master was elected, see [`RegistryError::Fenced`]; 0: none.
    /// Tries again over lost connections until `settings.fetch_timeout` has passed. Needs a tokio runtime,
    /// on which a task goes on writing until the registrar is dropped and everything queued is made.
    ///
    /// # Errors
    /// A later leader has it, it was written by another release, does not read, or cannot be reached.
    pub async fn zookeeper(
        settings: ZooKeeperSettings,
        election: u64,
        info: &MasterInfo,
    ) -> Result<(Self, Registry), RegistryError> {
        let figures = Figures::default();
        let taken = ZooKeeper::take_over(settings, election, info, figures.clone()).await;
        taken.map(|(zookeeper, registry)| (Self::ZooKeeper(zookeeper, figures), registry))
    }

    /// Queues a change; never blocks. What comes back tells when it is kept; changes are kept in the order
    /// of the calls. `None`: there is nothing to wait for.
    ///
    /// # Errors
    /// The writer has ended, or the change is too large.
    pub fn write(&self, change: &Change) -> Result<Option<Committed>, WriteError> {
        if matches!(self, Self::InMemory) {
            return Ok(None);
        }
        let steps = entries::steps(change);
        let size = steps.iter().map(Step::size).sum();
        if size > LARGEST {
            return Err(WriteError::TooLarge {
                size,
                limit: LARGEST,
            });
        }
        match self {
            Self::InMemory => Ok(None),
            Self::Store(writer, figures) => {
                let place = writer.path().display().to_string();
                match writer.write(embedded::batch(steps)) {
                    Ok(committed) => Ok(Some(Committed {
                        outcome: Outcome::Store(committed),
                        place,
                        _queued: figures.enqueue(),
                    })),
                    Err(_) => Err(WriteError::Ended { place }),
                }
            }
            Self::ZooKeeper(zookeeper, figures) => Ok(Some(Committed {
                outcome: Outcome::ZooKeeper(zookeeper.write(steps)?),
                place: zookeeper.place().to_owned(),
                _queued: figures.enqueue(),
            })),
        }
    }

    /// Numbers about it; `None`: nothing is kept.
    pub fn figures(&self) -> Option<&Figures> {
        match self {
            Self::InMemory => None,
            Self::Store(_, figures) | Self::ZooKeeper(_, figures) => Some(figures),
        }
    }
}

/// Resolves when a change is kept, or will never be by this registrar.
#[derive(Debug)]
pub struct Committed {
    outcome: Outcome,
    place: String,
    _queued: Queued,
}

#[derive(Debug)]
enum Outcome {
    Store(mesos_store::Committed),
    ZooKeeper(oneshot::Receiver<Result<(), WriteError>>),
}

impl Future for Committed {
    type Output = Result<(), WriteError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match &mut self.outcome {
            Outcome::Store(committed) => ready!(Pin::new(committed).poll(context)).map(|outcome| {
                outcome.map_err(|error| WriteError::Refused {
                    place: self.place.clone(),
                    reason: crate::owner::chain(&*error),
                })
            }),
            Outcome::ZooKeeper(committed) => ready!(Pin::new(committed).poll(context)),
        };
        Poll::Ready(outcome.unwrap_or_else(|_| {
            Err(WriteError::Ended {
                place: self.place.clone(),
            })
        }))
    }
}
