//! The agent starts again: the state is rebuilt from the journal, containers are looked for, launches
//! that were under way go on.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use imbl::OrdMap;
use mesos_containerizer_api::{ContainerStatus, Termination};
use mesos_types::{ContainerId, ExecutorId, FrameworkId, Resources, TaskId, is_terminal};
use mesos_wire::v1::{self, TaskState, task_status::Reason};

use super::{
    Core, Effect, Exit, Timer, generate,
    run::{Kill, Run},
    updates::{NewStatus, Stream},
};
use crate::{
    checkpoint::{ExecutorRecord, Image, KillRecord, TaskRecord},
    state::{Drain, Executor, ExecutorKind, ExecutorPhase, Framework, Phase, Task, TaskPlace},
};

impl Core {
    /// Rebuilds the state of an earlier process. Comes before any event.
    #[must_use]
    pub fn restore(mut self, image: Image, rebooted: bool) -> Self {
        self.fence = image.fence;
        self.state.counters.recovery_errors += image.lost.len() as u64;
        self.state.drain = image.drain.map(|drain| {
            Arc::new(Drain {
                config: drain.config.unwrap_or_default(),
                since: drain.since,
            })
        });
        for (id, info) in image.frameworks {
            let framework = Framework::new(id.clone(), info);
            self.state.frameworks.insert(id, Arc::new(framework));
        }
        let mut tasks = image.tasks;
        for ((framework, executor), record) in image.executors {
            let tasks = tasks
                .remove(&(framework.clone(), executor.clone()))
                .unwrap_or_default();
            self.restore_executor(framework, executor, &record, tasks, rebooted);
        }
        for (key, updates) in image.updates {
            let acknowledged = image.acknowledged.get(&key).copied().unwrap_or(0);
            self.restore_stream(&key.0, &key.1, updates, acknowledged);
        }
        self
    }

    fn restore_executor(
        &mut self,
        framework: FrameworkId,
        id: ExecutorId,
        record: &ExecutorRecord,
        tasks: BTreeMap<TaskId, TaskRecord>,
        rebooted: bool,
    ) {
        let (Some(agent), Some(info)) = (self.state.id.clone(), record.info.clone()) else {
            self.state.counters.recovery_errors += 1;
            return;
        };
        if !self.state.frameworks.contains_key(&framework) {
            self.state.counters.recovery_errors += 1;
            return;
        }
        let container = ContainerId::from(record.container.as_str());
        let kind = ExecutorKind::from_number(record.kind);
        let mut run = Run::new(framework.clone(), id.clone());
        run.config = record.config(agent, framework.clone(), id.clone());
        run.subscribed = record.subscribed;
        run.recovered = true;
        run.up = record.launched;
        run.starting_sent = true;
        let mut restored = OrdMap::new();
        for (task_id, task) in tasks {
            let Some(info) = task.info else {
                self.state.counters.recovery_errors += 1;
                continue;
            };
            let resources = Resources::from_wire(&info.resources).unwrap_or_default();
            let mut made = Task::new(info, resources, task.accepted);
            // A command is with its executor as soon as its container is up.
            if task.launched || (record.launched && kind.is_generated()) {
                made.place = TaskPlace::Launched;
                run.delivered = true;
            }
            if let Some(kill) = task.kill {
                restore_kill(&mut run, kind, &task_id, kill, self.now);
            }
            self.index
                .insert((framework.clone(), task_id.clone()), id.clone());
            restored.insert(task_id, Arc::new(made));
        }
        let phase = if record.terminated {
            ExecutorPhase::Terminated
        } else if record.terminating {
            ExecutorPhase::Terminating
        } else if record.launched && kind.is_generated() {
            ExecutorPhase::Running
        } else {
            ExecutorPhase::Registering
        };
        let executor = Executor {
            id: id.clone(),
            kind,
            phase,
            info: Arc::new(info),
            container: container.clone(),
            sandbox: PathBuf::from(&record.sandbox),
            status: record.status.clone().map(Arc::new),
            tasks: restored,
            completed_tasks: imbl::Vector::new(),
        };
        if rebooted {
            // Nothing of the last boot runs, whatever its pids say.
            run.config = None;
        }
        self.runs.insert(container, run);
        if let Some(framework) = self.framework_mut(&framework) {
            framework.executors.insert(id, Arc::new(executor));
        }
    }

    fn restore_stream(
        &mut self,
        framework: &FrameworkId,
        id: &TaskId,
        updates: BTreeMap<u64, crate::checkpoint::UpdateRecord>,
        acknowledged: u64,
    ) {
        let mut stream = Stream::default();
        for (number, record) in updates {
            let Some(status) = record.status else {
                self.state.counters.recovery_errors += 1;
                continue;
            };
            stream.executor = record.executor.as_deref().map(ExecutorId::from);
            stream.next = number + 1;
            stream.note(status.uuid.clone().unwrap_or_default());
            let executor = self.index.get(&(framework.clone(), id.clone())).cloned();
            if let Some(task) = self.task_mut(framework, id) {
                task.apply(&status);
                if number < acknowledged || task.forwarded.is_none() || stream.pending.is_empty() {
                    task.forwarded =
                        Some((status.state(), status.uuid.clone().unwrap_or_default()));
                }
                let ended = is_terminal(status.state());
                if ended
                    && let Some(executor) = executor
                    && let Some(executor) = self.executor_mut(framework, &executor)
                    && executor.kind.is_generated()
                {
                    executor.phase = ExecutorPhase::Terminated;
                }
            }
            if number < acknowledged {
                stream.acknowledged = Some((number, status.state));
            } else {
                stream.pending.push_back((number, status));
            }
        }
        stream.next = stream.next.max(acknowledged);
        self.streams.insert((framework.clone(), id.clone()), stream);
    }

    /// Containers that should be there, for the containerizer to take back.
    pub fn known_containers(&self) -> Vec<mesos_containerizer_api::ContainerConfig> {
        self.state
            .executors()
            .filter(|(_, executor)| executor.phase != ExecutorPhase::Terminated)
            .filter_map(|(_, executor)| self.runs.get(&executor.container)?.config.clone())
            .collect()
    }

    /// The containerizer has taken containers back, and the agent may talk.
    pub(super) fn recovered(&mut self, took: f64) {
        if self.state.phase != Phase::Recovering {
            return;
        }
        self.state.recovery_secs = Some(took);
        self.state.phase = Phase::Disconnected;
        if self.state.id.is_some() {
            self.persist_identity();
        }
        let runs: Vec<(ContainerId, FrameworkId, ExecutorId)> = self
            .runs
            .iter()
            .map(|(container, run)| {
                (
                    container.clone(),
                    run.framework.clone(),
                    run.executor.clone(),
                )
            })
            .collect();
        let cleanup = self.config.recover == mesos_flags::agent::Recover::Cleanup;
        // Before launches go on that use what they make.
        self.resume_operations();
        for (container, framework, executor) in runs {
            self.resume(&container, &framework, &executor);
        }
        let idle: Vec<FrameworkId> = self.state.frameworks.keys().cloned().collect();
        for framework in idle {
            self.remove_if_idle(&framework);
        }
        self.kill_drained();
        if cleanup {
            tracing::info!("--recover=cleanup: ending all containers of the earlier run");
            self.effect(Effect::Renounce);
            self.state.phase = Phase::Terminating;
            let frameworks: Vec<FrameworkId> = self.state.frameworks.keys().cloned().collect();
            for framework in frameworks {
                self.shutdown_framework(&framework);
            }
            if self.state.frameworks.is_empty() {
                self.effect(Effect::Exit(Exit::Done));
            }
        }
    }

    /// Goes on with one run of the earlier process.
    fn resume(&mut self, container: &ContainerId, framework: &FrameworkId, executor: &ExecutorId) {
        let Some(found) = self.executor_of(container).cloned() else {
            self.runs.remove(container);
            return;
        };
        self.hold_ports(container);
        if found.phase == ExecutorPhase::Terminated {
            self.release(container);
            self.effect(Effect::Collect(found.sandbox.clone()));
            self.remove_executor_if_done(framework, executor);
            return;
        }
        let Some(run) = self.runs.get(container) else {
            return;
        };
        match (&run.config, run.up) {
            (Some(_), true) => {
                self.skip_to_end(container);
                self.watch_again(container);
                self.effect(Effect::Wait(container.clone()));
            }
            (Some(_), false) => {
                // The agent ended while it launched: the container may be there, or not.
                self.skip_to_end(container);
                self.effect(Effect::Probe(container.clone()));
            }
            (None, true) => {
                // The host was restarted.
                self.skip_to_end(container);
                self.effect(Effect::Wait(container.clone()));
            }
            (None, false) => self.start_over(container),
        }
    }

    /// Sets the timers of a container that runs on.
    fn watch_again(&mut self, container: &ContainerId) {
        let Some(executor) = self.executor_of(container).cloned() else {
            return;
        };
        if let Some(run) = self.runs.get_mut(container) {
            run.waiting = true;
        }
        if executor.kind.is_generated() {
            // The order is that of an uninterrupted run: STARTING, then RUNNING.
            self.catch_up(container);
            let running_since = executor
                .tasks
                .values()
                .flat_map(|task| &task.statuses)
                .find(|status| status.state() == TaskState::TaskRunning)
                .and_then(|status| status.timestamp);
            let passed = running_since
                .map(|since| {
                    Duration::try_from_secs_f64((self.now.wall - since).max(0.0))
                        .unwrap_or_default()
                })
                .unwrap_or_default();
            self.watch_completion(container, passed);
            if let Some(kill) = self.runs.get(container).and_then(|run| run.kill) {
                self.kill_command(container, kill.grace, kill.overran);
            } else if executor.phase == ExecutorPhase::Terminating {
                self.kill_command(container, generate::KILL_GRACE, false);
            }
            return;
        }
        if executor.tasks_in(TaskPlace::Queued).next().is_some() {
            // The agent may have ended before the container got what they hold.
            self.resize(container);
        }
        let timeout = if self.runs.get(container).is_some_and(|run| run.subscribed) {
            self.config.executor_reregistration_timeout
        } else {
            self.config.executor_registration_timeout
        };
        let at = self.after(timeout);
        self.timers.set(Timer::Registration(container.clone()), at);
        if executor.phase == ExecutorPhase::Terminating {
            let at = self.after(super::environment::shutdown_grace(&self.config, &executor));
            self.timers.set(Timer::Grace(container.clone()), at);
        }
    }

    /// Updates that the agent was about to make when it ended.
    fn catch_up(&mut self, container: &ContainerId) {
        let Some(executor) = self.executor_of(container).cloned() else {
            return;
        };
        for task in executor.tasks.values() {
            if task.state == TaskState::TaskStaging {
                self.speak(
                    container,
                    NewStatus::executor(TaskState::TaskStarting),
                    None,
                );
            }
            if matches!(task.state, TaskState::TaskStaging | TaskState::TaskStarting) {
                self.speak(container, NewStatus::executor(TaskState::TaskRunning), None);
            }
        }
    }

    pub(super) fn probed(&mut self, container: &ContainerId, status: Option<ContainerStatus>) {
        if self.runs.get(container).is_none_or(|run| run.waiting) {
            return;
        }
        match status {
            Some(status) => {
                if let Some(run) = self.runs.get_mut(container) {
                    run.up = true;
                }
                let shown = self.container_status(container, &status);
                if let Some(executor) = self.executor_of_mut(container) {
                    executor.status = Some(Arc::new(shown));
                    if executor.kind.is_generated() && executor.phase == ExecutorPhase::Registering
                    {
                        executor.phase = ExecutorPhase::Running;
                    }
                }
                self.skip_to_end(container);
                self.persist_executor(container);
                self.watch_again(container);
                self.effect(Effect::Wait(container.clone()));
            }
            // It may have run and ended: then its status is known.
            None => self.effect(Effect::Wait(container.clone())),
        }
    }

    /// A container whose launch was cut short by the agent's end, and that never ran, is launched anew.
    pub(super) fn relaunch_if_never_up(
        &mut self,
        container: &ContainerId,
        termination: Option<&Termination>,
    ) -> bool {
        let ran = termination.is_some_and(|termination| termination.status.is_some());
        let Some(run) = self.runs.get(container) else {
            return false;
        };
        if ran || run.up || !run.recovered || run.destroying || run.pending.is_some() {
            return false;
        }
        self.effect(Effect::Forget(container.clone()));
        self.start_over(container);
        true
    }

    /// Launches an executor's tasks in a container of a new id.
    fn start_over(&mut self, container: &ContainerId) {
        let Some(old) = self.runs.remove(container) else {
            return;
        };
        let (framework, executor) = (old.framework.clone(), old.executor.clone());
        let fresh = ContainerId::random();
        let sandbox = self.sandbox(&framework, &executor, &fresh);
        let Some(found) = self.executor_mut(&framework, &executor) else {
            return;
        };
        let is_ending = found.phase == ExecutorPhase::Terminating;
        let was = std::mem::replace(&mut found.sandbox, sandbox);
        found.container = fresh.clone();
        found.status = None;
        found.phase = ExecutorPhase::Registering;
        let started = found
            .tasks
            .values()
            .any(|task| task.state != TaskState::TaskStaging);
        let tasks: Vec<TaskId> = found.tasks.keys().cloned().collect();
        for task in tasks {
            if let Some(task) = found.tasks.get_mut(&task)
                && task.place == TaskPlace::Launched
            {
                Arc::make_mut(task).place = TaskPlace::Queued;
            }
        }
        let mut run = Run::new(framework, executor);
        run.starting_sent = started;
        let killed = old.kill.is_some() || is_ending;
        self.runs.insert(fresh.clone(), run);
        self.effect(Effect::Collect(was));
        tracing::info!(old = %container, new = %fresh, "a launch that the agent's end cut short starts over");
        if killed {
            let status = NewStatus::agent(
                TaskState::TaskKilled,
                Reason::TaskKilledDuringLaunch,
                "Killed before delivery to the executor",
            );
            self.end_tasks(&fresh, &status);
            self.executor_terminated(&fresh);
            return;
        }
        self.persist_executor(&fresh);
        self.advance(&fresh);
    }
}

fn restore_kill(
    run: &mut Run,
    kind: ExecutorKind,
    task: &TaskId,
    kill: KillRecord,
    now: super::Now,
) {
    let grace = kill.grace_ms.map(Duration::from_millis);
    if kind.is_generated() {
        let passed =
            Duration::try_from_secs_f64((now.wall - kill.asked).max(0.0)).unwrap_or_default();
        run.kill = Some(Kill {
            asked: now.mono.saturating_sub(passed),
            asked_wall: kill.asked,
            grace: grace
                .unwrap_or(generate::KILL_GRACE)
                .saturating_sub(passed.saturating_sub(now.mono)),
            overran: kill.overran,
            signalled: false,
        });
    } else {
        let policy = grace.map(|grace| v1::KillPolicy {
            grace_period: Some(v1::DurationInfo {
                nanoseconds: i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX),
            }),
        });
        run.untold_kills.insert(task.clone(), policy);
    }
}
