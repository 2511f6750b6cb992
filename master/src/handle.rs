//! The way into the master for its endpoints: the newest state to read, commands to send.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use mesos_http::{Authorizer, Metrics, logging::LogLevel};
use mesos_types::FrameworkId;
use tokio::sync::{broadcast, oneshot};

use crate::{
    config::MasterConfig,
    core::Reply,
    counters::Counters,
    leadership::Leadership,
    owner::Command,
    state::{Change, Published, Snapshot},
};

/// A handle of a running master; clones are the same master.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    leadership: ArcSwap<Leadership>,
    published: Arc<Published>,
    config: Arc<MasterConfig>,
    counters: Arc<Counters>,
    authorizer: Arc<dyn Authorizer>,
    metrics: Metrics,
    log_level: LogLevel,
    numbers: AtomicU64,
}

/// This master does not lead, or not any more: answer 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this master does not lead or is shutting down; try again")]
pub struct Stopped;

impl Handle {
    /// A master that does not lead yet.
    pub(crate) fn new(
        published: Arc<Published>,
        config: Arc<MasterConfig>,
        counters: Arc<Counters>,
        authorizer: Arc<dyn Authorizer>,
        metrics: Metrics,
        log_level: LogLevel,
    ) -> Self {
        Self(Arc::new(Shared {
            leadership: ArcSwap::default(),
            published,
            config,
            counters,
            authorizer,
            metrics,
            log_level,
            numbers: AtomicU64::new(0),
        }))
    }

    /// The newest state. Never waits. A client that was answered finds its own write in here.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.published.load()
    }

    /// A state and the changes after it; see [`Published::follow`].
    pub fn follow(&self) -> (Arc<Snapshot>, broadcast::Receiver<(u64, Change)>) {
        self.0.published.follow()
    }

    /// As started.
    pub fn config(&self) -> &MasterConfig {
        &self.0.config
    }

    /// What the state machine counts.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.0.counters
    }

    /// Who may do what.
    pub fn authorizer(&self) -> &Arc<dyn Authorizer> {
        &self.0.authorizer
    }

    /// The metrics behind `/metrics/snapshot`.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The verbosity of the log.
    pub fn log_level(&self) -> &LogLevel {
        &self.0.log_level
    }

    /// Who leads.
    pub fn leadership(&self) -> Arc<Leadership> {
        self.0.leadership.load_full()
    }

    /// Lets everybody know who leads.
    pub(crate) fn set_leadership(&self, leadership: Leadership) {
        self.0.leadership.store(Arc::new(leadership));
    }

    /// Where states are published.
    pub(crate) fn published(&self) -> &Arc<Published> {
        &self.0.published
    }

    /// Commands that wait for the owner.
    pub fn queued(&self) -> usize {
        let leadership = self.leadership();
        let commands = leadership.term().map(|term| &term.commands);
        commands.map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    /// Ends a framework, as an operator asks for it. The caller has asked the authorizer.
    ///
    /// # Errors
    /// This master does not lead, or not any more.
    pub async fn teardown(&self, framework_id: FrameworkId) -> Result<Reply, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Teardown {
            framework_id,
            reply,
        })
        .await?;
        answer.await.map_err(|_| Stopped)
    }

    /// Carries out an operator's call that changes something and is valid in itself. The core asks the
    /// authorizer. The answer comes once the change is durable.
    ///
    /// # Errors
    /// This master does not lead, or not any more.
    pub async fn operate(
        &self,
        principal: Option<&str>,
        call: mesos_wire::v1::master::Call,
    ) -> Result<Reply, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Operator {
            principal: principal.map(str::to_owned),
            call: Box::new(call),
            reply,
        })
        .await?;
        answer.await.map_err(|_| Stopped)
    }

    /// A number that no other stream or session of this master has.
    pub(crate) fn number(&self) -> u64 {
        self.0.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) async fn send(&self, command: Command) -> Result<(), Stopped> {
        let leadership = self.leadership();
        let term = leadership.term().ok_or(Stopped)?;
        term.commands.send(command).await.map_err(|_| Stopped)
    }
}
