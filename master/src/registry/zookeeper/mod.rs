//! The registry in ZooKeeper, for several masters of which one leads.
//!
//! - `layout`: where things are.
//! - `session`: connecting, access rules, errors.
//! - `epoch`: who may write, and that nobody else does.
//! - `plan`, `journal`, `request`: from a change to what is asked of ZooKeeper, however large it is.
//! - `load`, `takeover`: becoming the one who writes, and reading everything.
//! - `writer`: the task that writes.
mod epoch;
mod journal;
mod layout;
mod load;
mod plan;
mod request;
mod session;
mod takeover;
mod writer;

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use mesos_wire::v1::MasterInfo;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use self::{
    epoch::Epoch,
    layout::Layout,
    writer::{Queued, Writer},
};
use super::{
    Change, Figures, Registry, RegistryError, WriteError,
    entries::{self, Step},
};

pub use session::ZooKeeperSettings;

/// The way to the task that writes. Without it the task makes what is queued, and ends.
#[derive(Debug)]
pub struct ZooKeeper {
    queue: mpsc::UnboundedSender<Queued>,
    shared: Arc<Shared>,
}

/// What the task and those who queue changes both know.
#[derive(Debug)]
struct Shared {
    place: String,
    /// Why nothing is written any more.
    ended: OnceLock<WriteError>,
    figures: Figures,
}

impl ZooKeeper {
    /// Takes the registry over from whoever led before, reads all of it, and starts the task.
    pub(super) async fn take_over(
        settings: ZooKeeperSettings,
        election: u64,
        info: &MasterInfo,
        figures: Figures,
    ) -> Result<(Self, Registry), RegistryError> {
        let begun = Instant::now();
        let layout = Layout::new(&settings.path);
        let epoch = Epoch {
            election,
            master: info.id.clone(),
            address: info.pid().to_owned(),
            holder: uuid::Uuid::new_v4().to_string(),
            sequence: 0,
        };
        let taken = takeover::take_over(&settings, &layout, epoch).await?;
        let (queue, queued) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            place: layout.root().to_owned(),
            ended: OnceLock::new(),
            figures,
        });
        let mut writer = Writer {
            settings,
            layout,
            client: taken.client,
            epoch: taken.epoch,
            version: taken.version,
            plan: taken.loaded.plan,
            queue: queued,
            shared: shared.clone(),
            planned: VecDeque::new(),
            sent: VecDeque::new(),
            since: Instant::now(),
        };
        let leader = entries::steps(&Change::Leader(Box::new(info.clone())));
        writer.plan.add(&leader, None, &mut writer.planned);
        shared.figures.set_size(writer.plan.bytes());
        shared.figures.set_fetch(begun.elapsed());
        tokio::spawn(writer.run());
        Ok((Self { queue, shared }, taken.loaded.registry))
    }

    /// Queues a change.
    pub(super) fn write(
        &self,
        steps: Vec<Step>,
    ) -> Result<oneshot::Receiver<Result<(), WriteError>>, WriteError> {
        let (done, waiting) = oneshot::channel();
        match self.queue.send((steps, done)) {
            Ok(()) => Ok(waiting),
            Err(_) => Err(self.ended()),
        }
    }

    /// Where it is.
    pub(super) fn place(&self) -> &str {
        &self.shared.place
    }

    /// Why nothing is written any more.
    pub(super) fn ended(&self) -> WriteError {
        let ended = self.shared.ended.get().cloned();
        ended.unwrap_or_else(|| WriteError::Ended {
            place: self.shared.place.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
