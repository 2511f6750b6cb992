//! Ending things on purpose: kills of tasks, shutdowns of executors and frameworks.

use std::{sync::Arc, time::Duration};

use mesos_types::{ContainerId, ExecutorId, FrameworkId, TaskId, is_terminal};
use mesos_wire::v1::{KillPolicy, TaskState, executor::event, task_status::Reason};

use super::{
    Core, Effect, Timer, environment, generate,
    run::{Kill, Verdict},
    updates::NewStatus,
};
use crate::{
    checkpoint::KillRecord,
    state::{ExecutorKind, ExecutorPhase, FrameworkPhase, TaskPlace},
};

const SIGTERM: i32 = 15;

impl Core {
    /// The master wants a task killed.
    pub(super) fn kill_task(
        &mut self,
        framework: &FrameworkId,
        task: &TaskId,
        policy: Option<&KillPolicy>,
    ) {
        let key = (framework.clone(), task.clone());
        let Some(executor) = self.index.get(&key).cloned() else {
            let is_known = self.state.frameworks.contains_key(framework);
            if is_known && !self.streams.contains_key(&key) {
                let state = self.or_lost(framework, TaskState::TaskDropped);
                let new =
                    NewStatus::agent(state, Reason::ExecutorTerminated, "Cannot find executor");
                let status = self.status(None, task, new);
                self.update(framework, None, status);
            }
            return;
        };
        let Some(found) = self.state.executor(framework, &executor).cloned() else {
            return;
        };
        let Some(target) = found.tasks.get(task) else {
            return;
        };
        if is_terminal(target.state) || found.phase == ExecutorPhase::Terminated {
            return;
        }
        if found.kind == ExecutorKind::Custom {
            self.kill_executors_task(&found.container, framework, &executor, task, policy);
            return;
        }
        let grace = generate::grace(policy)
            .or_else(|| generate::grace(target.info.kill_policy.as_ref()))
            .unwrap_or(generate::KILL_GRACE);
        if self.is_launched(&found.container) {
            self.kill_command(&found.container, grace, false);
        } else {
            self.stop_launch(&found.container, killed_during_launch());
        }
    }

    /// Ends a launch that is under way.
    fn stop_launch(&mut self, container: &ContainerId, verdict: Verdict) {
        if self.is_starting(container) {
            let Some(run) = self.runs.get_mut(container) else {
                return;
            };
            run.pending.get_or_insert(verdict);
            if !std::mem::replace(&mut run.destroying, true) {
                self.effect(Effect::Destroy(container.clone()));
            }
        } else {
            let status = NewStatus::agent(verdict.state, verdict.reason, verdict.message);
            self.abandon(container, &status);
        }
    }

    /// SIGTERM now, the end after the grace. A later kill can only shorten that.
    pub(super) fn kill_command(&mut self, container: &ContainerId, grace: Duration, overran: bool) {
        let now = self.now;
        let Some(run) = self.runs.get_mut(container) else {
            return;
        };
        let is_first = run.kill.is_none();
        let kill = run.kill.get_or_insert(Kill {
            asked: now.mono,
            asked_wall: now.wall,
            grace,
            overran,
            signalled: false,
        });
        kill.grace = kill.grace.min(grace);
        let send = !std::mem::replace(&mut kill.signalled, true);
        let deadline = kill.asked.saturating_add(kill.grace);
        let record = KillRecord {
            asked: kill.asked_wall,
            grace_ms: Some(u64::try_from(kill.grace.as_millis()).unwrap_or(u64::MAX)),
            overran: kill.overran,
        };
        let (framework, executor) = (run.framework.clone(), run.executor.clone());
        for task in self.live_tasks(container) {
            self.persist_task(&framework, &executor, &task, Some(record));
        }
        let knows_killing = self
            .state
            .frameworks
            .get(&framework)
            .is_some_and(|framework| framework.capabilities.task_killing_state);
        if is_first && knows_killing && !overran {
            self.speak(container, NewStatus::executor(TaskState::TaskKilling), None);
        }
        if send {
            self.effect(Effect::Signal(container.clone(), SIGTERM));
        }
        self.timers.set(Timer::Grace(container.clone()), deadline);
    }

    pub(super) fn overran(&mut self, container: &ContainerId) {
        if self
            .runs
            .get(container)
            .is_some_and(|run| run.kill.is_none())
        {
            tracing::info!(%container, "a task has reached its max_completion_time");
            self.kill_command(container, Duration::ZERO, true);
        }
    }

    pub(super) fn grace_over(&mut self, container: &ContainerId) {
        self.destroy(container);
    }

    /// Ends a container now; its end then comes by itself.
    pub(super) fn destroy(&mut self, container: &ContainerId) {
        if let Some(run) = self.runs.get_mut(container)
            && !std::mem::replace(&mut run.destroying, true)
        {
            self.effect(Effect::Destroy(container.clone()));
        }
    }

    fn kill_executors_task(
        &mut self,
        container: &ContainerId,
        framework: &FrameworkId,
        executor: &ExecutorId,
        task: &TaskId,
        policy: Option<&KillPolicy>,
    ) {
        let place = self
            .state
            .executor(framework, executor)
            .and_then(|executor| executor.tasks.get(task))
            .map(|task| task.place);
        match place {
            Some(TaskPlace::Queued) => {
                let verdict = killed_during_launch();
                let new = NewStatus::agent(verdict.state, verdict.reason, verdict.message);
                self.task_update(framework, executor, task, new, |_| {});
                self.shut_down_if_unneeded(container);
            }
            Some(TaskPlace::Launched) => {
                let record = KillRecord {
                    asked: self.now.wall,
                    grace_ms: generate::grace(policy)
                        .map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX)),
                    overran: false,
                };
                self.persist_task(framework, executor, task, Some(record));
                let connection = self.runs.get(container).and_then(|run| run.connection);
                match connection {
                    Some(connection) => self.tell(
                        connection,
                        mesos_wire::v1::executor::Event {
                            r#type: Some(event::Type::Kill.into()),
                            kill: Some(event::Kill {
                                task_id: task.into(),
                                kill_policy: policy.cloned(),
                            }),
                            ..Default::default()
                        },
                    ),
                    None => {
                        if let Some(run) = self.runs.get_mut(container) {
                            run.untold_kills.insert(task.clone(), policy.cloned());
                        }
                    }
                }
            }
            Some(TaskPlace::Ended) | None => {}
        }
    }

    /// An executor that never got a task, and has none, is of no use.
    pub(super) fn shut_down_if_unneeded(&mut self, container: &ContainerId) {
        let Some(executor) = self.executor_of(container).cloned() else {
            return;
        };
        let never_had = self.runs.get(container).is_some_and(|run| !run.delivered);
        if executor.kind == ExecutorKind::Custom && never_had && !executor.has_live_tasks() {
            let Some(run) = self.runs.get(container) else {
                return;
            };
            let (framework, executor) = (run.framework.clone(), run.executor.clone());
            self.shutdown_executor(&framework, &executor);
        }
    }

    /// Ends an executor: it is told, and after its grace its container is destroyed.
    pub(super) fn shutdown_executor(&mut self, framework: &FrameworkId, id: &ExecutorId) {
        let Some(executor) = self.state.executor(framework, id).cloned() else {
            return;
        };
        match executor.phase {
            ExecutorPhase::Terminating | ExecutorPhase::Terminated => return,
            ExecutorPhase::Registering | ExecutorPhase::Running => {}
        }
        let container = executor.container.clone();
        if let Some(executor) = self.executor_mut(framework, id) {
            executor.phase = ExecutorPhase::Terminating;
        }
        if !self.is_launched(&container) {
            let verdict = Verdict {
                state: TaskState::TaskFailed,
                reason: Reason::ContainerLaunchFailed,
                message: "Executor terminating".to_owned(),
            };
            self.stop_launch(&container, verdict);
            return;
        }
        self.persist_executor(&container);
        if executor.kind.is_generated() {
            let task = executor.tasks.values().next();
            let grace = task
                .and_then(|task| generate::grace(task.info.kill_policy.as_ref()))
                .unwrap_or(generate::KILL_GRACE);
            self.kill_command(&container, grace, false);
            return;
        }
        if let Some(connection) = self.runs.get(&container).and_then(|run| run.connection) {
            self.tell(connection, shutdown_event());
        }
        let at = self.after(environment::shutdown_grace(&self.config, &executor));
        self.timers.set(Timer::Grace(container), at);
    }

    /// Ends everything of a framework; nobody acknowledges its updates any more.
    pub(super) fn shutdown_framework(&mut self, id: &FrameworkId) {
        let Some(framework) = self.framework_mut(id) else {
            self.drop_updates(id);
            return;
        };
        if framework.phase == FrameworkPhase::Terminating {
            return;
        }
        framework.phase = FrameworkPhase::Terminating;
        let executors: Vec<_> = framework.executors.values().map(Arc::clone).collect();
        for executor in executors {
            if executor.phase == ExecutorPhase::Terminated {
                for task in executor.tasks.keys() {
                    self.task_done(id, task);
                }
                self.remove_executor_if_done(id, &executor.id);
            } else {
                self.shutdown_executor(id, &executor.id);
            }
        }
        self.drop_updates(id);
        self.remove_if_idle(id);
    }
}

pub(super) fn shutdown_event() -> mesos_wire::v1::executor::Event {
    mesos_wire::v1::executor::Event {
        r#type: Some(event::Type::Shutdown.into()),
        ..Default::default()
    }
}

fn killed_during_launch() -> Verdict {
    Verdict {
        state: TaskState::TaskKilled,
        reason: Reason::TaskKilledDuringLaunch,
        message: "Killed before delivery to the executor".to_owned(),
    }
}
