//! The journal's values, read back as what the agent was doing.

use std::{collections::BTreeMap, path::PathBuf};

use mesos_containerizer_api::{ContainerConfig, Identity};
use mesos_types::{AgentId, ContainerId, ExecutorId, FrameworkId, TaskId};
use mesos_wire::v1;
use prost::Message;

use super::{AgentRecord, DrainRecord, ExecutorRecord, Fence, Key, TaskRecord, UpdateRecord};

/// A value that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRecord {
    /// Its key.
    pub key: String,
    /// What is wrong.
    pub problem: String,
}

/// Everything the journal held.
#[derive(Debug, Default)]
pub struct Image {
    /// The agent.
    pub agent: Option<AgentRecord>,
    /// The newest leader that was obeyed.
    pub fence: Fence,
    /// A drain under way.
    pub drain: Option<DrainRecord>,
    /// Frameworks.
    pub frameworks: BTreeMap<FrameworkId, v1::FrameworkInfo>,
    /// Executors' runs.
    pub executors: BTreeMap<(FrameworkId, ExecutorId), ExecutorRecord>,
    /// Tasks by executor.
    pub tasks: BTreeMap<(FrameworkId, ExecutorId), BTreeMap<TaskId, TaskRecord>>,
    /// Updates by task, in order, with their numbers.
    pub updates: BTreeMap<(FrameworkId, TaskId), BTreeMap<u64, UpdateRecord>>,
    /// How many updates of a task are acknowledged.
    pub acknowledged: BTreeMap<(FrameworkId, TaskId), u64>,
    /// What could not be read.
    pub lost: Vec<LostRecord>,
}

impl Image {
    /// Reads the values of a journal. What cannot be read is listed and left out.
    pub fn read(values: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut image = Self::default();
        for (text, value) in values {
            if let Err(problem) = image.take(text, value) {
                image.lost.push(LostRecord {
                    key: text.clone(),
                    problem,
                });
            }
        }
        image
    }

    fn take(&mut self, text: &str, value: &[u8]) -> Result<(), String> {
        // A newer release of the same format may have added kinds of values.
        let key = Key::decode(text)
            .ok_or_else(|| "a kind of value this release does not know".to_owned())?;
        match key {
            Key::Agent => self.agent = Some(read(value)?),
            Key::Election => self.fence = Fence::decode(value)?,
            Key::Drain => self.drain = Some(read(value)?),
            Key::Framework(f) => {
                self.frameworks.insert(f, read(value)?);
            }
            Key::Executor(f, e) => {
                self.executors.insert((f, e), read(value)?);
            }
            Key::Task(f, e, t) => {
                self.tasks
                    .entry((f, e))
                    .or_default()
                    .insert(t, read(value)?);
            }
            Key::Update(f, t, n) => {
                self.updates
                    .entry((f, t))
                    .or_default()
                    .insert(n, read(value)?);
            }
            Key::Acknowledged(f, t) => {
                self.acknowledged.insert((f, t), number(value)?);
            }
        }
        Ok(())
    }

    /// Containers that were launched, or were about to be, and have not been forgotten.
    pub fn containers(&self, agent: &AgentId) -> Vec<ContainerConfig> {
        self.executors
            .iter()
            .filter_map(|((framework, executor), record)| {
                record.config(agent.clone(), framework.clone(), executor.clone())
            })
            .collect()
    }
}

impl ExecutorRecord {
    /// The container's configuration; `None`: the intent to launch it was not reached.
    pub fn config(
        &self,
        agent: AgentId,
        framework: FrameworkId,
        executor: ExecutorId,
    ) -> Option<ContainerConfig> {
        let identity = Identity {
            agent,
            framework,
            executor,
            task: None,
        };
        self.intent.as_ref()?.config(
            ContainerId::from(self.container.as_str()),
            identity,
            PathBuf::from(&self.sandbox),
        )
    }
}

fn read<M: Message + Default>(value: &[u8]) -> Result<M, String> {
    M::decode(value).map_err(|error| error.to_string())
}

fn number(value: &[u8]) -> Result<u64, String> {
    value
        .try_into()
        .map(u64::from_le_bytes)
        .map_err(|_| "not eight bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_listed_and_the_rest_is_taken() {
        let mut values = BTreeMap::new();
        values.insert("election".to_owned(), 7u64.to_le_bytes().to_vec());
        values.insert("f/x".to_owned(), vec![0xff, 0xff]);
        values.insert("future/x".to_owned(), vec![]);
        let image = Image::read(&values);
        assert_eq!(image.fence.election, 7);
        assert!(image.frameworks.is_empty());
        let lost: Vec<&str> = image.lost.iter().map(|l| l.key.as_str()).collect();
        assert_eq!(lost, ["f/x", "future/x"]);
    }
}
