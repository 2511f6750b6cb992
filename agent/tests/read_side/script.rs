//! The state that a Mesos agent was in when its answers were recorded, made from its v1 answer.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use mesos_agent::state::{
    AgentState, Executor, ExecutorKind, ExecutorPhase, Framework, Phase, Task, TaskPlace,
};
use mesos_containerizer_api::ContainerStatus;
use mesos_types::{ContainerId, ExecutorId, FrameworkId, Resources, TaskId, parse_resources};
use mesos_wire::v1::{self, agent::Response};
use serde_json::Value;

use super::{fake::Fake, server::recorded};

fn v1_answer(name: &str) -> Response {
    mesos_wire::json::from_slice(&recorded(name).1.body).unwrap()
}

/// Container and sandbox of each executor, which only `/state` shows.
fn runs(state: &Value) -> BTreeMap<(String, String), (String, String)> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
    let mut runs = BTreeMap::new();
    for frameworks in ["frameworks", "completed_frameworks"] {
        for framework in state[frameworks].as_array().unwrap() {
            for executors in ["executors", "completed_executors"] {
                for executor in framework[executors].as_array().unwrap() {
                    let run = (text(executor, "container"), text(executor, "directory"));
                    runs.insert((text(framework, "id"), text(executor, "id")), run);
                }
            }
        }
    }
    runs
}

fn task(task: v1::Task, place: TaskPlace) -> Task {
    let executor = task
        .executor_id
        .clone()
        .map(|executor_id| v1::ExecutorInfo {
            executor_id,
            ..Default::default()
        });
    Task {
        id: TaskId::from(&task.task_id),
        resources: Resources::from_wire(&task.resources).unwrap(),
        place,
        state: task.state(),
        statuses: task.statuses.iter().cloned().map(Arc::new).collect(),
        forwarded: task
            .status_update_uuid
            .clone()
            .map(|uuid| (task.status_update_state(), uuid)),
        accepted: 0.0,
        info: Arc::new(v1::TaskInfo {
            name: task.name,
            task_id: task.task_id,
            agent_id: task.agent_id,
            resources: task.resources,
            executor,
            labels: task.labels,
            discovery: task.discovery,
            container: task.container,
            health_check: task.health_check,
            kill_policy: task.kill_policy,
            ..Default::default()
        }),
    }
}

/// The recorded agent's state.
pub fn state() -> AgentState {
    let shown = recorded("agent-state").1.json();
    let agent = v1_answer("agent-get_agent")
        .get_agent
        .unwrap()
        .agent_info
        .unwrap();
    let resources = parse_resources("cpus:4;mem:4096;disk:10000;ports:[31000-32000]", "*").unwrap();
    let mut state = AgentState::new(agent, resources, shown["start_time"].as_f64().unwrap());
    state.phase = Phase::Registered;
    state.master = Some(Arc::new(v1::MasterInfo {
        hostname: Some("localhost".to_owned()),
        ..Default::default()
    }));
    let runs = runs(&shown);
    let all = v1_answer("agent-get_state").get_state.unwrap();
    let mut tasks: BTreeMap<(String, String), Vec<Task>> = BTreeMap::new();
    let lists = all.get_tasks.unwrap();
    for (list, place) in [
        (lists.queued_tasks, Some(TaskPlace::Queued)),
        (lists.launched_tasks, Some(TaskPlace::Launched)),
        (lists.terminated_tasks, Some(TaskPlace::Ended)),
        (lists.completed_tasks, None),
    ] {
        for one in list {
            let executor = one
                .executor_id
                .as_ref()
                .map_or(&one.task_id.value, |id| &id.value);
            let of = (one.framework_id.value.clone(), executor.clone());
            let mut one = task(one, place.unwrap_or(TaskPlace::Ended));
            // Told apart below: what is completed has nothing that waits.
            one.accepted = f64::from(u8::from(place.is_none()));
            tasks.entry(of).or_default().push(one);
        }
    }
    let executors = all.get_executors.unwrap();
    let mut of_framework: BTreeMap<String, Vec<(bool, Executor)>> = BTreeMap::new();
    let current = executors.executors.into_iter().map(|e| (false, e));
    let completed = executors.completed_executors.into_iter().map(|e| (true, e));
    for (completed, executor) in current.chain(completed) {
        let info = executor.executor_info;
        let framework = info.framework_id.clone().unwrap().value;
        let of = (framework.clone(), info.executor_id.value.clone());
        let (container, sandbox) = &runs[&of];
        let (done, live): (Vec<Task>, Vec<Task>) = tasks
            .remove(&of)
            .unwrap_or_default()
            .into_iter()
            .partition(|task| task.accepted > 0.0);
        let executor = Executor {
            id: ExecutorId::from(&info.executor_id),
            kind: if info.r#type.is_some() {
                ExecutorKind::Custom
            } else {
                ExecutorKind::Command
            },
            phase: if completed {
                ExecutorPhase::Terminated
            } else {
                ExecutorPhase::Running
            },
            info: Arc::new(info),
            container: ContainerId::from(container.as_str()),
            sandbox: PathBuf::from(sandbox),
            status: None,
            tasks: live
                .into_iter()
                .map(|task| (task.id.clone(), Arc::new(task)))
                .collect(),
            completed_tasks: done.into_iter().map(Arc::new).collect(),
        };
        of_framework
            .entry(framework)
            .or_default()
            .push((completed, executor));
    }
    assert!(tasks.is_empty(), "each task has its executor");
    let frameworks = all.get_frameworks.unwrap();
    let mut make = |info: v1::FrameworkInfo| {
        let id = FrameworkId::from(info.id.as_ref().unwrap());
        let mut framework = Framework::new(id, info);
        for (completed, executor) in of_framework
            .remove(framework.id.as_str())
            .unwrap_or_default()
        {
            let executor = Arc::new(executor);
            if completed {
                framework.completed_executors.push_back(executor);
            } else {
                framework.executors.insert(executor.id.clone(), executor);
            }
        }
        Arc::new(framework)
    };
    for framework in frameworks.frameworks {
        let framework = make(framework.framework_info);
        state.frameworks.insert(framework.id.clone(), framework);
    }
    for framework in frameworks.completed_frameworks {
        let framework = make(framework.framework_info);
        state.completed_frameworks.push_back(framework);
    }
    state
}

/// A containerizer whose containers use what they used then, by a recorded GET_CONTAINERS.
pub fn containerizer(name: &str) -> Fake {
    let mut fake = Fake::default();
    for container in v1_answer(name).get_containers.unwrap().containers {
        let status = container.container_status.unwrap();
        let id = ContainerId::from(status.container_id.as_ref().unwrap());
        let shown = ContainerStatus {
            pid: status.executor_pid,
            network_infos: status.network_infos,
            cgroup_info: status.cgroup_info,
        };
        fake.status.insert(id.clone(), shown);
        fake.statistics
            .insert(id, container.resource_statistics.unwrap());
    }
    fake
}

/// The recorded agent's flags.
pub fn flags() -> BTreeMap<String, String> {
    let shown = recorded("agent-flags").1.json();
    serde_json::from_value(shown["flags"].clone()).unwrap()
}
