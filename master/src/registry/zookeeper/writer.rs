//! The task that writes: changes go out in groups, several groups under way, and come back in order.
use std::{collections::VecDeque, sync::Arc};

use futures::{StreamExt as _, stream::FuturesOrdered};
use tokio::{
    sync::mpsc,
    time::{Duration, Instant, sleep, sleep_until, timeout_at},
};
use zookeeper_client::{Client, Error};

use super::{
    Shared, ZooKeeperSettings,
    epoch::{self, Epoch, EpochError},
    layout::Layout,
    plan::{Multi, Plan, Waiting},
    request,
    session::{explain, passes},
};
use crate::registry::{WriteError, entries::Step};

/// Requests under way at a time.
const UNDER_WAY: usize = 8;
/// Requests planned ahead of these.
const AHEAD: usize = 4;
/// Changes taken from the queue at a time.
const GROUP: usize = 1024;
/// Waits between attempts to find out what became of the requests under way.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A change, and who waits for it.
pub(super) type Queued = (Vec<Step>, Waiting);

pub(super) struct Writer {
    pub settings: ZooKeeperSettings,
    pub layout: Layout,
    pub client: Client,
    /// What the node of the epoch holds, once everything acknowledged was made.
    pub epoch: Epoch,
    /// Its version then.
    pub version: i32,
    pub plan: Plan,
    pub queue: mpsc::UnboundedReceiver<Queued>,
    pub shared: Arc<Shared>,
    /// Not sent yet.
    pub planned: VecDeque<Multi>,
    /// Sent, the oldest first.
    pub sent: VecDeque<Multi>,
    /// Since when the oldest is under way.
    pub since: Instant,
}

enum End {
    /// Nobody writes any more, and everything is made.
    Idle,
    Trouble(Error),
}

impl Writer {
    /// Runs until the queue is closed and everything in it is made, or until nothing can be written any more.
    pub async fn run(mut self) {
        loop {
            let error = match self.drive().await {
                End::Idle => return,
                End::Trouble(error) => error,
            };
            tracing::warn!(place = self.layout.root(), %error, "writing to the registry was interrupted");
            if let Err(error) = self.resume(error).await {
                return self.finish(&error);
            }
        }
    }

    async fn drive(&mut self) -> End {
        let client = self.client.clone();
        let mut under_way = FuturesOrdered::new();
        for (index, multi) in self.sent.iter().enumerate() {
            under_way.push_back(self.send(&client, multi, index));
        }
        let mut changes = Vec::new();
        let mut open = true;
        loop {
            while self.sent.len() < UNDER_WAY {
                let Some(multi) = self.planned.pop_front() else {
                    break;
                };
                if self.sent.is_empty() {
                    self.since = Instant::now();
                }
                under_way.push_back(self.send(&client, &multi, self.sent.len()));
                self.sent.push_back(multi);
            }
            if !open && self.sent.is_empty() {
                return End::Idle;
            }
            tokio::select! {
                biased;
                Some(outcome) = under_way.next() => match outcome {
                    Ok(_) => self.made(),
                    Err(error) => return End::Trouble(error),
                },
                () = sleep_until(self.since + self.settings.store_timeout), if !self.sent.is_empty() => {
                    return End::Trouble(Error::Timeout);
                }
                taken = self.queue.recv_many(&mut changes, GROUP), if open && self.planned.len() < AHEAD => {
                    open = taken > 0;
                    for (steps, waiting) in changes.drain(..) {
                        self.plan.add(&steps, Some(waiting), &mut self.planned);
                    }
                    self.shared.figures.set_size(self.plan.bytes());
                }
            }
        }
    }

    /// Sends a request that has `before` others under way before it.
    fn send<'client>(
        &self,
        client: &'client Client,
        multi: &Multi,
        before: usize,
    ) -> impl Future<Output = Result<i32, Error>> + Send + use<'client> {
        let mut epoch = self.epoch.clone();
        epoch.sequence += before as u64 + 1;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_possible_wrap,
            reason = "at most UNDER_WAY"
        )]
        let version = self.version.wrapping_add(before as i32);
        let access = self.settings.access();
        request::send(
            client,
            &self.layout,
            &access,
            &epoch,
            version,
            &multi.operations,
        )
    }

    /// The oldest request under way was made.
    fn made(&mut self) {
        self.since = Instant::now();
        self.epoch.sequence += 1;
        self.version = self.version.wrapping_add(1);
        for waiting in self
            .sent
            .pop_front()
            .into_iter()
            .flat_map(|multi| multi.waiting)
        {
            // Nobody waits any more: it is made all the same.
            let _ = waiting.send(Ok(()));
        }
    }

    /// Finds out which requests were made and takes care that the others will not be made behind our back.
    async fn resume(&mut self, mut error: Error) -> Result<(), WriteError> {
        let deadline = self.since.max(Instant::now() - self.settings.store_timeout)
            + self.settings.store_timeout;
        let mut wait = FIRST_WAIT;
        loop {
            if !passes(&error) && error != Error::BadVersion {
                return Err(WriteError::Refused {
                    place: self.layout.root().to_owned(),
                    reason: match error {
                        Error::NodeExists | Error::NoNode | Error::NotEmpty => {
                            format!("{error}: somebody else changed it")
                        }
                        error => explain(&error),
                    },
                });
            }
            if Instant::now() >= deadline {
                return Err(WriteError::Unavailable {
                    place: self.layout.root().to_owned(),
                    seconds: self.settings.store_timeout.as_secs(),
                    reason: explain(&error),
                });
            }
            error = match timeout_at(deadline, self.look(deadline)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Look::Failed(error))) => return Err(error),
                Ok(Err(Look::Again(error))) => error,
                Err(_) => Error::Timeout,
            };
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn look(&mut self, deadline: Instant) -> Result<(), Look> {
        if self.client.state().is_terminated() {
            self.client = self.settings.connect(deadline).await?;
        }
        let path = self.layout.epoch();
        let stored = match epoch::read(&self.client, &path).await {
            Ok(stored) => stored,
            Err(EpochError::ZooKeeper(error)) => return Err(error.into()),
            Err(EpochError::Damaged(reason)) => {
                return Err(Look::Failed(WriteError::Refused {
                    place: self.layout.root().to_owned(),
                    reason,
                }));
            }
        };
        if stored.epoch.holder != self.epoch.holder {
            return Err(Look::Failed(WriteError::Fenced {
                place: self.layout.root().to_owned(),
                by: stored.epoch.who(),
            }));
        }
        // Each request sets the number after that of the one before it, so it says how many were made.
        let made = stored.epoch.sequence.saturating_sub(self.epoch.sequence);
        for _ in 0..made.min(self.sent.len() as u64) {
            self.made();
        }
        // A new version: what still is under way from before fails from here on, and can be sent again.
        let bytes = self.epoch.to_bytes();
        let stat = self
            .client
            .set_data(&path, &bytes, Some(stored.version))
            .await?;
        self.version = stat.version;
        Ok(())
    }

    /// Tells everybody that nothing is written any more.
    fn finish(&mut self, error: &WriteError) {
        tracing::error!(%error, "nothing more is written to the registry");
        // The first end is the one that counts; there is only one.
        let _ = self.shared.ended.set(error.clone());
        self.queue.close();
        let mut waiting: Vec<Waiting> = Vec::new();
        for multi in self.sent.drain(..).chain(self.planned.drain(..)) {
            waiting.extend(multi.waiting);
        }
        while let Ok((_, more)) = self.queue.try_recv() {
            waiting.push(more);
        }
        for waiting in waiting {
            // Nobody waits any more.
            let _ = waiting.send(Err(error.clone()));
        }
    }
}

/// What came of a look at the epoch.
enum Look {
    Again(Error),
    Failed(WriteError),
}

impl From<Error> for Look {
    fn from(error: Error) -> Self {
        Self::Again(error)
    }
}
