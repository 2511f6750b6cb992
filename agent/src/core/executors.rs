//! Executors of frameworks: the v1 executor API, delivery of tasks, growing and shrinking of containers.

use mesos_containerizer_api::ContainerError;
use mesos_control::v1::{ExecutorMessage, agent_message::Body};
use mesos_types::{ContainerId, ExecutorId, FrameworkId, TaskId, is_terminal};
use mesos_wire::v1::{
    TaskState,
    executor::{Call, Event, call, event},
    task_status::{Reason, Source},
};

use super::{
    ConnectionId, Core, Effect, Refusal, RequestId, ResizeRequest, Timer, generate,
    kill::shutdown_event, pipeline::chain, run::Verdict, updates::NewStatus, validate,
};
use crate::state::{ExecutorKind, ExecutorPhase, FrameworkPhase, TaskPlace};
use mesos_types::units::format_duration;
use std::{sync::Arc, time::Duration};

/// Pause between heartbeats to executors. Source: `DEFAULT_EXECUTOR_HEARTBEAT_INTERVAL` of Mesos.
const HEARTBEAT: Duration = Duration::from_secs(30 * 60);

impl Core {
    /// Sends an executor an event.
    pub(super) fn tell(&mut self, connection: ConnectionId, event: Event) {
        self.effect(Effect::ToExecutor(connection, Box::new(event)));
    }

    pub(super) fn executor_called(
        &mut self,
        request: RequestId,
        connection: Option<ConnectionId>,
        call: Call,
    ) {
        let answer = self.take_call(connection, call);
        self.effect(Effect::Answer(request, answer));
    }

    fn take_call(&mut self, connection: Option<ConnectionId>, call: Call) -> Result<(), Refusal> {
        let framework = FrameworkId::from(&call.framework_id);
        let executor = ExecutorId::from(&call.executor_id);
        if !self.state.frameworks.contains_key(&framework) {
            return Err(Refusal::Bad("Framework cannot be found".to_owned()));
        }
        let Some(found) = self
            .state
            .executor(&framework, &executor)
            .filter(|executor| executor.kind == ExecutorKind::Custom)
        else {
            return Err(Refusal::Bad("Executor cannot be found".to_owned()));
        };
        let container = found.container.clone();
        let subscribed = self
            .runs
            .get(&container)
            .is_some_and(|run| run.connection.is_some());
        match (call.r#type(), connection) {
            (call::Type::Subscribe, Some(connection)) => {
                self.subscribe(&container, connection, call.subscribe.unwrap_or_default());
                Ok(())
            }
            (call::Type::Unknown | call::Type::Subscribe, _) => {
                Err(Refusal::Bad("Expecting 'type' to be present".to_owned()))
            }
            (call::Type::Update | call::Type::Message | call::Type::Heartbeat, _)
                if !subscribed =>
            {
                Err(Refusal::Forbidden("Executor is not subscribed".to_owned()))
            }
            (call::Type::Update, _) => {
                if let Some(update) = call.update {
                    self.executor_update(&container, update.status);
                }
                Ok(())
            }
            (call::Type::Message, _) => {
                if let Some(message) = call.message {
                    self.send(Body::ExecutorMessage(ExecutorMessage {
                        framework_id: Some(call.framework_id),
                        executor_id: Some(call.executor_id),
                        data: message.data,
                    }));
                    self.state.counters.valid_framework_messages += 1;
                }
                Ok(())
            }
            (call::Type::Heartbeat, _) => Ok(()),
        }
    }

    fn subscribe(
        &mut self,
        container: &ContainerId,
        connection: ConnectionId,
        subscribe: call::Subscribe,
    ) {
        let Some(run) = self.runs.get_mut(container) else {
            self.effect(Effect::CloseExecutor(connection));
            return;
        };
        if let Some(old) = run.connection.replace(connection) {
            self.connections.remove(&old);
            self.effect(Effect::CloseExecutor(old));
        }
        self.connections.insert(connection, container.clone());
        self.timers.cancel(&Timer::Registration(container.clone()));
        if self.timers.at(&Timer::Heartbeat).is_none() {
            let at = self.after(HEARTBEAT);
            self.timers.set(Timer::Heartbeat, at);
        }
        let Some(run) = self.runs.get_mut(container) else {
            return;
        };
        let is_first = !std::mem::replace(&mut run.subscribed, true);
        let framework = run.framework.clone();
        let is_ending = self
            .executor_of(container)
            .is_none_or(|executor| executor.phase == ExecutorPhase::Terminating)
            || self
                .state
                .frameworks
                .get(&framework)
                .is_none_or(|framework| framework.phase == FrameworkPhase::Terminating);
        for update in subscribe.unacknowledged_updates {
            self.executor_update(container, update.status);
        }
        if is_ending {
            self.tell(connection, shutdown_event());
            return;
        }
        if let Some(executor) = self.executor_of_mut(container) {
            executor.phase = ExecutorPhase::Running;
        }
        if is_first {
            self.persist_executor(container);
        }
        self.requeue_lost(container, &subscribe.unacknowledged_tasks);
        let Some(executor) = self.executor_of(container) else {
            return;
        };
        let Some(owner) = self.state.frameworks.get(&framework) else {
            return;
        };
        let subscribed = event::Subscribed {
            executor_info: (*executor.info).clone(),
            framework_info: (*owner.info).clone(),
            agent_info: (*self.state.agent).clone(),
            container_id: Some(container.into()),
        };
        self.tell(
            connection,
            Event {
                r#type: Some(event::Type::Subscribed.into()),
                subscribed: Some(subscribed),
                ..Default::default()
            },
        );
        let kills = self
            .runs
            .get_mut(container)
            .map(|run| std::mem::take(&mut run.untold_kills))
            .unwrap_or_default();
        for (task, policy) in kills {
            self.tell(
                connection,
                Event {
                    r#type: Some(event::Type::Kill.into()),
                    kill: Some(event::Kill {
                        task_id: (&task).into(),
                        kill_policy: policy,
                    }),
                    ..Default::default()
                },
            );
        }
        if self.is_launched(container) {
            self.deliver(container);
            self.shut_down_if_unneeded(container);
        }
    }

    /// Tasks that were sent and never arrived, as far as the executor says, are sent again.
    fn requeue_lost(&mut self, container: &ContainerId, known: &[mesos_wire::v1::TaskInfo]) {
        let Some(executor) = self.executor_of_mut(container) else {
            return;
        };
        let lost: Vec<TaskId> = executor
            .tasks_in(TaskPlace::Launched)
            .filter(|task| task.state == TaskState::TaskStaging)
            .filter(|task| !known.iter().any(|k| k.task_id.value == task.id.as_str()))
            .map(|task| task.id.clone())
            .collect();
        for task in lost {
            tracing::info!(%task, "a task that did not reach its executor is sent again");
            if let Some(task) = executor.tasks.get_mut(&task) {
                Arc::make_mut(task).place = TaskPlace::Queued;
            }
        }
    }

    /// Sends an executor the tasks that wait for it, if it listens and its container is big enough.
    pub(super) fn deliver(&mut self, container: &ContainerId) {
        let Some(run) = self.runs.get(container) else {
            return;
        };
        let (Some(connection), true, None) = (run.connection, run.up, run.resizing) else {
            return;
        };
        let (framework, executor) = (run.framework.clone(), run.executor.clone());
        let Some(found) = self.executor_of(container) else {
            return;
        };
        if found.phase != ExecutorPhase::Running {
            return;
        }
        let mut queued: Vec<_> = found.tasks_in(TaskPlace::Queued).cloned().collect();
        queued.sort_by(|a, b| a.accepted.total_cmp(&b.accepted));
        for task in queued {
            if let Some(task) = self.task_mut(&framework, &task.id) {
                task.place = TaskPlace::Launched;
            }
            self.persist_task(&framework, &executor, &task.id, None);
            if let Some(run) = self.runs.get_mut(container) {
                run.delivered = true;
            }
            self.tell(
                connection,
                Event {
                    r#type: Some(event::Type::Launch.into()),
                    launch: Some(event::Launch {
                        task: (*task.info).clone(),
                    }),
                    ..Default::default()
                },
            );
        }
    }

    /// A task more: the container grows first, then the task is delivered.
    pub(super) fn grow(&mut self, container: &ContainerId) {
        // Before the launch is over the new task waits; what the container was launched with may lack it.
        if self.is_launched(container) {
            self.resize(container);
        }
    }

    /// After a launch: tasks may have come since what it was launched with was written down.
    pub(super) fn resize_if_launched_with_less(&mut self, container: &ContainerId) {
        let Some(executor) = self.executor_of(container) else {
            return;
        };
        let config = self.runs.get(container).and_then(|run| run.config.as_ref());
        if config.is_some_and(|config| config.resources != executor.allocated()) {
            self.resize(container);
        }
    }

    /// Gives a container what its executor and tasks hold now.
    pub(super) fn resize(&mut self, container: &ContainerId) {
        let Some(executor) = self.executor_of(container) else {
            return;
        };
        let request = ResizeRequest {
            container: container.clone(),
            resources: executor.allocated(),
            limits: generate::limits(&self.config, executor),
            user: self.user_of(container),
            volumes: self.volumes_to_give(container),
        };
        let Some(run) = self.runs.get_mut(container) else {
            return;
        };
        if !run.up || run.destroying {
            return;
        }
        match &mut run.resizing {
            Some(again) => *again = true,
            None => {
                run.resizing = Some(false);
                self.effect(Effect::Resize(Box::new(request)));
            }
        }
    }

    pub(super) fn resized(&mut self, container: &ContainerId, result: Result<(), ContainerError>) {
        let Some(run) = self.runs.get_mut(container) else {
            return;
        };
        let again = run.resizing.take().unwrap_or(false);
        if let Err(error) = result {
            let text = chain(&error);
            let waits = self
                .executor_of(container)
                .is_some_and(|executor| executor.tasks_in(TaskPlace::Queued).next().is_some());
            if !waits {
                tracing::warn!(%container, error = %text, "a container keeps more resources than its tasks hold");
                return;
            }
            if let Some(run) = self.runs.get_mut(container) {
                run.pending.get_or_insert(Verdict {
                    state: TaskState::TaskGone,
                    reason: Reason::ContainerUpdateFailed,
                    message: format!("Failed to update resources for container: {text}"),
                });
            }
            self.destroy(container);
            return;
        }
        if again {
            self.resize(container);
        } else {
            self.deliver(container);
        }
    }

    fn executor_update(&mut self, container: &ContainerId, mut status: mesos_wire::v1::TaskStatus) {
        let Some(run) = self.runs.get(container) else {
            return;
        };
        let connection = run.connection;
        let (framework, executor) = (run.framework.clone(), run.executor.clone());
        let task = TaskId::from(&status.task_id);
        let uuid = status.uuid.clone().unwrap_or_default();
        let is_other_agent = status.agent_id.as_ref().is_some_and(|id| {
            self.state
                .id
                .as_ref()
                .is_none_or(|own| own.as_str() != id.value)
        });
        let is_ending = self
            .state
            .frameworks
            .get(&framework)
            .is_none_or(|framework| framework.phase == FrameworkPhase::Terminating);
        if uuid.len() != 16 || is_other_agent || is_ending {
            self.state.counters.invalid_status_updates += 1;
            return;
        }
        if !validate::is_from_executor(status.state()) {
            tracing::warn!(%executor, state = status.state().as_str_name(), "an executor sent a state that only others may; it is shut down");
            self.state.counters.invalid_status_updates += 1;
            self.shutdown_executor(&framework, &executor);
            return;
        }
        let acknowledge = |core: &mut Self| {
            if let Some(connection) = connection {
                core.tell(
                    connection,
                    Event {
                        r#type: Some(event::Type::Acknowledged.into()),
                        acknowledged: Some(event::Acknowledged {
                            task_id: (&task).into(),
                            uuid: uuid.clone(),
                        }),
                        ..Default::default()
                    },
                );
            }
        };
        let key = (framework.clone(), task.clone());
        let is_repeat = self
            .streams
            .get(&key)
            .is_some_and(|stream| stream.seen.contains(&uuid));
        let known = self
            .state
            .executor(&framework, &executor)
            .and_then(|executor| executor.tasks.get(&task));
        let has_ended = known.is_some_and(|task| is_terminal(task.state));
        if is_repeat || has_ended {
            // The first end counts, and an executor only wants to know that it was heard.
            acknowledge(self);
            return;
        }
        status.source = Some(Source::Executor.into());
        status.agent_id = self.state.id.as_ref().map(Into::into);
        status.timestamp = status.timestamp.or(Some(self.now.wall));
        let own = self
            .executor_of(container)
            .and_then(|executor| executor.status.clone())
            .map_or_else(
                || self.container_status(container, &Default::default()),
                |status| (*status).clone(),
            );
        let merged = status.container_status.get_or_insert_default();
        merged.container_id = merged.container_id.take().or(own.container_id);
        if merged.network_infos.is_empty() {
            merged.network_infos = own.network_infos;
        }
        merged.cgroup_info = merged.cgroup_info.take().or(own.cgroup_info);
        merged.executor_pid = merged.executor_pid.or(own.executor_pid);
        let ends = is_terminal(status.state());
        self.update(&framework, Some(&executor), status);
        acknowledge(self);
        if ends {
            self.resize(container);
        }
    }

    pub(super) fn framework_message(
        &mut self,
        framework: &FrameworkId,
        executor: &ExecutorId,
        data: Vec<u8>,
    ) {
        let connection = self
            .state
            .executor(framework, executor)
            .filter(|executor| executor.phase == ExecutorPhase::Running)
            .and_then(|executor| self.runs.get(&executor.container)?.connection);
        match connection {
            Some(connection) => {
                self.state.counters.valid_framework_messages += 1;
                self.tell(
                    connection,
                    Event {
                        r#type: Some(event::Type::Message.into()),
                        message: Some(event::Message { data }),
                        ..Default::default()
                    },
                );
            }
            None => {
                self.state.counters.invalid_framework_messages += 1;
                tracing::warn!(%framework, %executor, "a message for an executor that does not listen is dropped");
            }
        }
    }

    pub(super) fn executor_gone(&mut self, connection: ConnectionId) {
        let Some(container) = self.connections.remove(&connection) else {
            return;
        };
        if let Some(run) = self.runs.get_mut(&container)
            && run.connection == Some(connection)
        {
            // It comes back, or its container ends.
            run.connection = None;
            tracing::info!(%container, "an executor closed its event stream");
        }
    }

    pub(super) fn heartbeat(&mut self) {
        let connections: Vec<ConnectionId> = self.connections.keys().copied().collect();
        if connections.is_empty() {
            return;
        }
        for connection in connections {
            let event = Event {
                r#type: Some(event::Type::Heartbeat.into()),
                ..Default::default()
            };
            self.tell(connection, event);
        }
        let at = self.after(HEARTBEAT);
        self.timers.set(Timer::Heartbeat, at);
    }

    /// An executor did not subscribe (again) in time.
    pub(super) fn registration_overdue(&mut self, container: &ContainerId) {
        let Some(run) = self.runs.get(container) else {
            return;
        };
        if run.connection.is_some() {
            return;
        }
        let (state, reason, message) = if run.recovered && run.subscribed {
            let timeout = format_duration(self.config.executor_reregistration_timeout);
            (
                TaskState::TaskGone,
                Reason::ExecutorReregistrationTimeout,
                format!("Executor did not reregister within {timeout}"),
            )
        } else {
            let timeout = format_duration(self.config.executor_registration_timeout);
            (
                TaskState::TaskFailed,
                Reason::ExecutorRegistrationTimeout,
                format!("Executor did not register within {timeout}"),
            )
        };
        tracing::warn!(%container, message, "an executor is given up");
        if let Some(executor) = self.executor_of_mut(container) {
            executor.phase = ExecutorPhase::Terminating;
        }
        if self.is_launched(container) || self.is_starting(container) {
            if let Some(run) = self.runs.get_mut(container) {
                run.pending.get_or_insert(Verdict {
                    state,
                    reason,
                    message,
                });
            }
            self.destroy(container);
        } else {
            self.abandon(container, &NewStatus::agent(state, reason, message));
        }
    }
}
