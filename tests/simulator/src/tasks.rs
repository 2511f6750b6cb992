//! The tasks of one simulated agent: their states, and the updates that wait for acknowledgement.
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mesos_control::v1::{KillTask, RunTask, Snapshot, StatusUpdate};
use mesos_wire::v1::{
    self, FrameworkInfo, TaskState, TaskStatus,
    task_status::{Reason, Source},
};
use tokio::time::Instant;

use crate::settings::TaskLife;

/// A framework's id and a task's.
pub(crate) type Key = (String, String);

#[derive(Debug)]
struct Task {
    spec: v1::Task,
    /// The first one has been sent, the others wait for its acknowledgement.
    updates: VecDeque<StatusUpdate>,
    sent_at: Option<Instant>,
    /// What comes next by itself.
    next: Option<(Instant, TaskState)>,
}

/// All tasks of an agent.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    tasks: BTreeMap<Key, Task>,
    frameworks: BTreeMap<String, FrameworkInfo>,
}

fn terminal(state: TaskState) -> bool {
    matches!(
        state,
        TaskState::TaskFinished
            | TaskState::TaskFailed
            | TaskState::TaskKilled
            | TaskState::TaskError
            | TaskState::TaskLost
            | TaskState::TaskDropped
            | TaskState::TaskGone
            | TaskState::TaskGoneByOperator
    )
}

/// An update of a task, with a uuid of its own.
pub(crate) fn update(
    agent_id: &str,
    key: &Key,
    executor: Option<&v1::ExecutorId>,
    state: TaskState,
    reason: Option<Reason>,
) -> StatusUpdate {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let executor_id = executor.cloned().unwrap_or_else(|| v1::ExecutorId {
        value: key.1.clone(),
    });
    let source = if reason.is_some() {
        Source::Agent
    } else {
        Source::Executor
    };
    let status = TaskStatus {
        task_id: v1::TaskId {
            value: key.1.clone(),
        },
        state: state.into(),
        source: Some(source.into()),
        reason: reason.map(Into::into),
        agent_id: Some(v1::AgentId {
            value: agent_id.to_owned(),
        }),
        executor_id: Some(executor_id.clone()),
        uuid: Some(uuid::Uuid::new_v4().as_bytes().to_vec()),
        timestamp: Some(now.as_secs_f64()),
        ..TaskStatus::default()
    };
    StatusUpdate {
        framework_id: Some(v1::FrameworkId {
            value: key.0.clone(),
        }),
        executor_id: Some(executor_id),
        status: Some(status),
        latest_state: Some(state.into()),
    }
}

impl Tasks {
    /// Takes a task; its first update goes out now or when its time has come.
    pub(crate) fn launch(
        &mut self,
        agent_id: &str,
        run: RunTask,
        life: &TaskLife,
        now: Instant,
    ) -> Option<StatusUpdate> {
        let (framework, task) = (run.framework?, run.task?);
        let framework_id = framework.id.clone()?;
        let key = (framework_id.value.clone(), task.task_id.value.clone());
        if self.tasks.contains_key(&key) {
            return None;
        }
        self.frameworks.insert(key.0.clone(), framework);
        let spec = v1::Task {
            name: task.name,
            task_id: task.task_id,
            framework_id,
            executor_id: task.executor.map(|executor| executor.executor_id),
            agent_id: task.agent_id,
            state: TaskState::TaskStaging.into(),
            resources: task.resources,
            labels: task.labels,
            discovery: task.discovery,
            container: task.container,
            health_check: task.health_check,
            ..v1::Task::default()
        };
        self.tasks.insert(
            key.clone(),
            Task {
                spec,
                updates: VecDeque::new(),
                sent_at: None,
                next: Some((now + life.running_after, TaskState::TaskRunning)),
            },
        );
        if life.starting {
            return self.enter(agent_id, &key, TaskState::TaskStarting, now);
        }
        if life.running_after.is_zero() {
            return self.advance(agent_id, &key, life, now);
        }
        None
    }

    /// The task enters a state. What is to be sent now, if nothing older waits for its acknowledgement.
    fn enter(
        &mut self,
        agent_id: &str,
        key: &Key,
        state: TaskState,
        now: Instant,
    ) -> Option<StatusUpdate> {
        let task = self.tasks.get_mut(key)?;
        if terminal(task.spec.state()) {
            return None;
        }
        task.spec.set_state(state);
        if terminal(state) {
            task.next = None;
        }
        let update = update(agent_id, key, task.spec.executor_id.as_ref(), state, None);
        task.updates.push_back(update);
        if task.updates.len() > 1 {
            return None;
        }
        task.sent_at = Some(now);
        task.updates.front().cloned()
    }

    fn advance(
        &mut self,
        agent_id: &str,
        key: &Key,
        life: &TaskLife,
        now: Instant,
    ) -> Option<StatusUpdate> {
        let task = self.tasks.get_mut(key)?;
        let (_, state) = task.next.take()?;
        if state == TaskState::TaskRunning {
            task.next = life
                .finished_after
                .map(|after| (now + after, TaskState::TaskFinished));
        }
        self.enter(agent_id, key, state, now)
    }

    /// What is due: states that tasks enter by themselves, and updates to be sent again.
    pub(crate) fn due(
        &mut self,
        agent_id: &str,
        life: &TaskLife,
        resend_after: Duration,
        now: Instant,
    ) -> (Vec<StatusUpdate>, usize) {
        let ripe: Vec<Key> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.next.is_some_and(|(at, _)| at <= now))
            .map(|(key, _)| key.clone())
            .collect();
        let mut out: Vec<StatusUpdate> = ripe
            .iter()
            .filter_map(|key| self.advance(agent_id, key, life, now))
            .collect();
        let mut resent = 0;
        for task in self.tasks.values_mut() {
            if let Some(at) = task.sent_at
                && now.saturating_duration_since(at) >= resend_after
                && let Some(update) = task.updates.front()
            {
                task.sent_at = Some(now);
                resent += 1;
                out.push(update.clone());
            }
        }
        (out, resent)
    }

    /// When [`Tasks::due`] has something to say next.
    pub(crate) fn alarm(&self, resend_after: Duration) -> Option<Instant> {
        self.tasks
            .values()
            .flat_map(|task| {
                let next = task.next.map(|(at, _)| at);
                [next, task.sent_at.map(|at| at + resend_after)]
            })
            .flatten()
            .min()
    }

    /// The framework has the oldest update; the next one follows, and a task that has ended is forgotten.
    /// The first value says whether the acknowledgement fits.
    pub(crate) fn acknowledged(
        &mut self,
        key: &Key,
        uuid: &[u8],
        now: Instant,
    ) -> (bool, Option<StatusUpdate>) {
        let Some(task) = self.tasks.get_mut(key) else {
            return (false, None);
        };
        let fits = task
            .updates
            .front()
            .and_then(|update| update.status.as_ref())
            .is_some_and(|status| status.uuid.as_deref() == Some(uuid));
        if !fits {
            return (false, None);
        }
        task.updates.pop_front();
        task.sent_at = None;
        if let Some(next) = task.updates.front() {
            task.sent_at = Some(now);
            return (true, Some(next.clone()));
        }
        if terminal(task.spec.state()) {
            self.tasks.remove(key);
        }
        (true, None)
    }

    /// The task ends; one that is not there is answered for.
    pub(crate) fn kill(
        &mut self,
        agent_id: &str,
        kill: KillTask,
        now: Instant,
    ) -> Option<StatusUpdate> {
        let key = (kill.framework_id?.value, kill.task_id?.value);
        if self.tasks.contains_key(&key) {
            self.enter(agent_id, &key, TaskState::TaskKilled, now)
        } else {
            let reason = Some(Reason::Reconciliation);
            Some(update(agent_id, &key, None, TaskState::TaskDropped, reason))
        }
    }

    /// The framework is no more, and its tasks with it.
    pub(crate) fn end_framework(&mut self, id: &str) {
        self.tasks.retain(|(framework, _), _| framework != id);
        self.frameworks.remove(id);
    }

    /// What the agent holds, for its master.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let tasks = self.tasks.values().map(|task| {
            let mut spec = task.spec.clone();
            if let Some(status) = task
                .updates
                .front()
                .and_then(|update| update.status.as_ref())
            {
                spec.status_update_state = Some(status.state);
                spec.status_update_uuid.clone_from(&status.uuid);
            }
            spec
        });
        Snapshot {
            tasks: tasks.collect(),
            frameworks: self.frameworks.values().cloned().collect(),
            ..Snapshot::default()
        }
    }

    /// The oldest update of each task goes out again: a new session may have lost them.
    pub(crate) fn again(&mut self, now: Instant) -> Vec<StatusUpdate> {
        let mut out = Vec::new();
        for task in self.tasks.values_mut() {
            if let Some(update) = task.updates.front() {
                task.sent_at = Some(now);
                out.push(update.clone());
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str) -> RunTask {
        RunTask {
            framework: Some(FrameworkInfo {
                id: Some(v1::FrameworkId { value: "f".into() }),
                ..FrameworkInfo::default()
            }),
            task: Some(v1::TaskInfo {
                task_id: v1::TaskId { value: id.into() },
                ..v1::TaskInfo::default()
            }),
        }
    }

    fn state(update: &StatusUpdate) -> TaskState {
        update.status.as_ref().unwrap().state()
    }

    fn uuid(update: &StatusUpdate) -> Vec<u8> {
        update.status.as_ref().unwrap().uuid.clone().unwrap()
    }

    #[test]
    fn updates_go_out_one_by_one_as_they_are_acknowledged() {
        let now = Instant::now();
        let life = TaskLife {
            starting: true,
            ..TaskLife::default()
        };
        let mut tasks = Tasks::default();
        let key = ("f".to_owned(), "t".to_owned());
        let first = tasks.launch("a", run("t"), &life, now).unwrap();
        assert_eq!(state(&first), TaskState::TaskStarting);
        assert!(tasks.due("a", &life, Duration::MAX, now).0.is_empty());
        assert_eq!(tasks.acknowledged(&key, b"other", now), (false, None));
        let (fits, second) = tasks.acknowledged(&key, &uuid(&first), now);
        let second = second.unwrap();
        assert!(fits);
        assert_eq!(state(&second), TaskState::TaskRunning);
        let later = now + Duration::from_secs(10);
        let (again, resent) = tasks.due("a", &life, Duration::from_secs(10), later);
        assert_eq!((again, resent), (vec![second.clone()], 1));
        assert_eq!(tasks.snapshot().tasks.len(), 1);
        assert_eq!(tasks.acknowledged(&key, &uuid(&second), now), (true, None));
        assert_eq!(tasks.alarm(Duration::from_secs(10)), None);
    }

    #[test]
    fn a_task_that_has_ended_is_kept_until_its_end_is_acknowledged() {
        let now = Instant::now();
        let life = TaskLife::default();
        let mut tasks = Tasks::default();
        let key = ("f".to_owned(), "t".to_owned());
        let running = tasks.launch("a", run("t"), &life, now).unwrap();
        tasks.acknowledged(&key, &uuid(&running), now);
        let kill = KillTask {
            framework_id: Some(v1::FrameworkId { value: "f".into() }),
            task_id: Some(v1::TaskId { value: "t".into() }),
            kill_policy: None,
        };
        let killed = tasks.kill("a", kill.clone(), now).unwrap();
        assert_eq!(state(&killed), TaskState::TaskKilled);
        assert_eq!(tasks.snapshot().tasks.len(), 1);
        tasks.acknowledged(&key, &uuid(&killed), now);
        assert!(tasks.snapshot().tasks.is_empty());
        assert_eq!(
            state(&tasks.kill("a", kill, now).unwrap()),
            TaskState::TaskDropped
        );
    }
}
