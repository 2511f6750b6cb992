//! What happened, for those who follow the master's state as a stream (operator SUBSCRIBE).
use std::sync::Arc;

use mesos_types::{AgentId, FrameworkId};
use mesos_wire::v1::{TaskState, TaskStatus};

use super::{Agent, Framework, Task};

/// One change, with the record as it was right after it.
#[derive(Debug, Clone)]
pub enum Change {
    /// A task was launched, or is known again because its agent came back.
    TaskAdded(Arc<Task>),
    /// A task's state changed, or a check of it has a new result.
    TaskUpdated {
        /// Whose task.
        framework_id: FrameworkId,
        /// The status that brought it.
        status: Arc<TaskStatus>,
        /// The newest state.
        state: TaskState,
        /// The task after it, for whoever must be asked whether a subscriber may see it.
        task: Arc<Task>,
    },
    /// A framework subscribed for the first time, or is known from an agent.
    FrameworkAdded(Arc<Framework>),
    /// A framework subscribed again, was disconnected, or changed its info.
    FrameworkUpdated(Arc<Framework>),
    /// A framework was torn down or did not come back in time.
    FrameworkRemoved(Arc<Framework>),
    /// An agent was admitted or came back.
    AgentAdded(Arc<Agent>),
    /// An agent was removed or became unreachable.
    AgentRemoved(AgentId),
}
