//! The state as v1 messages, as far as the viewer may see it.

use mesos_types::ResourceOperation;
use mesos_wire::v1::{
    self,
    agent::response::{
        GetContainers, GetExecutors, GetFrameworks, GetOperations, GetState, GetTasks,
        get_containers, get_executors, get_frameworks,
    },
};

use super::{Viewer, containers::Container};
use crate::state::{AgentState, Executor, Framework, TaskPlace};

/// Those that are here, then those that have left.
fn frameworks<'a>(
    state: &'a AgentState,
    viewer: &'a Viewer,
) -> impl Iterator<Item = &'a Framework> {
    let all = state
        .frameworks
        .values()
        .chain(state.completed_frameworks.iter());
    all.map(AsRef::as_ref)
        .filter(|framework: &&Framework| viewer.framework(framework))
}

/// GET_FRAMEWORKS.
pub(super) fn get_frameworks(state: &AgentState, viewer: &Viewer) -> GetFrameworks {
    let shown = |framework: &Framework| {
        viewer
            .framework(framework)
            .then(|| get_frameworks::Framework {
                framework_info: (*framework.info).clone(),
            })
    };
    GetFrameworks {
        frameworks: state.frameworks.values().filter_map(|f| shown(f)).collect(),
        completed_frameworks: state
            .completed_frameworks
            .iter()
            .filter_map(|f| shown(f))
            .collect(),
    }
}

/// GET_EXECUTORS: also those that the agent made up for command tasks, as Mesos shows them.
pub(super) fn get_executors(state: &AgentState, viewer: &Viewer) -> GetExecutors {
    let mut answer = GetExecutors::default();
    for framework in frameworks(state, viewer) {
        let shown = |executor: &Executor| {
            viewer
                .executor(executor, &framework.info)
                .then(|| get_executors::Executor {
                    executor_info: (*executor.info).clone(),
                })
        };
        let executors = framework.executors.values();
        answer.executors.extend(executors.filter_map(|e| shown(e)));
        let completed = framework.completed_executors.iter();
        answer
            .completed_executors
            .extend(completed.filter_map(|e| shown(e)));
    }
    answer
}

/// GET_TASKS. No task is pending: an accepted task belongs to its executor at once.
pub(super) fn get_tasks(state: &AgentState, viewer: &Viewer) -> GetTasks {
    let mut answer = GetTasks::default();
    for framework in frameworks(state, viewer) {
        let all = framework
            .executors
            .values()
            .chain(framework.completed_executors.iter());
        for executor in all.filter(|executor| viewer.executor(executor, &framework.info)) {
            let seen =
                |task: &&std::sync::Arc<crate::state::Task>| viewer.task(task, &framework.info);
            for task in executor.tasks.values().filter(seen) {
                let list = match task.place {
                    TaskPlace::Queued => &mut answer.queued_tasks,
                    TaskPlace::Launched => &mut answer.launched_tasks,
                    TaskPlace::Ended => &mut answer.terminated_tasks,
                };
                list.push(task.to_wire(&framework.id));
            }
            let completed = executor.completed_tasks.iter().filter(seen);
            answer
                .completed_tasks
                .extend(completed.map(|task| task.to_wire(&framework.id)));
        }
    }
    answer
}

/// GET_OPERATIONS. As in Mesos, who may see the roles of what an operation is about may see it.
pub(super) fn get_operations(state: &AgentState, viewer: &Viewer) -> GetOperations {
    let agent = state.id.as_ref().map(Into::into);
    let is_seen = |operation: &v1::Operation| {
        let read = ResourceOperation::from_wire(&operation.info);
        let all = read
            .map(|operation| operation.resources())
            .unwrap_or_default();
        all.reservation_roles()
            .into_iter()
            .all(|role| viewer.role(role))
    };
    GetOperations {
        operations: state
            .operations
            .values()
            .filter_map(|operation| operation.to_wire(agent.as_ref()))
            .filter(is_seen)
            .collect(),
    }
}

/// GET_STATE.
pub(super) fn get_state(state: &AgentState, viewer: &Viewer) -> GetState {
    GetState {
        get_tasks: Some(get_tasks(state, viewer)),
        get_executors: Some(get_executors(state, viewer)),
        get_frameworks: Some(get_frameworks(state, viewer)),
    }
}

/// GET_CONTAINERS. As in Mesos, the parent of a container stands in its status only.
pub(super) fn get_containers(containers: Vec<Container>) -> GetContainers {
    let shown = |container: Container| {
        let mut answer = get_containers::Container {
            container_id: mesos_wire::v1::ContainerId {
                value: container.id.value().to_owned(),
                parent: None,
            },
            container_status: container.status,
            resource_statistics: container.statistics,
            ..Default::default()
        };
        if let Some((framework, executor)) = &container.of {
            answer.framework_id = Some((&framework.id).into());
            answer.executor_id = Some((&executor.id).into());
            answer.executor_name = Some(executor.info.name.clone().unwrap_or_default());
        }
        answer
    };
    GetContainers {
        containers: containers.into_iter().map(shown).collect(),
    }
}
