//! The way to change the registry, whatever keeps it.
use std::{
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
};

use mesos_store::Writer;
use tokio::sync::oneshot;

use super::{Change, Registry, RegistryError, WriteError, embedded};

/// Writes changes, durably or not at all, in the order they are given.
#[derive(Debug)]
pub enum Registrar {
    /// Nothing is kept.
    InMemory,
    /// In the embedded store.
    Store(Writer),
}

impl Registrar {
    /// Opens the store and reads all of it. Blocks on the disk.
    ///
    /// # Errors
    /// The store cannot be opened, or holds what does not read.
    pub fn open(path: &Path) -> Result<(Self, Registry), RegistryError> {
        let (writer, registry) = embedded::open(path)?;
        Ok((Self::Store(writer), registry))
    }

    /// Queues a change; never blocks. What comes back tells when it is kept; changes are kept in the order
    /// of the calls. `None`: there is nothing to wait for.
    ///
    /// # Errors
    /// The writer has ended.
    pub fn write(&self, change: &Change) -> Result<Option<Committed>, WriteError> {
        match self {
            Self::InMemory => Ok(None),
            Self::Store(writer) => {
                let place = writer.path().display().to_string();
                match writer.write(embedded::batch(change)) {
                    Ok(committed) => Ok(Some(Committed {
                        outcome: Outcome::Store(committed),
                        place,
                    })),
                    Err(_) => Err(WriteError::Ended { place }),
                }
            }
        }
    }
}

/// Resolves when a change is kept, or will never be by this registrar.
#[derive(Debug)]
pub struct Committed {
    outcome: Outcome,
    place: String,
}

#[derive(Debug)]
enum Outcome {
    Store(mesos_store::Committed),
}

impl Future for Committed {
    type Output = Result<(), WriteError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match &mut self.outcome {
            Outcome::Store(committed) => match ready!(Pin::new(committed).poll(context)) {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(WriteError::Refused {
                    place: self.place.clone(),
                    reason: crate::owner::chain(&*error),
                }),
                Err(oneshot::error::RecvError { .. }) => Err(WriteError::Ended {
                    place: self.place.clone(),
                }),
            },
        };
        Poll::Ready(outcome)
    }
}
