//! An executor: a framework's own process, or what the agent shows in its place for a command task.

use std::{path::PathBuf, sync::Arc};

use imbl::{OrdMap, Vector};
use mesos_types::{ContainerId, ExecutorId, Format, Resources, TaskId};
use mesos_wire::v1;

use super::{Task, TaskPlace};

/// Who speaks for the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutorKind {
    /// The agent itself, for one command task under the mesos containerizer.
    Command,
    /// The agent itself, for one task in a Docker container.
    Docker,
    /// A process of the framework, over the v1 executor API.
    Custom,
}

impl ExecutorKind {
    /// Whether the agent made this executor up; such ones are not shown to the master.
    pub fn is_generated(self) -> bool {
        match self {
            Self::Command | Self::Docker => true,
            Self::Custom => false,
        }
    }
}

/// How far an executor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutorPhase {
    /// Its container is launching, or it has not subscribed yet (again).
    Registering,
    /// It takes tasks.
    Running,
    /// It was told to end.
    Terminating,
    /// Its container is gone; updates may wait for acknowledgements.
    Terminated,
}

impl ExecutorPhase {
    /// The name of Mesos's state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registering => "REGISTERING",
            Self::Running => "RUNNING",
            Self::Terminating => "TERMINATING",
            Self::Terminated => "TERMINATED",
        }
    }
}

/// One run of an executor.
#[derive(Debug, Clone)]
pub struct Executor {
    /// Its id; for a command task the task's.
    pub id: ExecutorId,
    /// Who speaks for its tasks.
    pub kind: ExecutorKind,
    /// How far it is.
    pub phase: ExecutorPhase,
    /// As the framework gave it, or as Mesos would have made it up for a command task.
    pub info: Arc<v1::ExecutorInfo>,
    /// This run's container.
    pub container: ContainerId,
    /// Host path of the sandbox.
    pub sandbox: PathBuf,
    /// What the containerizer said about the running container; `container_id` is set, and addresses
    /// are the agent's own where the container has none.
    pub status: Option<Arc<v1::ContainerStatus>>,
    /// Tasks that are queued, running, or ended with updates that wait for an acknowledgement.
    pub tasks: OrdMap<TaskId, Arc<Task>>,
    /// Tasks that are done with, oldest first, at most [`super::MAX_COMPLETED_TASKS`].
    pub completed_tasks: Vector<Arc<Task>>,
}

impl Executor {
    /// The executor's own resources, without its tasks'; for command tasks the overhead of the
    /// executor that Mesos would start.
    pub fn resources(&self) -> Resources {
        // They were checked when the executor was made.
        Resources::from_wire(&self.info.resources).unwrap_or_default()
    }

    /// Its own and those of its tasks that have not ended: what its container is given.
    pub fn allocated(&self) -> Resources {
        let mut sum = self.resources();
        for task in self.tasks.values() {
            if task.place != TaskPlace::Ended {
                sum += &task.resources;
            }
        }
        sum
    }

    /// The same, as endpoints show it.
    pub fn allocated_wire(&self) -> Vec<v1::Resource> {
        self.allocated().to_wire(Format::Endpoint)
    }

    /// Tasks in this place.
    pub fn tasks_in(&self, place: TaskPlace) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.values().filter(move |task| task.place == place)
    }

    /// Whether any task has not ended.
    pub fn has_live_tasks(&self) -> bool {
        self.tasks
            .values()
            .any(|task| task.place != TaskPlace::Ended)
    }
}
