//! The way into the master for its endpoints: the newest state to read, commands to send.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use mesos_http::{Authorizer, Metrics, logging::LogLevel};
use mesos_types::FrameworkId;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::{
    config::MasterConfig,
    core::Reply,
    counters::Counters,
    owner::Command,
    state::{Change, Published, Snapshot},
};

/// A handle of a running master; clones are the same master.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    commands: mpsc::Sender<Command>,
    published: Arc<Published>,
    config: Arc<MasterConfig>,
    counters: Arc<Counters>,
    authorizer: Arc<dyn Authorizer>,
    metrics: Metrics,
    log_level: LogLevel,
    numbers: AtomicU64,
}

/// The master has stopped: answer 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the master is shutting down")]
pub struct Stopped;

impl Handle {
    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        published: Arc<Published>,
        config: Arc<MasterConfig>,
        counters: Arc<Counters>,
        authorizer: Arc<dyn Authorizer>,
        metrics: Metrics,
        log_level: LogLevel,
    ) -> Self {
        Self(Arc::new(Shared {
            commands,
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

    /// Commands that wait for the owner.
    pub fn queued(&self) -> usize {
        self.0.commands.max_capacity() - self.0.commands.capacity()
    }

    /// Ends a framework, as an operator asks for it. The caller has asked the authorizer.
    ///
    /// # Errors
    /// The master is stopping.
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
    /// The master is stopping.
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
        self.0.commands.send(command).await.map_err(|_| Stopped)
    }
}
