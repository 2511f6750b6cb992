//! What is known about one container while it is launching, running, being destroyed, or ended.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use mesos_containerizer_api::{ContainerError, Stage, Termination};
use mesos_isolator_linux::PidFd;
use mesos_types::{ContainerId, Limits, Resources};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::runtime_dir::ContainerDir;

/// Where a container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In this stage of its launch.
    Launching(Stage),
    /// The task runs.
    Running,
    /// Its processes are being killed, its traces removed.
    Destroying,
    /// All over; only the answer of `wait` is left.
    Ended,
}

/// One container. Its owner task (`lifecycle.rs`) alone moves it on; others look, and may ask for
/// its end.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) id: ContainerId,
    pub(crate) dir: ContainerDir,
    /// Somebody wants it gone.
    pub(crate) destroy: CancellationToken,
    ended: watch::Sender<Option<Termination>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    first: Option<(u32, Arc<PidFd>)>,
    /// Whether the task was let go: from then on it has a status, if only that of a kill.
    released: bool,
    resources: Resources,
    limits: Limits,
}

impl Container {
    pub(crate) fn new(
        id: ContainerId,
        dir: ContainerDir,
        resources: Resources,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            dir,
            destroy: CancellationToken::new(),
            ended: watch::Sender::new(None),
            state: Mutex::new(State {
                phase: Phase::Launching(Stage::Validate),
                since: Instant::now(),
                first: None,
                released: false,
                resources,
                limits,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn phase(&self) -> Phase {
        self.state().phase
    }

    /// The phase, and for how long it has been so.
    pub(crate) fn phase_since(&self) -> (Phase, Instant) {
        let state = self.state();
        (state.phase, state.since)
    }

    pub(crate) fn enter(&self, phase: Phase) {
        let mut state = self.state();
        state.phase = phase;
        state.since = Instant::now();
    }

    /// Runs one stage of the launch, unless and until somebody wants the container gone.
    pub(crate) async fn stage<T>(
        &self,
        stage: Stage,
        work: impl Future<Output = Result<T, ContainerError>>,
    ) -> Result<T, ContainerError> {
        self.enter(Phase::Launching(stage));
        let destroyed = || {
            Err(ContainerError::DestroyedWhileLaunching {
                id: self.id.clone(),
            })
        };
        tokio::select! {
            biased;
            () = self.destroy.cancelled() => destroyed(),
            done = work => done,
        }
    }

    pub(crate) fn set_first(&self, pid: u32, fd: Arc<PidFd>) {
        self.state().first = Some((pid, fd));
    }

    /// The first process, which is ours, once it exists.
    pub(crate) fn first(&self) -> Option<(u32, Arc<PidFd>)> {
        self.state().first.clone()
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.state().first.as_ref().map(|(pid, _)| *pid)
    }

    pub(crate) fn set_released(&self) {
        self.state().released = true;
    }

    pub(crate) fn was_released(&self) -> bool {
        self.state().released
    }

    pub(crate) fn set_resources(&self, resources: &Resources, limits: &Limits) {
        let mut state = self.state();
        state.resources = resources.clone();
        state.limits = *limits;
    }

    pub(crate) fn resources(&self) -> (Resources, Limits) {
        let state = self.state();
        (state.resources.clone(), state.limits)
    }

    /// Publishes the end to everybody who waits.
    pub(crate) fn end(&self, termination: Termination) {
        self.enter(Phase::Ended);
        self.ended.send_replace(Some(termination));
    }

    /// Answers after the end, at once if it has come already. Cancel safe.
    pub(crate) async fn ended(&self) -> Termination {
        let mut ended = self.ended.subscribe();
        let found = ended.wait_for(Option::is_some).await;
        // The sender lives in `self`, so it cannot be gone.
        found
            .ok()
            .and_then(|termination| termination.clone())
            .unwrap_or_default()
    }
}
