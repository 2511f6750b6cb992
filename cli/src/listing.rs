//! `mesos task list`, `mesos agent list`, `mesos framework list`.

use mesos_sdk::{MasterAddress, operator::Operator};
use mesos_wire::{
    WireMessage,
    v1::{
        DrainState, Resource, Task, TaskState,
        master::{
            call,
            response::{get_agents::Agent, get_frameworks::Framework},
        },
    },
};

use crate::{explain, table::table};

type Outcome = Result<(), String>;

/// Prints the tasks of the cluster.
pub async fn tasks(master: &MasterAddress, json: bool, all: bool) -> Outcome {
    let got = ask(master, call::Type::GetTasks)
        .await?
        .get_tasks
        .unwrap_or_default();
    let mut tasks: Vec<Task> = got.tasks;
    if all {
        tasks.extend(got.unreachable_tasks);
        tasks.extend(got.completed_tasks);
    }
    if json {
        return print_json(&tasks);
    }
    let rows: Vec<_> = tasks.iter().map(task_row).collect();
    print(&table(
        &["ID", "STATE", "NAME", "FRAMEWORK", "AGENT", "RESOURCES"],
        &rows,
    ));
    Ok(())
}

fn task_row(task: &Task) -> Vec<String> {
    vec![
        task.task_id.value.clone(),
        state_name(task.state()),
        task.name.clone(),
        task.framework_id.value.clone(),
        task.agent_id.value.clone(),
        resources_text(&task.resources),
    ]
}

/// Prints the agents of the cluster.
pub async fn agents(master: &MasterAddress, json: bool) -> Outcome {
    let got = ask(master, call::Type::GetAgents)
        .await?
        .get_agents
        .unwrap_or_default();
    if json {
        return print_json(&got.agents);
    }
    let rows: Vec<_> = got.agents.iter().map(agent_row).collect();
    print(&table(
        &["ID", "HOST", "STATE", "VERSION", "TOTAL", "USED"],
        &rows,
    ));
    Ok(())
}

fn agent_row(agent: &Agent) -> Vec<String> {
    let info = &agent.agent_info;
    let drain = agent.drain_info.as_ref().map(|drain| drain.state());
    let state = match (drain, agent.active, agent.deactivated.unwrap_or(false)) {
        (Some(DrainState::Draining), ..) => "draining",
        (Some(DrainState::Drained), ..) => "drained",
        (_, _, true) => "deactivated",
        (_, true, _) => "active",
        (_, false, _) => "disconnected",
    };
    vec![
        info.id
            .as_ref()
            .map(|id| id.value.clone())
            .unwrap_or_default(),
        format!("{}:{}", info.hostname, info.port()),
        state.to_owned(),
        agent.version.clone(),
        resources_text(&agent.total_resources),
        resources_text(&agent.allocated_resources),
    ]
}

/// Prints the frameworks of the cluster.
pub async fn frameworks(master: &MasterAddress, json: bool, all: bool) -> Outcome {
    let got = ask(master, call::Type::GetFrameworks)
        .await?
        .get_frameworks
        .unwrap_or_default();
    let running = got.frameworks.len();
    let mut frameworks: Vec<Framework> = got.frameworks;
    if all {
        frameworks.extend(got.completed_frameworks);
    }
    if json {
        return print_json(&frameworks);
    }
    let rows: Vec<_> = frameworks
        .iter()
        .enumerate()
        .map(|(i, framework)| framework_row(framework, i >= running))
        .collect();
    print(&table(
        &["ID", "NAME", "STATE", "HOST", "ROLES", "USED"],
        &rows,
    ));
    Ok(())
}

fn framework_row(framework: &Framework, completed: bool) -> Vec<String> {
    let info = &framework.framework_info;
    let state = match (completed, framework.active, framework.connected) {
        (true, ..) => "completed",
        (_, true, _) => "active",
        (_, _, true) => "inactive",
        _ => "disconnected",
    };
    let roles = if info.roles.is_empty() {
        info.role().to_owned()
    } else {
        info.roles.join(",")
    };
    vec![
        info.id
            .as_ref()
            .map(|id| id.value.clone())
            .unwrap_or_default(),
        info.name.clone(),
        state.to_owned(),
        info.hostname().to_owned(),
        roles,
        resources_text(&framework.allocated_resources),
    ]
}

/// The answer of the master to a call that needs no more than its type.
pub async fn ask(
    master: &MasterAddress,
    kind: call::Type,
) -> Result<mesos_wire::v1::master::Response, String> {
    let operator = Operator::new(master.url(""));
    operator.master(kind).await.map_err(|e| explain(master, &e))
}

/// The state's name on the wire, such as TASK_RUNNING.
pub fn state_name(state: TaskState) -> String {
    state.as_str_name().to_owned()
}

fn resources_text(resources: &[Resource]) -> String {
    let mut parts = Vec::new();
    for resource in resources {
        let value = if let Some(scalar) = &resource.scalar {
            scalar.value.to_string()
        } else if let Some(ranges) = &resource.ranges {
            let ranges: Vec<_> = ranges
                .range
                .iter()
                .map(|r| format!("{}-{}", r.begin, r.end))
                .collect();
            format!("[{}]", ranges.join(","))
        } else if let Some(set) = &resource.set {
            format!("{{{}}}", set.item.join(","))
        } else {
            continue;
        };
        let role = resource.reservations.last().and_then(|r| r.role.clone());
        let role = role.map(|r| format!("({r})")).unwrap_or_default();
        parts.push(format!("{}{role}:{value}", resource.name));
    }
    parts.join(";")
}

/// Writes a message as the operator API does.
pub fn print_message<M: WireMessage>(message: &M) -> Outcome {
    let value = mesos_wire::json::to_value(message);
    let text = serde_json::to_string_pretty(&value).map_err(|e| e.to_string())?;
    print(&text);
    print("\n");
    Ok(())
}

/// Writes a list of messages as the operator API writes each.
pub fn print_json<M: WireMessage>(messages: &[M]) -> Outcome {
    let values: Vec<_> = messages.iter().map(mesos_wire::json::to_value).collect();
    let text = serde_json::to_string_pretty(&values).map_err(|e| e.to_string())?;
    print(&text);
    print("\n");
    Ok(())
}

/// Writes to stdout; a reader that has left (`| head`) is no error.
pub fn print(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    if out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(0);
    }
}
