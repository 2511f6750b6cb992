//! What is remembered of one container while the agent runs.

use std::{
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Instant,
};

use mesos_containerizer_api::{ContainerConfig, ContainerStatus, Termination};
use mesos_types::{Limits, Resources};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::inspect::Inspect;

/// Where a container is in its life.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Phase {
    /// Fetching, pulling, creating, starting.
    Launching,
    /// Known from before the agent's restart, not yet found in the engine.
    Recovering,
    /// Runs, as far as is known.
    Running,
    /// Has ended; nothing leads out of here.
    Ended(Termination),
}

/// What the engine has said about it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// The engine's id, else its name.
    pub reference: String,
    pub status: ContainerStatus,
    /// `STOPSIGNAL` of the image or the parameter.
    pub stop_signal: Option<String>,
    pub tty: bool,
    /// Bytes; 0: none.
    pub memory: i64,
    pub cpu_shares: i64,
    pub cpu_quota: i64,
}

/// One container.
#[derive(Debug)]
pub(crate) struct Entry {
    pub config: ContainerConfig,
    pub since: Instant,
    /// Fires when somebody wants it gone.
    pub stop: CancellationToken,
    /// SIGKILL was sent to it, so that its death needs no other reason.
    pub killed: AtomicBool,
    phase: watch::Sender<Phase>,
    facts: Mutex<Facts>,
    resources: Mutex<(Resources, Limits)>,
}

impl Entry {
    pub(crate) fn new(config: ContainerConfig, phase: Phase, name: String) -> Self {
        let resources = Mutex::new((config.resources.clone(), config.limits));
        Self {
            config,
            since: Instant::now(),
            stop: CancellationToken::new(),
            killed: AtomicBool::new(false),
            phase: watch::Sender::new(phase),
            facts: Mutex::new(Facts {
                reference: name,
                ..Facts::default()
            }),
            resources,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Ended(_))
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Answers when it has ended.
    pub(crate) async fn ended(&self) -> Termination {
        let mut phases = self.phase.subscribe();
        let ended = phases
            .wait_for(|phase| matches!(phase, Phase::Ended(_)))
            .await;
        match ended.as_deref() {
            Ok(Phase::Ended(termination)) => termination.clone(),
            // The sender lives in `self`, so the channel is open.
            Ok(_) | Err(_) => Termination::default(),
        }
    }

    /// Answers when it is no longer being looked for.
    pub(crate) async fn recovered(&self) {
        let mut phases = self.phase.subscribe();
        let _open = phases
            .wait_for(|phase| !matches!(phase, Phase::Recovering))
            .await;
    }

    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine's id, else its name.
    pub(crate) fn reference(&self) -> String {
        self.facts().reference.clone()
    }

    pub(crate) fn learn(&self, inspect: &Inspect) {
        let mut facts = self.facts();
        if !inspect.id.is_empty() {
            facts.reference.clone_from(&inspect.id);
        }
        facts.status = inspect.status(self.config.container.as_ref());
        facts.stop_signal.clone_from(&inspect.config.stop_signal);
        facts.tty = inspect.config.tty;
        facts.memory = inspect.host_config.memory;
        facts.cpu_shares = inspect.host_config.cpu_shares;
        facts.cpu_quota = inspect.host_config.cpu_quota;
    }

    /// Requests and limits as last told.
    pub(crate) fn resources(&self) -> (Resources, Limits) {
        self.resources
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_resources(&self, resources: &Resources, limits: &Limits) {
        *self
            .resources
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = (resources.clone(), *limits);
    }
}
