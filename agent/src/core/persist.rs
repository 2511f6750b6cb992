//! What is written down, and under which key. All changes of one event are one frame of the journal.

use mesos_types::{ContainerId, ExecutorId, FrameworkId, TaskId};
use prost::Message as _;

use super::Core;
use crate::{
    checkpoint::{
        AgentRecord, Change, DrainRecord, ExecutorRecord, IntentRecord, Key, KillRecord,
        TaskRecord, UpdateRecord,
    },
    state::{ExecutorKind, ExecutorPhase, TaskPlace},
};

impl ExecutorKind {
    /// The number in the journal.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Command => 0,
            Self::Docker => 1,
            Self::Custom => 2,
        }
    }

    /// Reads the number back.
    pub(super) fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Command,
            1 => Self::Docker,
            _ => Self::Custom,
        }
    }
}

impl Core {
    fn put(&mut self, key: &Key, value: Vec<u8>) {
        self.changes.push(Change::Put(key.encode(), value));
    }

    pub(super) fn persist_identity(&mut self) {
        let record = AgentRecord {
            info: Some((*self.state.agent).clone()),
            detected: self.config.detected.clone(),
            boot_id: self.boot_id.clone(),
        };
        self.put(&Key::Agent, record.encode_to_vec());
        self.persist_election();
    }

    pub(super) fn persist_election(&mut self) {
        let value = self.fence.encode();
        self.put(&Key::Election, value);
    }

    pub(super) fn persist_drain(&mut self) {
        match &self.state.drain {
            Some(drain) => {
                let record = DrainRecord {
                    config: Some(drain.config),
                    since: drain.since,
                };
                self.put(&Key::Drain, record.encode_to_vec());
            }
            None => self.changes.push(Change::Delete(Key::Drain.encode())),
        }
    }

    pub(super) fn persist_framework(&mut self, id: &FrameworkId) {
        if let Some(framework) = self.state.frameworks.get(id) {
            let value = framework.info.encode_to_vec();
            self.put(&Key::Framework(id.clone()), value);
        }
    }

    pub(super) fn forget_framework(&mut self, id: &FrameworkId) {
        let key = Key::Framework(id.clone()).encode();
        self.changes.push(Change::Delete(key));
    }

    /// Writes an executor down with its launch intent, if that stands.
    pub(super) fn persist_executor(&mut self, container: &ContainerId) {
        let (Some(run), Some(executor)) = (self.runs.get(container), self.executor_of(container))
        else {
            return;
        };
        let record = ExecutorRecord {
            info: Some((*executor.info).clone()),
            kind: executor.kind.number(),
            container: container.to_string(),
            sandbox: executor.sandbox.to_string_lossy().into_owned(),
            intent: run.config.as_ref().map(IntentRecord::of),
            launched: run.up,
            status: executor.status.as_deref().cloned(),
            subscribed: run.subscribed,
            terminating: executor.phase == ExecutorPhase::Terminating,
            terminated: executor.phase == ExecutorPhase::Terminated,
        };
        let key = Key::Executor(run.framework.clone(), run.executor.clone());
        self.put(&key, record.encode_to_vec());
    }

    pub(super) fn forget_executor(&mut self, framework: &FrameworkId, executor: &ExecutorId) {
        let run = Key::Executor(framework.clone(), executor.clone()).encode();
        self.changes.push(Change::Delete(run));
        let tasks = format!("t/{framework}/{executor}/");
        self.changes.push(Change::DeletePrefix(tasks));
    }

    pub(super) fn persist_task(
        &mut self,
        framework: &FrameworkId,
        executor: &ExecutorId,
        task: &TaskId,
        kill: Option<KillRecord>,
    ) {
        let Some(found) = self
            .state
            .executor(framework, executor)
            .and_then(|executor| executor.tasks.get(task))
        else {
            return;
        };
        let record = TaskRecord {
            info: Some((*found.info).clone()),
            accepted: found.accepted,
            launched: found.place != TaskPlace::Queued,
            kill,
        };
        let key = Key::Task(framework.clone(), executor.clone(), task.clone());
        self.put(&key, record.encode_to_vec());
    }

    pub(super) fn forget_task(
        &mut self,
        framework: &FrameworkId,
        executor: &ExecutorId,
        task: &TaskId,
    ) {
        let key = Key::Task(framework.clone(), executor.clone(), task.clone()).encode();
        self.changes.push(Change::Delete(key));
    }

    pub(super) fn persist_update(
        &mut self,
        framework: &FrameworkId,
        task: &TaskId,
        number: u64,
        record: &UpdateRecord,
    ) {
        let key = Key::Update(framework.clone(), task.clone(), number);
        self.put(&key, record.encode_to_vec());
    }

    /// Updates up to `number` are acknowledged; `obsolete` is not needed any more.
    pub(super) fn persist_acknowledgement(
        &mut self,
        framework: &FrameworkId,
        task: &TaskId,
        number: u64,
        obsolete: Option<u64>,
    ) {
        let key = Key::Acknowledged(framework.clone(), task.clone());
        self.put(&key, (number + 1).to_le_bytes().to_vec());
        if let Some(number) = obsolete {
            let key = Key::Update(framework.clone(), task.clone(), number).encode();
            self.changes.push(Change::Delete(key));
        }
    }

    pub(super) fn persist_stream_end(&mut self, framework: &FrameworkId, task: &TaskId) {
        let updates = format!("u/{framework}/{task}/");
        self.changes.push(Change::DeletePrefix(updates));
        let key = Key::Acknowledged(framework.clone(), task.clone()).encode();
        self.changes.push(Change::Delete(key));
    }
}
