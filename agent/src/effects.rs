//! Carries the core's effects out, on a thread of its own: what must be written down first, in one write
//! for everything that waits; then the rest in order, none of it waiting.

use std::{
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use mesos_containerizer_api::{ContainerError, SharedContainerizer};
use mesos_types::AgentId;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint::{Batch, Change, CheckpointError, Journal, Lock, identity, resources},
    control::{Command, Link},
    core::{Effect, Event, Exit, ResizeRequest, SandboxFailure, chain},
    executor_api::Executors,
    garbage::Garbage,
    sandbox, startup,
    volumes::{self, VolumeWork},
};

/// Batches of effects that share one write.
const BATCHES_AT_ONCE: usize = 1024;
/// Pause before a write that failed is tried again.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// Everything that effects need.
pub(crate) struct Effector {
    pub(crate) runtime: Handle,
    pub(crate) work_dir: PathBuf,
    /// `None` until the agent has an id.
    pub(crate) journal: Option<Journal>,
    /// Reservations, volumes, operations.
    pub(crate) resources: Journal,
    pub(crate) containerizer: SharedContainerizer,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) link: Link,
    pub(crate) executors: Executors,
    pub(crate) garbage: Garbage,
    pub(crate) exit: watch::Sender<Option<Exit>>,
    pub(crate) stop: CancellationToken,
    /// Held as long as the journal is written.
    pub(crate) lock: Lock,
}

impl Effector {
    /// Starts the thread; it ends with the core.
    pub(crate) fn start(self, work: mpsc::Receiver<Vec<Vec<Effect>>>) {
        let exit = self.exit.clone();
        let thread = thread::Builder::new().name("effects".to_owned());
        if let Err(error) = thread.spawn(move || self.run(work)) {
            let text = format!("cannot start a thread: {error}");
            exit.send_replace(Some(Exit::Failed(text)));
        }
    }

    fn run(mut self, mut work: mpsc::Receiver<Vec<Vec<Effect>>>) {
        let _runtime = self.runtime.clone();
        let _entered = _runtime.enter();
        self.reserve();
        let mut batch = Batch::default();
        let mut durable = Vec::new();
        let mut waiting = Vec::new();
        while work.blocking_recv_many(&mut waiting, BATCHES_AT_ONCE) > 0 {
            let mut rest = Vec::new();
            for effect in waiting.drain(..).flatten().flatten() {
                match effect {
                    Effect::Adopt(info) => {
                        if let Err(error) = self.adopt(&info) {
                            let text = format!("cannot keep the agent's id: {}", chain(&error));
                            self.exit.send_replace(Some(Exit::Failed(text)));
                            return;
                        }
                    }
                    Effect::Persist(changes) => batch.frame(&changes),
                    Effect::PersistResources(changes) => durable.extend(changes),
                    other => rest.push(other),
                }
            }
            if !batch.is_empty() {
                if !self.write(&batch) {
                    return;
                }
                batch.clear();
            }
            if !durable.is_empty() {
                if !self.write_durably(&durable) {
                    return;
                }
                durable.clear();
            }
            for effect in rest {
                match effect {
                    Effect::Volumes(work) => {
                        if !self.carry_out_volumes(&work) {
                            return;
                        }
                    }
                    effect => self.carry_out(effect),
                }
            }
        }
        drop(self.lock);
    }

    /// Becomes the agent that the master named: its id survives power loss from here on.
    fn adopt(&mut self, info: &mesos_wire::v1::AgentInfo) -> Result<(), CheckpointError> {
        identity::write(&self.work_dir, info)?;
        let id = info
            .id
            .as_ref()
            .map(AgentId::from)
            .unwrap_or_else(|| "".into());
        let path = identity::journal(&self.work_dir, &id);
        self.journal = Some(Journal::open(&path, false)?.journal);
        self.reserve();
        Ok(())
    }

    /// Keeps a little room on the disk, so that what matters can be written when tasks have filled it.
    fn reserve(&self) {
        if let Some(journal) = &self.journal
            && let Err(error) = Journal::reserve(journal.path())
        {
            tracing::warn!(%error, "cannot keep room on the disk for checkpoints");
        }
    }

    /// Writes a batch, as often as it takes. `false`: the agent ends before that.
    fn write(&mut self, batch: &Batch) -> bool {
        let Some(journal) = &mut self.journal else {
            tracing::error!("a checkpoint before the agent has an id is dropped; this is a bug");
            return true;
        };
        let reserve = Journal::reserve_path(journal.path());
        let append = || journal.append(batch);
        if !persist(
            append,
            Some(&reserve),
            &self.runtime,
            &self.events,
            &self.stop,
        ) {
            return false;
        }
        if journal.wants_compaction() {
            match journal.compact() {
                Ok(()) => self.reserve(),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the journal cannot be made smaller");
                }
            }
        }
        true
    }

    /// The same for what must survive power loss.
    fn write_durably(&mut self, changes: &[Change]) -> bool {
        let reserve = self
            .journal
            .as_ref()
            .map(|j| Journal::reserve_path(j.path()));
        let append = || resources::append(&mut self.resources, changes);
        if !persist(
            append,
            reserve.as_deref(),
            &self.runtime,
            &self.events,
            &self.stop,
        ) {
            return false;
        }
        if let Err(error) = resources::compact(&mut self.resources) {
            tracing::warn!(error = %chain(&error), "the journal of resources cannot be made smaller");
        }
        true
    }

    /// Makes and removes volumes, and notes that before anything can use them. `false`: the agent ends.
    fn carry_out_volumes(&mut self, work: &VolumeWork) -> bool {
        let result = work.carry_out();
        if result.is_ok() && !self.write_durably(&[resources::put_carried_out(work.operation)]) {
            return false;
        }
        let told = match result {
            Ok(aside) => {
                if !aside.is_empty() {
                    self.runtime.spawn_blocking(move || volumes::clear(&aside));
                }
                Ok(())
            }
            Err(problem) => Err(problem),
        };
        tell(
            &self.runtime,
            &self.events,
            Event::VolumesDone(work.operation, told),
        );
        true
    }

    fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Adopt(_)
            | Effect::Persist(_)
            | Effect::PersistResources(_)
            | Effect::Volumes(_) => {
                // Done before.
            }
            Effect::OpenSession(session, messages) => self.link.push(Command::Open(session, messages)),
            Effect::Send(session, message) => self.link.push(Command::Send(session, message)),
            Effect::CloseSession(session) => self.link.push(Command::Close(session)),
            Effect::MakeSandbox(request) => {
                let directories = [
                    request.paths.framework_directory(),
                    request.paths.executor_directory(),
                ];
                let kept = self.garbage.keep(directories.into_iter().flatten());
                let events = self.events.clone();
                self.runtime.spawn(async move {
                    // What is being removed is gone before the sandbox is made in it.
                    let _ = kept.await;
                    let container = request.container.clone();
                    let made = tokio::task::spawn_blocking(move || sandbox::make(&request)).await;
                    let result = made.unwrap_or_else(|error| {
                        Err(SandboxFailure::Directory(format!("Failed to create executor directory: {error}")))
                    });
                    let _ = events.send(Event::SandboxMade(container, result)).await;
                });
            }
            Effect::Launch(config) => {
                let container = config.id.clone();
                self.ask(move |containerizer| async move {
                    Event::Launched(container, containerizer.launch(*config).await)
                });
            }
            Effect::Wait(container) => self.ask(move |containerizer| async move {
                let result = containerizer.wait(&container).await;
                Event::Ended(container, result)
            }),
            Effect::Resize(request) => self.ask(move |containerizer| async move {
                let container = request.container.clone();
                Event::Resized(container, resize(&containerizer, *request).await)
            }),
            Effect::Probe(container) => self.ask(move |containerizer| async move {
                let status = match containerizer.status(&container).await {
                    Ok(status) => status,
                    Err(error) => {
                        tracing::warn!(%container, error = %chain(&error), "cannot tell whether a container runs");
                        None
                    }
                };
                Event::Probed(container, status)
            }),
            Effect::Signal(container, signal) => {
                let containerizer = self.containerizer.clone();
                self.runtime.spawn(async move {
                    if let Err(error) = containerizer.kill(&container, signal).await {
                        tracing::warn!(%container, signal, error = %chain(&error), "cannot signal a container");
                    }
                });
            }
            Effect::Destroy(container) => {
                let containerizer = self.containerizer.clone();
                self.runtime.spawn(async move {
                    if let Err(error) = containerizer.destroy(&container).await {
                        tracing::error!(%container, error = %chain(&error), "cannot destroy a container; it is tried again");
                    }
                });
            }
            Effect::Forget(container) => {
                let containerizer = self.containerizer.clone();
                self.runtime.spawn(async move {
                    if let Err(error) = containerizer.forget(&container).await {
                        tracing::warn!(%container, error = %chain(&error), "cannot forget a container");
                    }
                });
            }
            Effect::Answer(request, answer) => self.executors.answer(request, answer),
            Effect::ToExecutor(connection, event) => self.executors.send(connection, &event),
            Effect::CloseExecutor(connection) => self.executors.close(connection),
            Effect::Collect(path) => self.garbage.collect(path),
            Effect::Renounce => startup::renounce(&self.work_dir),
            Effect::Exit(exit) => {
                self.exit.send_replace(Some(exit));
            }
        }
    }

    /// Asks the containerizer something; the answer becomes an event.
    fn ask<F>(&self, question: impl FnOnce(SharedContainerizer) -> F)
    where
        F: Future<Output = Event> + Send + 'static,
    {
        let events = self.events.clone();
        let answer = question(self.containerizer.clone());
        self.runtime.spawn(async move {
            let _ = events.send(answer.await).await;
        });
    }
}

/// Appends to a journal as often as it takes. `false`: the agent ends before that. When the disk is full
/// the room in `reserve` is given up first.
fn persist(
    mut append: impl FnMut() -> Result<(), CheckpointError>,
    reserve: Option<&Path>,
    runtime: &Handle,
    events: &mpsc::Sender<Event>,
    stop: &CancellationToken,
) -> bool {
    let mut stalled = false;
    while let Err(error) = append() {
        let is_full = matches!(
            &error,
            CheckpointError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull
        );
        if is_full && reserve.is_some_and(|reserve| std::fs::remove_file(reserve).is_ok()) {
            tracing::error!(
                "the disk of the work_dir is full: using the room kept for that; free some space"
            );
            continue;
        }
        if !std::mem::replace(&mut stalled, true) {
            tracing::error!(error = %chain(&error), "checkpoints cannot be written: updates wait, new tasks are refused; free some space");
            tell(runtime, events, Event::CheckpointsStalled(true));
        }
        if stop.is_cancelled() {
            return false;
        }
        thread::sleep(WRITE_AGAIN);
    }
    if stalled {
        tracing::info!("checkpoints can be written again");
        tell(runtime, events, Event::CheckpointsStalled(false));
    }
    true
}

/// Gives new volumes to the container's user, then the new resources to the container.
async fn resize(
    containerizer: &SharedContainerizer,
    request: ResizeRequest,
) -> Result<(), ContainerError> {
    let ResizeRequest {
        container,
        resources,
        limits,
        user,
        volumes,
    } = request;
    let given =
        tokio::task::spawn_blocking(move || sandbox::give_volumes(user.as_deref(), &volumes));
    let given = given.await.unwrap_or_else(|error| Err(error.to_string()));
    given.map_err(|message| ContainerError::Update {
        id: container.clone(),
        message,
    })?;
    containerizer.update(&container, &resources, &limits).await
}

fn tell(runtime: &Handle, events: &mpsc::Sender<Event>, event: Event) {
    let events = events.clone();
    runtime.spawn(async move {
        let _ = events.send(event).await;
    });
}
