//! A task arrives: to a new executor, whose launch then goes through the pipeline, or to one that is there.
//! And the other end: tasks, executors and frameworks that are done with.

use std::sync::Arc;

use imbl::OrdMap;
use mesos_types::{ContainerId, ExecutorId, FrameworkCapabilities, FrameworkId, Resources, TaskId};
use mesos_wire::v1::{FrameworkInfo, TaskInfo, TaskState, task_status::Reason};

use super::{
    Core, Effect, Timer, generate,
    run::Run,
    updates::NewStatus,
    validate::{self, Invalid},
};
use crate::state::{
    Executor, ExecutorKind, ExecutorPhase, Framework, FrameworkPhase, MAX_COMPLETED_FRAMEWORKS,
    MAX_COMPLETED_TASKS, Task,
};

impl Core {
    /// The master wants a task to run.
    pub(super) fn run_task(&mut self, framework: FrameworkInfo, mut task: TaskInfo) {
        let Some(framework_id) = framework.id.clone() else {
            tracing::warn!(task = %task.task_id, "a task whose framework has no id is passed over");
            return;
        };
        let own = self.state.id.as_ref().map(ToString::to_string);
        if Some(&task.agent_id.value) != own.as_ref() {
            tracing::warn!(task = %task.task_id, agent = %task.agent_id, "a task for another agent is passed over");
            return;
        }
        let id = FrameworkId::from(&framework_id);
        let key = (id.clone(), TaskId::from(&task.task_id));
        if self.index.contains_key(&key) || self.streams.contains_key(&key) {
            // The master sends again what it does not know to have arrived.
            return;
        }
        if self
            .state
            .frameworks
            .get(&id)
            .is_some_and(|framework| framework.phase == FrameworkPhase::Terminating)
        {
            return;
        }
        if framework.roles.len() == 1 {
            allocate(&mut task, &framework.roles[0]);
        }
        let is_draining = self.refuses_tasks();
        if !is_draining {
            self.end_drain();
        }
        self.take_framework(&id, framework);
        let refusal = if self.is_terminating() {
            Some("The agent is shutting down")
        } else if self.stalled {
            Some(
                "The agent cannot write its checkpoints; free some space on the file system of its work_dir",
            )
        } else {
            None
        };
        if let Some(text) = refusal {
            self.drop_task(&id, &task, Reason::ExecutorTerminated, text);
            return;
        }
        if is_draining {
            let text = "Task was received while agent was already draining";
            self.drop_task(&id, &task, Reason::AgentDraining, text);
            return;
        }
        let kind = generate::kind_of(&task, self.config.default_container_info.as_ref());
        let info = generate::executor_info(&self.config, &framework_id, &task, kind);
        let checked = validate::check(&self.config, &id, &task, &info, kind)
            .and_then(|()| validate::check_held(&self.state, &id, &task, &info));
        if let Err(invalid) = checked {
            self.refuse_task(&id, &task, invalid);
            return;
        }
        if task.health_check.is_some() || task.check.is_some() {
            tracing::warn!(
                task = %task.task_id,
                "health checks and checks are not built yet; the task runs without them"
            );
        }
        let executor = ExecutorId::from(&info.executor_id);
        match self.state.executor(&id, &executor) {
            None => self.launch_executor(&id, &executor, kind, info, task),
            Some(_) if kind.is_generated() => {
                let text = "Cannot reuse an already existing executor for a command task";
                self.drop_task(&id, &task, Reason::TaskInvalid, text);
            }
            Some(found) => match found.phase {
                ExecutorPhase::Terminating => {
                    self.drop_task(
                        &id,
                        &task,
                        Reason::ExecutorTerminated,
                        "Executor terminating",
                    );
                }
                ExecutorPhase::Terminated => {
                    self.drop_task(
                        &id,
                        &task,
                        Reason::ExecutorTerminated,
                        "Executor terminated",
                    );
                }
                ExecutorPhase::Registering | ExecutorPhase::Running => {
                    let container = found.container.clone();
                    self.add_task(&id, &executor, task);
                    self.hold_ports(&container);
                    self.grow(&container);
                }
            },
        }
        self.remove_if_idle(&id);
    }

    fn drop_task(&mut self, framework: &FrameworkId, task: &TaskInfo, reason: Reason, text: &str) {
        let invalid = Invalid {
            reason,
            message: text.to_owned(),
            dropped: true,
        };
        self.refuse_task(framework, task, invalid);
    }

    /// A task for which nothing was made.
    fn refuse_task(&mut self, framework: &FrameworkId, task: &TaskInfo, invalid: Invalid) {
        let executor = match &task.executor {
            Some(executor) => ExecutorId::from(&executor.executor_id),
            None => ExecutorId::from(task.task_id.value.as_str()),
        };
        let new = invalid.status(|state| self.or_lost(framework, state));
        let id = TaskId::from(&task.task_id);
        self.task_update(framework, &executor, &id, new, |_| {});
        let runs = self
            .state
            .executor(framework, &executor)
            .is_some_and(|executor| executor.phase != ExecutorPhase::Terminated);
        if task.executor.is_some() && !runs {
            // The master has set resources aside for an executor that does not come.
            self.report_exit(framework, &executor, None);
        }
        self.remove_if_idle(framework);
    }

    /// Makes a framework known, or takes its newest description over.
    fn take_framework(&mut self, id: &FrameworkId, info: FrameworkInfo) {
        match self.framework_mut(id) {
            Some(framework) if *framework.info == info => {}
            Some(framework) => {
                framework.capabilities = FrameworkCapabilities::from(&info);
                framework.info = Arc::new(info);
                self.persist_framework(id);
            }
            None => {
                let mut framework = Framework::new(id.clone(), info);
                let before = self.state.completed_frameworks.iter();
                if let Some(at) = before.clone().position(|done| done.id == *id) {
                    let done = self.state.completed_frameworks.remove(at);
                    framework.completed_executors = done.completed_executors.clone();
                }
                self.state
                    .frameworks
                    .insert(id.clone(), Arc::new(framework));
                self.persist_framework(id);
            }
        }
    }

    pub(super) fn update_framework(&mut self, info: FrameworkInfo) {
        let Some(id) = info.id.as_ref().map(FrameworkId::from) else {
            return;
        };
        if self.state.frameworks.contains_key(&id) {
            self.take_framework(&id, info);
        }
        // It may be back with nobody having taken the last attempts.
        self.resend_updates_of(&id);
    }

    fn launch_executor(
        &mut self,
        framework: &FrameworkId,
        executor: &ExecutorId,
        kind: ExecutorKind,
        info: mesos_wire::v1::ExecutorInfo,
        task: TaskInfo,
    ) {
        let container = ContainerId::random();
        let made = Executor {
            id: executor.clone(),
            kind,
            phase: ExecutorPhase::Registering,
            info: Arc::new(info),
            sandbox: self.sandbox(framework, executor, &container),
            container: container.clone(),
            status: None,
            tasks: OrdMap::new(),
            completed_tasks: imbl::Vector::new(),
        };
        if let Some(framework) = self.framework_mut(framework) {
            framework.executors.insert(executor.clone(), Arc::new(made));
        }
        self.runs.insert(
            container.clone(),
            Run::new(framework.clone(), executor.clone()),
        );
        self.add_task(framework, executor, task);
        self.persist_executor(&container);
        self.advance(&container);
    }

    /// `work_dir/slaves/A/frameworks/F/executors/E/runs/C`.
    pub(super) fn sandbox(
        &self,
        framework: &FrameworkId,
        executor: &ExecutorId,
        container: &ContainerId,
    ) -> std::path::PathBuf {
        let agent = self.state.id.as_ref().map_or("", |id| id.as_str());
        self.config
            .work_dir
            .join("slaves")
            .join(agent)
            .join("frameworks")
            .join(framework.as_str())
            .join("executors")
            .join(executor.as_str())
            .join("runs")
            .join(container.value())
    }

    fn add_task(&mut self, framework: &FrameworkId, executor: &ExecutorId, info: TaskInfo) {
        // They were checked.
        let resources = Resources::from_wire(&info.resources).unwrap_or_default();
        let task = Task::new(info, resources, self.now.wall);
        let id = task.id.clone();
        self.index
            .insert((framework.clone(), id.clone()), executor.clone());
        if let Some(executor) = self.executor_mut(framework, executor) {
            executor.tasks.insert(id.clone(), Arc::new(task));
        }
        self.persist_task(framework, executor, &id, None);
    }

    /// The framework has taken a task's end.
    pub(super) fn task_done(&mut self, framework: &FrameworkId, task: &TaskId) {
        let key = (framework.clone(), task.clone());
        let Some(executor) = self.index.remove(&key) else {
            return;
        };
        self.forget_task(framework, &executor, task);
        if let Some(executor) = self.executor_mut(framework, &executor)
            && let Some(task) = executor.tasks.remove(task)
        {
            executor.completed_tasks.push_back(task);
            while executor.completed_tasks.len() > MAX_COMPLETED_TASKS {
                executor.completed_tasks.pop_front();
            }
        }
        self.remove_executor_if_done(framework, &executor);
    }

    /// Removes an executor whose container is gone and whose tasks are done with.
    pub(super) fn remove_executor_if_done(
        &mut self,
        framework: &FrameworkId,
        executor: &ExecutorId,
    ) {
        let Some(found) = self.state.executor(framework, executor) else {
            return;
        };
        if found.phase != ExecutorPhase::Terminated || !found.tasks.is_empty() {
            return;
        }
        let done = found.clone();
        self.forget_executor(framework, executor);
        self.runs.remove(&done.container);
        if let Some(directory) = done.sandbox.ancestors().nth(2) {
            self.effect(Effect::Collect(directory.to_owned()));
        }
        let keep = self.config.max_completed_executors;
        if let Some(framework) = self.framework_mut(framework) {
            framework.executors.remove(executor);
            framework.completed_executors.push_back(done);
            while framework.completed_executors.len() > keep {
                framework.completed_executors.pop_front();
            }
        }
        self.remove_if_idle(framework);
    }

    /// Removes a framework that has nothing left here.
    pub(super) fn remove_if_idle(&mut self, id: &FrameworkId) {
        let idle = self
            .state
            .frameworks
            .get(id)
            .is_some_and(|framework| framework.executors.is_empty());
        if !idle {
            return;
        }
        let Some(framework) = self.state.frameworks.remove(id) else {
            return;
        };
        self.forget_framework(id);
        if framework.phase == FrameworkPhase::Terminating {
            self.drop_updates(id);
        }
        if !framework.completed_executors.is_empty() {
            let agent = self.state.id.as_ref().map_or("", |id| id.as_str());
            let directory = self
                .config
                .work_dir
                .join("slaves")
                .join(agent)
                .join("frameworks")
                .join(id.as_str());
            self.effect(Effect::Collect(directory));
            self.state.completed_frameworks.push_back(framework);
            while self.state.completed_frameworks.len() > MAX_COMPLETED_FRAMEWORKS {
                self.state.completed_frameworks.pop_front();
            }
        }
        self.exit_when_empty();
    }

    /// Ends the timers of a run.
    pub(super) fn cancel_timers(&mut self, container: &ContainerId) {
        for timer in [
            Timer::Grace(container.clone()),
            Timer::Completion(container.clone()),
            Timer::Registration(container.clone()),
            Timer::Wait(container.clone()),
        ] {
            self.timers.cancel(&timer);
        }
    }

    /// Tasks of an executor that have not ended.
    pub(super) fn live_tasks(&self, container: &ContainerId) -> Vec<TaskId> {
        self.executor_of(container)
            .map(|executor| {
                let live = executor.tasks.values();
                live.filter(|task| !mesos_types::is_terminal(task.state))
                    .map(|task| task.id.clone())
                    .collect()
            })
            .unwrap_or_default()
    }

    /// Gives every task of an executor that has not ended the same end.
    pub(super) fn end_tasks(&mut self, container: &ContainerId, new: &NewStatus) {
        let Some(run) = self.runs.get(container) else {
            return;
        };
        let (framework, executor) = (run.framework.clone(), run.executor.clone());
        for task in self.live_tasks(container) {
            let mut new = new.clone();
            if matches!(
                new.state,
                TaskState::TaskDropped | TaskState::TaskGone | TaskState::TaskLost
            ) {
                new.state = self.or_lost(&framework, new.state);
            }
            self.task_update(&framework, &executor, &task, new, |_| {});
        }
    }
}

/// Frameworks of one role send resources without saying for which.
fn allocate(task: &mut TaskInfo, role: &str) {
    let own = task.resources.iter_mut();
    let executor = task
        .executor
        .iter_mut()
        .flat_map(|executor| &mut executor.resources);
    for resource in own.chain(executor) {
        if resource.allocation_info.is_none() {
            resource.allocation_info = Some(mesos_wire::v1::resource::AllocationInfo {
                role: Some(role.to_owned()),
            });
        }
    }
}
