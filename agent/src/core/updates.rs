//! Status updates: in order, one in flight per task, again until acknowledged.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use mesos_control::v1::{StatusUpdate, agent_message::Body};
use mesos_types::{ExecutorId, FrameworkId, TaskId, is_terminal};
use mesos_wire::v1::{
    self, TaskState, TaskStatus,
    task_status::{Reason, Source},
};

use super::{Core, Timer};
use crate::checkpoint::UpdateRecord;

/// First pause before an update is sent again. Source: `STATUS_UPDATE_RETRY_INTERVAL_MIN` of Mesos.
const RETRY_MIN: Duration = Duration::from_secs(10);
/// Longest pause. Source: `STATUS_UPDATE_RETRY_INTERVAL_MAX`.
const RETRY_MAX: Duration = Duration::from_secs(600);
/// Uuids remembered per task, to recognise what an executor sends twice.
const MAX_SEEN: usize = 1024;

/// The updates of one task that are not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) executor: Option<ExecutorId>,
    /// Unacknowledged ones with their numbers; the first is in flight.
    pub(super) pending: VecDeque<(u64, TaskStatus)>,
    /// Number of the next update.
    pub(super) next: u64,
    /// Number of the last acknowledged update and its state, as long as it is checkpointed.
    pub(super) acknowledged: Option<(u64, i32)>,
    /// Uuids received.
    pub(super) seen: HashSet<Vec<u8>>,
    seen_order: VecDeque<Vec<u8>>,
    /// Pause before the first one is sent again; `None`: not sent in this session.
    pub(super) pause: Option<Duration>,
}

impl Stream {
    /// Whether a terminal update is among those that wait.
    fn latest(&self) -> Option<TaskState> {
        self.pending.back().map(|(_, status)| status.state())
    }

    pub(super) fn note(&mut self, uuid: Vec<u8>) {
        if self.seen.insert(uuid.clone()) {
            self.seen_order.push_back(uuid);
            if self.seen_order.len() > MAX_SEEN
                && let Some(oldest) = self.seen_order.pop_front()
            {
                self.seen.remove(&oldest);
            }
        }
    }
}

/// The parts of a status that the agent makes up itself.
#[derive(Debug, Clone)]
pub(super) struct NewStatus {
    pub(super) state: TaskState,
    pub(super) source: Source,
    pub(super) reason: Option<Reason>,
    pub(super) message: Option<String>,
}

impl NewStatus {
    pub(super) fn agent(state: TaskState, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            state,
            source: Source::Agent,
            reason: Some(reason),
            message: Some(message.into()),
        }
    }

    pub(super) fn executor(state: TaskState) -> Self {
        Self {
            state,
            source: Source::Executor,
            reason: None,
            message: None,
        }
    }
}

impl Core {
    /// A status of the agent's own making, with everything but what the caller still adds.
    pub(super) fn status(
        &self,
        executor: Option<&ExecutorId>,
        task: &TaskId,
        new: NewStatus,
    ) -> TaskStatus {
        TaskStatus {
            task_id: task.into(),
            state: new.state.into(),
            message: new.message,
            source: Some(new.source.into()),
            reason: new.reason.map(Into::into),
            agent_id: self.state.id.as_ref().map(Into::into),
            executor_id: executor.map(Into::into),
            timestamp: Some(self.now.wall),
            uuid: Some(uuid::Uuid::new_v4().into_bytes().to_vec()),
            ..Default::default()
        }
    }

    /// Takes an update: into the task, the journal, the task's stream and, if it is its turn, on its way.
    pub(super) fn update(
        &mut self,
        framework: &FrameworkId,
        executor: Option<&ExecutorId>,
        mut status: TaskStatus,
    ) {
        self.mark_drained(framework, &mut status);
        let task = TaskId::from(&status.task_id);
        let state = status.state();
        self.state.counters.valid_status_updates += 1;
        if is_terminal(state) {
            self.state.counters.ended(state);
        }
        if let Some(task) = self.task_mut(framework, &task) {
            task.apply(&status);
        }
        let key = (framework.clone(), task.clone());
        let stream = self.streams.entry(key).or_default();
        if stream.executor.is_none() {
            stream.executor = executor.cloned();
        }
        let number = stream.next;
        stream.next += 1;
        stream.note(status.uuid.clone().unwrap_or_default());
        let record = UpdateRecord {
            status: Some(status.clone()),
            executor: stream.executor.as_ref().map(ToString::to_string),
        };
        stream.pending.push_back((number, status));
        let is_first = stream.pending.len() == 1;
        self.persist_update(framework, &task, number, &record);
        if is_first {
            self.forward(framework, &task);
        }
    }

    /// Sends the first update of a task, if there is a master to send it to.
    pub(super) fn forward(&mut self, framework: &FrameworkId, task: &TaskId) {
        let key = (framework.clone(), task.clone());
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let Some((_, first)) = stream.pending.front() else {
            return;
        };
        let forwarded = (first.state(), first.uuid.clone().unwrap_or_default());
        let newest = stream.latest();
        let message = StatusUpdate {
            framework_id: Some(framework.into()),
            executor_id: stream.executor.as_ref().map(Into::into),
            status: Some(first.clone()),
            latest_state: newest
                .filter(|state| *state != first.state())
                .map(Into::into),
        };
        let connected = self
            .session
            .as_ref()
            .is_some_and(|session| session.welcomed);
        if connected {
            let pause = stream
                .pause
                .map_or(RETRY_MIN, |pause| (pause * 2).min(RETRY_MAX));
            stream.pause = Some(pause);
            let at = self.after(pause);
            self.timers
                .set(Timer::Retry(framework.clone(), task.clone()), at);
            self.send(Body::Update(message));
        }
        if let Some(task) = self.task_mut(framework, task) {
            task.forwarded = Some(forwarded);
        }
    }

    pub(super) fn retry(&mut self, framework: &FrameworkId, task: &TaskId) {
        self.forward(framework, task);
    }

    /// A master took us in: the first update of every task goes out at once.
    pub(super) fn resend_updates(&mut self) {
        let keys: Vec<_> = self.streams.keys().cloned().collect();
        self.resend(keys);
    }

    /// The same for the tasks of one framework.
    pub(super) fn resend_updates_of(&mut self, framework: &FrameworkId) {
        let keys = self.streams_of(framework);
        self.resend(keys);
    }

    fn streams_of(&self, framework: &FrameworkId) -> Vec<(FrameworkId, TaskId)> {
        self.streams
            .range((framework.clone(), TaskId::from(""))..)
            .map(|(key, _)| key.clone())
            .take_while(|(f, _)| f == framework)
            .collect()
    }

    fn resend(&mut self, keys: Vec<(FrameworkId, TaskId)>) {
        for (framework, task) in keys {
            if let Some(stream) = self.streams.get_mut(&(framework.clone(), task.clone())) {
                stream.pause = None;
            }
            self.forward(&framework, &task);
        }
    }

    /// Nobody listens: pauses start again with the next session.
    pub(super) fn pause_updates(&mut self) {
        let keys: Vec<_> = self.streams.keys().cloned().collect();
        for (framework, task) in keys {
            self.timers.cancel(&Timer::Retry(framework, task));
        }
    }

    /// The framework has taken an update.
    pub(super) fn acknowledged(&mut self, framework: &FrameworkId, task: &TaskId, uuid: &[u8]) {
        let key = (framework.clone(), task.clone());
        let Some(stream) = self.streams.get_mut(&key) else {
            tracing::debug!(%framework, %task, "an acknowledgement of a task without updates is passed over");
            return;
        };
        let is_first = stream
            .pending
            .front()
            .is_some_and(|(_, status)| status.uuid.as_deref() == Some(uuid));
        if !is_first {
            tracing::warn!(%framework, %task, "an acknowledgement that is not of the update in flight is passed over");
            return;
        }
        let Some((number, status)) = stream.pending.pop_front() else {
            return;
        };
        stream.pause = None;
        let replaced = stream.acknowledged.replace((number, status.state));
        self.timers
            .cancel(&Timer::Retry(framework.clone(), task.clone()));
        if is_terminal(status.state()) {
            self.streams.remove(&key);
            self.persist_stream_end(framework, task);
            self.task_done(framework, task);
            return;
        }
        // Of repeats of a state only the last one is kept.
        let obsolete = replaced.filter(|(_, state)| *state == status.state);
        self.persist_acknowledgement(framework, task, number, obsolete.map(|(number, _)| number));
        self.forward(framework, task);
    }

    /// Nobody will acknowledge the updates of this framework any more.
    pub(super) fn drop_updates(&mut self, framework: &FrameworkId) {
        for (framework, task) in self.streams_of(framework) {
            self.streams.remove(&(framework.clone(), task.clone()));
            self.timers
                .cancel(&Timer::Retry(framework.clone(), task.clone()));
            self.persist_stream_end(&framework, &task);
        }
    }

    /// A status for a task of this container, from the agent or in its executor's name.
    pub(super) fn task_update(
        &mut self,
        framework: &FrameworkId,
        executor: &ExecutorId,
        task: &TaskId,
        new: NewStatus,
        more: impl FnOnce(&mut TaskStatus),
    ) {
        let mut status = self.status(Some(executor), task, new);
        more(&mut status);
        self.update(framework, Some(executor), status);
    }

    /// Where a container is, as statuses tell it: with the agent's own address where it has none.
    pub(super) fn container_status(
        &self,
        container: &mesos_types::ContainerId,
        status: &mesos_containerizer_api::ContainerStatus,
    ) -> v1::ContainerStatus {
        let mut networks = status.network_infos.clone();
        if networks.is_empty() {
            networks.push(v1::NetworkInfo {
                ip_addresses: vec![v1::network_info::IpAddress {
                    protocol: Some(v1::network_info::Protocol::IPv4.into()),
                    ip_address: Some(self.config.ip.to_string()),
                }],
                ..Default::default()
            });
        }
        v1::ContainerStatus {
            container_id: Some(container.into()),
            network_infos: networks,
            cgroup_info: status.cgroup_info,
            executor_pid: status.pid,
        }
    }
}
