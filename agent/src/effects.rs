//! Carries the core's effects out, on a thread of its own: what must be written down first, in one write
//! for everything that waits; then the rest in order, none of it waiting.

use std::{io, path::PathBuf, thread, time::Duration};

use mesos_containerizer_api::SharedContainerizer;
use mesos_types::AgentId;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint::{Batch, CheckpointError, Journal, Lock, identity},
    control::{Command, Link},
    core::{Effect, Event, Exit, SandboxFailure, chain},
    executor_api::Executors,
    garbage::Garbage,
    sandbox, startup,
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
                    other => rest.push(other),
                }
            }
            if !batch.is_empty() {
                if !self.write(&batch) {
                    return;
                }
                batch.clear();
            }
            for effect in rest {
                self.carry_out(effect);
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
        let mut stalled = false;
        loop {
            let error = match journal.append(batch) {
                Ok(()) => break,
                Err(error) => error,
            };
            let is_full = matches!(
                &error,
                CheckpointError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull
            );
            if is_full && std::fs::remove_file(&reserve).is_ok() {
                tracing::error!(
                    "the disk of the work_dir is full: using the room kept for that; free some space"
                );
                continue;
            }
            if !std::mem::replace(&mut stalled, true) {
                tracing::error!(error = %chain(&error), "checkpoints cannot be written: updates wait, new tasks are refused; free some space");
                tell(&self.runtime, &self.events, Event::CheckpointsStalled(true));
            }
            if self.stop.is_cancelled() {
                return false;
            }
            thread::sleep(WRITE_AGAIN);
        }
        if stalled {
            tracing::info!("checkpoints can be written again");
            tell(
                &self.runtime,
                &self.events,
                Event::CheckpointsStalled(false),
            );
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

    fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Adopt(_) | Effect::Persist(_) => {
                // Done before everything else.
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
            Effect::Resize(container, resources, limits) => self.ask(move |containerizer| async move {
                let result = containerizer.update(&container, &resources, &limits).await;
                Event::Resized(container, result)
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

fn tell(runtime: &Handle, events: &mpsc::Sender<Event>, event: Event) {
    let events = events.clone();
    runtime.spawn(async move {
        let _ = events.send(event).await;
    });
}
