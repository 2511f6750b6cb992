//! The launch of a container, stage by stage, each with its undo.
//!
//! A stage that waits for something outside is resumed by that thing's event. What fails at any stage
//! undoes the earlier ones in reverse and ends in one terminal update per task. A kill may come between
//! any two stages. The containerizer's own stages (fetch, provision, prepare, fork, isolate, release)
//! are behind [`PIPELINE`]'s last one.

use std::{path::PathBuf, time::Duration};

use mesos_containerizer_api::{ContainerError, LaunchResult, Running};
use mesos_http::{Action, Object};
use mesos_types::{ContainerId, PersistentVolume, Ranges, Resources};
use mesos_wire::v1::{TaskState, task_status::Reason};

use super::{
    Core, Effect, SandboxFailure, SandboxPaths, SandboxRequest, Timer,
    container::{launches_at_once, mapped_ports},
    generate,
    updates::NewStatus,
};
use crate::state::{ExecutorKind, ExecutorPhase, TaskPlace};

/// What a stage has come to.
enum Step {
    /// The next stage may start.
    Done,
    /// An event will say.
    Wait,
    /// The launch ends here.
    Failed(NewStatus),
}

/// A stage of the launch.
struct Stage {
    name: &'static str,
    run: fn(&mut Core, &ContainerId) -> Step,
    /// Takes back what the stage did, whether it was done or only begun.
    undo: fn(&mut Core, &ContainerId),
}

/// The stages, in order. Validation comes before them: nothing is made for a task that cannot be.
const PIPELINE: [Stage; 5] = [
    Stage {
        name: "authorize",
        run: Core::authorize,
        undo: Core::nothing_to_undo,
    },
    Stage {
        name: "reserve",
        run: Core::reserve,
        undo: Core::release,
    },
    Stage {
        name: "sandbox",
        run: Core::make_sandbox,
        undo: Core::leave_sandbox,
    },
    Stage {
        name: "intent",
        run: Core::write_intent,
        undo: Core::withdraw_intent,
    },
    Stage {
        name: "container",
        run: Core::start_container,
        undo: Core::nothing_to_undo,
    },
];
/// Where the sandbox stage stands in the pipeline.
const SANDBOX: usize = 2;
/// Where the container stage stands.
const CONTAINER: usize = 4;

impl Core {
    /// Whether a run has gone through all stages.
    pub(super) fn is_launched(&self, container: &ContainerId) -> bool {
        self.runs
            .get(container)
            .is_some_and(|run| run.done == PIPELINE.len())
    }

    /// Whether the containerizer has been asked to launch, and has not answered.
    pub(super) fn is_starting(&self, container: &ContainerId) -> bool {
        self.runs
            .get(container)
            .is_some_and(|run| run.done == CONTAINER)
    }

    /// A run whose container came up in an earlier life of the agent.
    pub(super) fn skip_to_end(&mut self, container: &ContainerId) {
        if let Some(run) = self.runs.get_mut(container) {
            run.done = PIPELINE.len();
        }
    }

    /// Goes on with a launch from where it stands.
    pub(super) fn advance(&mut self, container: &ContainerId) {
        loop {
            let Some(run) = self.runs.get(container) else {
                return;
            };
            let Some(stage) = PIPELINE.get(run.done) else {
                return;
            };
            tracing::debug!(%container, stage = stage.name, "launching");
            match (stage.run)(self, container) {
                Step::Done => self.stage_done(container),
                Step::Wait => return,
                Step::Failed(status) => {
                    tracing::warn!(
                        %container,
                        stage = stage.name,
                        message = status.message.as_deref().unwrap_or_default(),
                        "a launch failed"
                    );
                    self.abandon(container, &status);
                    return;
                }
            }
        }
    }

    fn stage_done(&mut self, container: &ContainerId) {
        if let Some(run) = self.runs.get_mut(container) {
            run.done += 1;
        }
    }

    /// Ends a launch: undoes its stages in reverse, and gives its tasks their end.
    pub(super) fn abandon(&mut self, container: &ContainerId, status: &NewStatus) {
        let Some(run) = self.runs.get(container) else {
            return;
        };
        let begun = (run.done + 1).min(PIPELINE.len());
        for stage in PIPELINE[..begun].iter().rev() {
            (stage.undo)(self, container);
        }
        self.end_tasks(container, status);
        let executor = self.executor_of(container).cloned();
        if let (Some(executor), Some(run)) = (executor, self.runs.get(container))
            && executor.kind == ExecutorKind::Custom
        {
            // The master holds its resources until it hears of its end.
            let framework = run.framework.clone();
            self.report_exit(&framework, &executor.id, None);
        }
        self.executor_terminated(container);
    }

    fn nothing_to_undo(&mut self, _: &ContainerId) {}

    /// Stage 1: may this principal run this task as this user?
    fn authorize(&mut self, container: &ContainerId) -> Step {
        let Some(run) = self.runs.get(container) else {
            return Step::Wait;
        };
        let Some(framework) = self.state.frameworks.get(&run.framework) else {
            return Step::Wait;
        };
        let principal = framework.info.principal.as_deref();
        let refused = self.executor_of(container).and_then(|executor| {
            executor.tasks.values().find(|task| {
                let object = Object::TaskInfo(&task.info, &framework.info);
                !self
                    .authorizer
                    .authorize(principal, Action::RunTask, object)
            })
        });
        match refused {
            None => Step::Done,
            Some(task) => Step::Failed(NewStatus::agent(
                TaskState::TaskError,
                Reason::TaskUnauthorized,
                format!("Task {} is not authorized to run as its user", task.id),
            )),
        }
    }

    /// Stage 2: do we have what it asks for, and are its ports nobody else's?
    fn reserve(&mut self, container: &ContainerId) -> Step {
        let Some(executor) = self.executor_of(container).cloned() else {
            return Step::Wait;
        };
        let mut wanted = executor.allocated();
        if executor.kind.is_generated() {
            // The overhead of an executor that there is not comes on top of what was offered.
            wanted -= &executor.resources();
        }
        // A shared volume is there once, however many of the tasks use it.
        let once = wanted.unallocated().distinct().cloned().collect();
        if !self.state.resources.contains(&once) {
            return Step::Failed(NewStatus::agent(
                TaskState::TaskDropped,
                Reason::ResourcesUnknown,
                format!("The agent does not have the resources of the task ({wanted})"),
            ));
        }
        if let Some(status) = self.volume_in_use(container, &once) {
            return Step::Failed(status);
        }
        let ports = wanted.ports();
        if !ports.is_empty() {
            let other = self
                .runs
                .iter()
                .find(|(id, run)| *id != container && run.ports.overlaps(&ports));
            if let Some((_, other)) = other {
                return Step::Failed(NewStatus::agent(
                    TaskState::TaskFailed,
                    Reason::ContainerLaunchFailed,
                    format!(
                        "Failed to launch container: host ports {} are still in use by executor {} of framework {}; wait for its end or take other ports",
                        other.ports.intersection(&ports),
                        other.executor,
                        other.framework
                    ),
                ));
            }
        }
        if let Some(run) = self.runs.get_mut(container) {
            run.ports = ports;
        }
        Step::Done
    }

    /// A volume that is not shared belongs to one executor at a time.
    fn volume_in_use(&self, container: &ContainerId, wanted: &Resources) -> Option<NewStatus> {
        let volumes = wanted.persistent_volumes();
        if volumes.is_empty() {
            return None;
        }
        let mut others = self.state.executors().filter(|(_, other)| {
            other.container != *container && other.phase != ExecutorPhase::Terminated
        });
        let (volume, executor) = others.find_map(|(_, other)| {
            let held = other.allocated().unallocated();
            let volume = volumes
                .distinct()
                .find(|volume| !volume.meta.shared && held.distinct().any(|one| one == *volume))?;
            Some((volume.clone(), other.id.clone()))
        })?;
        Some(NewStatus::agent(
            TaskState::TaskFailed,
            Reason::ContainerLaunchFailed,
            format!(
                "Failed to launch container: persistent volume {} is still in use by executor {executor}; wait for its end",
                Resources::from(volume)
            ),
        ))
    }

    /// Directories of an executor's volumes that are to belong to its user: those that nobody else uses.
    pub(super) fn volumes_to_give(&self, container: &ContainerId) -> Vec<PathBuf> {
        let Some(executor) = self.executor_of(container) else {
            return Vec::new();
        };
        let own = executor.allocated().persistent_volumes().unallocated();
        let used: Resources = self
            .state
            .executors()
            .filter(|(_, other)| {
                other.container != *container && other.phase != ExecutorPhase::Terminated
            })
            .flat_map(|(_, other)| {
                other
                    .allocated()
                    .persistent_volumes()
                    .unallocated()
                    .distinct()
                    .cloned()
                    .collect::<Vec<_>>()
            })
            .collect();
        let free = own.filter(|volume| {
            let is_used = used.distinct().any(|other| other == volume);
            if is_used {
                tracing::warn!(volume = %Resources::from(volume.clone()), "a shared volume that others use keeps its owner");
            }
            !is_used
        });
        // They were checked.
        PersistentVolume::all(&free, &self.config.work_dir)
            .unwrap_or_default()
            .into_iter()
            .map(|volume| volume.path)
            .collect()
    }

    /// Ports of all tasks of an executor, also of those that came after its launch.
    pub(super) fn hold_ports(&mut self, container: &ContainerId) {
        let ports = self.executor_of(container).map(|e| e.allocated().ports());
        if let (Some(run), Some(ports)) = (self.runs.get_mut(container), ports) {
            run.ports = ports;
        }
    }

    pub(super) fn release(&mut self, container: &ContainerId) {
        if let Some(run) = self.runs.get_mut(container) {
            run.ports = Ranges::default();
        }
    }

    /// Stage 3: the directory, owned by the task's user; and the host's ports are looked at.
    fn make_sandbox(&mut self, container: &ContainerId) -> Step {
        let (Some(run), Some(executor)) = (self.runs.get(container), self.executor_of(container))
        else {
            return Step::Wait;
        };
        let paths = SandboxPaths {
            framework: run.framework.clone(),
            executor: run.executor.clone(),
            sandbox: executor.sandbox.clone(),
        };
        let request = SandboxRequest {
            container: container.clone(),
            paths,
            user: self.user_of(container),
            volumes: self.volumes_to_give(container),
            ports: mapped_ports(executor.info.container.as_ref()),
        };
        if executor.kind == ExecutorKind::Custom {
            let at = self.after(self.config.executor_registration_timeout);
            self.timers.set(Timer::Registration(container.clone()), at);
        }
        self.effect(Effect::MakeSandbox(Box::new(request)));
        Step::Wait
    }

    fn leave_sandbox(&mut self, container: &ContainerId) {
        // Its owner may want to look into it; it goes when it is old enough.
        if let Some(sandbox) = self.executor_of(container).map(|e| e.sandbox.clone()) {
            self.effect(Effect::Collect(sandbox));
        }
    }

    pub(super) fn sandbox_made(
        &mut self,
        container: &ContainerId,
        result: Result<(), SandboxFailure>,
    ) {
        if self
            .runs
            .get(container)
            .is_none_or(|run| run.done != SANDBOX)
        {
            // The launch was given up meanwhile.
            return;
        }
        match result {
            Ok(()) => {
                self.stage_done(container);
                self.advance(container);
            }
            Err(failure) => {
                let status = match &failure {
                    SandboxFailure::Directory(text) => {
                        NewStatus::agent(TaskState::TaskDropped, Reason::ExecutorTerminated, text)
                    }
                    SandboxFailure::PortTaken { .. } => NewStatus::agent(
                        TaskState::TaskFailed,
                        Reason::ContainerLaunchFailed,
                        format!("Failed to launch container: {failure}"),
                    ),
                };
                tracing::warn!(%container, stage = "sandbox", error = %failure, "a launch failed");
                self.abandon(container, &status);
            }
        }
    }

    /// Stage 4: what is about to be launched is written down in full.
    fn write_intent(&mut self, container: &ContainerId) -> Step {
        let config = self.container_config(container);
        let Some(run) = self.runs.get_mut(container) else {
            return Step::Wait;
        };
        run.config = config;
        self.persist_executor(container);
        Step::Done
    }

    fn withdraw_intent(&mut self, container: &ContainerId) {
        if let Some(run) = self.runs.get_mut(container) {
            run.config = None;
        }
    }

    /// Stage 5: the containerizer's turn.
    fn start_container(&mut self, container: &ContainerId) -> Step {
        let Some(config) = self.runs.get(container).and_then(|run| run.config.clone()) else {
            return Step::Wait;
        };
        if launches_at_once(&config) {
            // The framework's acknowledgement travels while the container starts.
            self.report_starting(container);
        }
        self.effect(Effect::Launch(Box::new(config)));
        Step::Wait
    }

    fn report_starting(&mut self, container: &ContainerId) {
        let Some(run) = self.runs.get_mut(container) else {
            return;
        };
        if std::mem::replace(&mut run.starting_sent, true) {
            return;
        }
        self.speak(
            container,
            NewStatus::executor(TaskState::TaskStarting),
            None,
        );
    }

    /// An update in the name of the executor that a command task does not have.
    pub(super) fn speak(&mut self, container: &ContainerId, new: NewStatus, data: Option<Vec<u8>>) {
        let Some(executor) = self.executor_of(container).cloned() else {
            return;
        };
        let Some(run) = self.runs.get(container) else {
            return;
        };
        let framework = run.framework.clone();
        let status = executor
            .status
            .as_deref()
            .cloned()
            .unwrap_or_else(|| self.container_status(container, &Default::default()));
        for task in self.live_tasks(container) {
            self.task_update(&framework, &executor.id, &task, new.clone(), |update| {
                update.container_status = Some(status.clone());
                update.data = data.clone();
            });
        }
    }

    pub(super) fn launched(
        &mut self,
        container: &ContainerId,
        result: Result<LaunchResult, ContainerError>,
    ) {
        if !self.is_starting(container) {
            return;
        }
        let failure = match result {
            Ok(LaunchResult::Launched(running)) => {
                self.stage_done(container);
                self.container_up(container, running);
                return;
            }
            Ok(LaunchResult::AlreadyLaunched) => {
                // Launched before a restart of the agent: ask how it is.
                self.effect(Effect::Probe(container.clone()));
                return;
            }
            Ok(LaunchResult::NotSupported) => {
                let kind = self.executor_of(container).map(|executor| executor.kind);
                let missing = match kind {
                    Some(ExecutorKind::Docker) => "docker",
                    _ => "mesos",
                };
                NewStatus::agent(
                    TaskState::TaskFailed,
                    Reason::ContainerLaunchFailed,
                    format!(
                        "Failed to launch container: none of the agent's containerizers runs such a container; start the agent with `{missing}` in --containerizers"
                    ),
                )
            }
            Err(error) => {
                let text = chain(&error);
                tracing::warn!(%container, error = %text, "a container did not launch");
                self.state.counters.container_launch_errors += 1;
                NewStatus::agent(
                    TaskState::TaskFailed,
                    error.reason(),
                    format!("Failed to launch container: {text}"),
                )
            }
        };
        let pending = self.runs.get(container).and_then(|run| run.pending.clone());
        let status = match pending {
            Some(verdict) => NewStatus::agent(verdict.state, verdict.reason, verdict.message),
            None => failure,
        };
        self.effect(Effect::Forget(container.clone()));
        self.abandon(container, &status);
    }

    /// The process runs.
    pub(super) fn container_up(&mut self, container: &ContainerId, running: Running) {
        let mut status = running.status;
        status.pid = status.pid.or(running.pid);
        let status = self.container_status(container, &status);
        let Some(executor) = self.executor_of_mut(container) else {
            return;
        };
        executor.status = Some(std::sync::Arc::new(status));
        let kind = executor.kind;
        let is_ending = executor.phase == ExecutorPhase::Terminating;
        if kind.is_generated() {
            if !is_ending {
                executor.phase = ExecutorPhase::Running;
            }
            let tasks: Vec<_> = executor.tasks.keys().cloned().collect();
            for task in tasks {
                if let Some(task) = executor.tasks.get_mut(&task)
                    && task.place == TaskPlace::Queued
                {
                    std::sync::Arc::make_mut(task).place = TaskPlace::Launched;
                }
            }
        }
        if let Some(run) = self.runs.get_mut(container) {
            run.up = true;
            run.waiting = true;
        }
        self.persist_executor(container);
        if kind.is_generated() {
            let is_destroyed = self.runs.get(container).is_some_and(|run| run.destroying);
            if !is_destroyed {
                self.report_starting(container);
                self.speak(
                    container,
                    NewStatus::executor(TaskState::TaskRunning),
                    running.data,
                );
                self.watch_completion(container, Duration::ZERO);
            }
        }
        self.effect(Effect::Wait(container.clone()));
        if kind == ExecutorKind::Custom {
            // Tasks that came during the launch: the container gets what they hold before them.
            self.resize_if_launched_with_less(container);
            self.deliver(container);
            self.shut_down_if_unneeded(container);
        }
    }

    /// Starts the clock of `max_completion_time`; `passed` of it has gone by already.
    pub(super) fn watch_completion(&mut self, container: &ContainerId, passed: Duration) {
        let limit = self.executor_of(container).and_then(|executor| {
            let task = executor.tasks.values().next()?;
            generate::duration(task.info.max_completion_time.as_ref())
        });
        if let Some(limit) = limit {
            let at = self.after(limit.saturating_sub(passed));
            self.timers.set(Timer::Completion(container.clone()), at);
        }
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
