//! An agent at the door: what it says must hold together before it is let in.
use std::collections::BTreeSet;

use mesos_control::v1::Hello;
use mesos_types::Resources;
use mesos_wire::v1::{AgentInfo, Resource};

use super::{
    Invalid, Validity, operation::ENTRIES_PER_AGENT, require, resources::validate_resources,
};
use crate::core::AgentHello;

/// An agent that may be let in.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its info, without an id when it has none.
    pub info: AgentInfo,
    /// Its resources, with its dynamic reservations and its volumes.
    pub total: Resources,
    /// The protocol version that both speak.
    pub protocol: u32,
}

/// Checks what an agent says of itself and of what it holds.
///
/// # Errors
/// What does not hold together; the agent is told.
pub fn validate(agent: &AgentHello) -> Result<Candidate, Invalid> {
    let hello = &agent.hello;
    let protocol = negotiate(hello)?;
    let Some(info) = hello.agent.clone() else {
        return Err(Invalid::new(
            "The agent did not say who it is: `agent` is missing",
        ));
    };
    require(info.id == hello.agent_id, || {
        "The agent's id differs from the one in its `agent`".to_owned()
    })?;
    if let Some(id) = &info.id {
        mesos_types::validate_id(id.as_str())
            .map_err(|error| Invalid(format!("The agent's id: {error}")))?;
    }
    require(!info.hostname.is_empty(), || {
        "The agent's hostname is empty".to_owned()
    })?;
    require(u16::try_from(info.port()).is_ok(), || {
        format!("The agent's port {} is not in [0, 65535]", info.port())
    })?;
    let total = validate_resources(&info.resources)
        .map_err(|error| error.within("The agent's resources"))?;
    require(total.allocation_roles().is_empty(), || {
        "The agent's resources are allocated already".to_owned()
    })?;
    let mut total = total;
    if let Some(snapshot) = &agent.snapshot {
        require(info.id.is_some(), || {
            "An agent without an id cannot hold tasks".to_owned()
        })?;
        validate_snapshot(agent)?;
        total = with_checkpointed(&total, &snapshot.checkpointed_resources)?;
    }
    Ok(Candidate {
        info,
        total,
        protocol,
    })
}

/// What the agent has with its dynamic reservations and its volumes.
fn with_checkpointed(total: &Resources, checkpointed: &[Resource]) -> Result<Resources, Invalid> {
    let refuse = |problem: String| {
        Invalid(format!(
            "The agent's checkpointed resources do not fit the resources that its flags give it: {problem}"
        ))
    };
    require(checkpointed.len() <= ENTRIES_PER_AGENT, || {
        format!(
            "The agent checkpointed {} resources, at most {ENTRIES_PER_AGENT} are taken",
            checkpointed.len()
        )
    })?;
    let checkpointed =
        Resources::from_wire(checkpointed).map_err(|error| refuse(error.to_string()))?;
    total
        .apply_checkpointed(&checkpointed.unallocated())
        .map_err(|error| refuse(error.to_string()))
}

fn negotiate(hello: &Hello) -> Result<u32, Invalid> {
    let range = hello.protocol.unwrap_or_default();
    let highest = range.highest.min(mesos_control::PROTOCOL_HIGHEST);
    require(
        highest >= range.lowest.max(mesos_control::PROTOCOL_LOWEST),
        || {
            format!(
                "The agent speaks versions {}-{} of the control protocol, this master {}-{}; bring both to the same release",
                range.lowest,
                range.highest,
                mesos_control::PROTOCOL_LOWEST,
                mesos_control::PROTOCOL_HIGHEST
            )
        },
    )?;
    Ok(highest)
}

fn validate_snapshot(agent: &AgentHello) -> Validity {
    let Some(snapshot) = &agent.snapshot else {
        return Ok(());
    };
    let mut frameworks = BTreeSet::new();
    for info in &snapshot.frameworks {
        let Some(id) = &info.id else {
            return Err(Invalid::new("The agent holds a framework without an id"));
        };
        require(frameworks.insert(id.as_str()), || {
            format!("The agent holds framework {id} twice")
        })?;
    }
    for executor in &snapshot.executors {
        let known = executor
            .framework_id
            .as_ref()
            .is_some_and(|id| frameworks.contains(id.as_str()));
        require(known, || {
            format!(
                "Executor {} of the agent belongs to a framework that it does not hold",
                executor.executor_id
            )
        })?;
    }
    let mut tasks = BTreeSet::new();
    for task in &snapshot.tasks {
        let (id, framework) = (&task.task_id, &task.framework_id);
        require(frameworks.contains(framework.as_str()), || {
            format!("Task {id} of the agent belongs to framework {framework} that it does not hold")
        })?;
        require(
            Some(&task.agent_id) == agent.hello.agent_id.as_ref(),
            || {
                format!(
                    "Task {id} of framework {framework} is of agent {}",
                    task.agent_id
                )
            },
        )?;
        require(tasks.insert((framework.as_str(), id.as_str())), || {
            format!("The agent holds task {id} of framework {framework} twice")
        })?;
    }
    Ok(())
}
