//! RECONCILE: a framework asks for what the master knows of its tasks.
use mesos_types::{AgentId, FrameworkId};
use mesos_wire::v1::{TaskState, TaskStatus, scheduler::call, task_status::Reason};

use super::{
    Core,
    event::events,
    status::{for_awareness, time_info},
};
use crate::state::{Framework, Task};

impl Core {
    /// An empty list means all tasks that have not been acknowledged as ended.
    pub(super) fn reconcile(&mut self, id: &FrameworkId, asked: &[call::reconcile::Task]) {
        let Some(framework) = self.state.frameworks.get(id).cloned() else {
            return;
        };
        let statuses: Vec<TaskStatus> = if asked.is_empty() {
            framework
                .tasks
                .values()
                .map(|task| self.latest(task))
                .collect()
        } else {
            asked
                .iter()
                .filter_map(|task| self.explicit(&framework, task))
                .collect()
        };
        for status in statuses {
            self.send(id, events::update(status));
        }
    }

    fn latest(&self, task: &Task) -> TaskStatus {
        let text = "Reconciliation: Latest task state";
        self.status_of(task, task.seen_state(), Reason::Reconciliation, text)
    }

    /// The first that fits; `None`: nothing can be said before the agents are back.
    fn explicit(&self, framework: &Framework, asked: &call::reconcile::Task) -> Option<TaskStatus> {
        if let Some(task) = framework.tasks.get(asked.task_id.as_str()) {
            return Some(self.latest(task));
        }
        let gone_with = framework.unreachable_tasks.get(asked.task_id.as_str());
        let agent_id = asked
            .agent_id
            .as_ref()
            .map(AgentId::from)
            .or_else(|| gone_with.map(|task| task.agent_id.clone()));
        let state = &self.state;
        let answer = |aware, text: &str| {
            self.status(
                asked.task_id.clone(),
                agent_id.as_ref().map(Into::into),
                for_awareness(framework, aware),
                Reason::Reconciliation,
                format!("Reconciliation: {text}"),
            )
        };
        let Some(agent) = &agent_id else {
            return state
                .recovered_agents
                .is_empty()
                .then(|| answer(TaskState::TaskUnknown, "Task is unknown"));
        };
        if state.recovered_agents.contains_key(agent) || self.transitions.admits(agent) {
            return None;
        }
        if state.agents.contains_key(agent) {
            return Some(answer(TaskState::TaskGone, "Task is unknown to the agent"));
        }
        if let Some(unreachable) = state.unreachable_agents.get(agent) {
            let mut status = answer(TaskState::TaskUnreachable, "Task is unreachable");
            status.unreachable_time = Some(time_info(unreachable.since_nanos));
            return Some(status);
        }
        if self.state.gone_agents.contains_key(agent) {
            return Some(answer(TaskState::TaskGoneByOperator, "Task is gone"));
        }
        Some(answer(TaskState::TaskUnknown, "Task is unknown"))
    }
}
