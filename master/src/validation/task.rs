//! A task that a framework wants to launch: every rule, in Mesos's order (`master/validation.cpp`, task::).
use mesos_types::{Resources, validate_id};
use mesos_wire::v1::{
    ExecutorInfo, Resource, TaskInfo, agent_info::capability::Type as AgentCapability,
    executor_info,
};

use prost::Message as _;

use super::{
    Invalid, TASK_BYTES, Validity, container, health, require,
    resources::{self, Described, validate_resources},
};
use crate::state::{Agent, Framework};

/// Executors with less are warned of: CPUs.
pub const LEAST_EXECUTOR_CPUS: f64 = 0.01;
/// Executors with less are warned of: megabytes of memory.
pub const LEAST_EXECUTOR_MEM: f64 = 32.0;

/// What a task is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// Whose task it would be.
    pub framework: &'a Framework,
    /// Where it would run.
    pub agent: &'a Agent,
    /// What is left of the offers, with allocation.
    pub left: &'a Resources,
}

/// The task's resources once it was found valid, with allocation.
#[derive(Debug, Clone)]
pub struct Needs {
    /// The task's own.
    pub task: Resources,
    /// Its executor's, when that is new on the agent; else empty.
    pub executor: Resources,
}

/// Checks a task whose resources are allocated and in the newest form, and whose executor (if any) has
/// its framework's id filled in.
///
/// # Errors
/// The first rule that it breaks.
pub fn validate(task: &TaskInfo, ground: Ground<'_>) -> Result<Needs, Invalid> {
    validate_id(task.task_id.as_str()).map_err(|error| Invalid(error.to_string()))?;
    let size = task.encoded_len();
    require(size <= TASK_BYTES, || {
        format!(
            "The task has {size} bytes, at most {TASK_BYTES} are taken; fetch large data by URI"
        )
    })?;
    validate_unique(task, ground.framework)?;
    validate_agent(task, ground.agent)?;
    validate_times(task)?;
    if let Some(check) = &task.check {
        health::validate_check(check).map_err(|error| error.within("Task uses invalid check"))?;
    }
    if let Some(check) = &task.health_check {
        health::validate_health_check(check)
            .map_err(|error| error.within("Task uses invalid health check"))?;
    }
    let own = validate_task_resources(task)?;
    if let Some(command) = &task.command {
        container::validate_command(command)
            .map_err(|error| error.within("Task's `CommandInfo` is invalid"))?;
    }
    if let Some(info) = &task.container {
        container::validate_container(info)
            .map_err(|error| error.within("Task's `ContainerInfo` is invalid"))?;
    }
    validate_limits(task, ground.agent)?;
    validate_share_cgroups(task)?;
    let executor = match (&task.command, &task.executor) {
        (Some(_), Some(_)) | (None, None) => {
            return Err(Invalid::new(
                "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
            ));
        }
        (Some(_), None) => Resources::default(),
        (None, Some(executor)) => {
            let resources = validate_executor(executor, ground.framework, ground.agent)?;
            validate_together(task, executor)?;
            if resources::executor_on(ground.agent, &ground.framework.id, &executor.executor_id)
                .is_some()
            {
                Resources::default()
            } else {
                resources
            }
        }
    };
    let total = &own + &executor;
    require(ground.left.contains(&total), || {
        format!(
            "Total resources {} required by task and its executor is more than available {}",
            Described(&total),
            Described(ground.left)
        )
    })?;
    Ok(Needs {
        task: own,
        executor,
    })
}

fn validate_unique(task: &TaskInfo, framework: &Framework) -> Validity {
    let id = &task.task_id;
    // A task whose end is not acknowledged holds its id as well: its updates would be mixed up.
    require(!framework.tasks.contains_key(id.as_str()), || {
        format!("Task has duplicate ID: {id}")
    })?;
    require(
        !framework.unreachable_tasks.contains_key(id.as_str()),
        || format!("Task reuses the ID of an unreachable task: {id}"),
    )
}

fn validate_agent(task: &TaskInfo, agent: &Agent) -> Validity {
    require(task.agent_id.as_str() == agent.id.as_str(), || {
        format!(
            "Task uses invalid agent {} while agent {} is expected",
            task.agent_id, agent.id
        )
    })
}

fn validate_times(task: &TaskInfo) -> Validity {
    let grace = task
        .kill_policy
        .as_ref()
        .and_then(|policy| policy.grace_period.as_ref());
    require(grace.is_none_or(|grace| grace.nanoseconds >= 0), || {
        "Task's 'kill_policy.grace_period' must be non-negative".to_owned()
    })?;
    require(
        task.max_completion_time
            .as_ref()
            .is_none_or(|time| time.nanoseconds >= 0),
        || "Task's `max_completion_time` must be non-negative".to_owned(),
    )
}

fn validate_task_resources(task: &TaskInfo) -> Result<Resources, Invalid> {
    require(!task.resources.is_empty(), || {
        "Task uses no resources".to_owned()
    })?;
    let place = "Task uses invalid resources";
    let parsed = validate_resources(&task.resources).map_err(|error| error.within(place))?;
    require(!parsed.is_empty(), || "Task uses no resources".to_owned())?;
    Ok(parsed)
}

fn validate_limits(task: &TaskInfo, agent: &Agent) -> Validity {
    if task.limits.is_empty() {
        return Ok(());
    }
    require(agent.can(AgentCapability::TaskResourceLimits), || {
        format!(
            "Agent {} cannot set limits of tasks: it lacks the capability TASK_RESOURCE_LIMITS",
            agent.id
        )
    })?;
    for (name, limit) in &task.limits {
        require(name == "cpus" || name == "mem", || {
            format!("Task specifies a limit for '{name}'; only 'cpus' and 'mem' can be limited")
        })?;
        let requested: Option<f64> = task
            .resources
            .iter()
            .filter(|resource| resource.name == *name)
            .filter_map(|resource| resource.scalar.as_ref())
            .map(|scalar| scalar.value)
            .reduce(|a, b| a + b);
        let Some(requested) = requested else {
            return Err(Invalid(format!(
                "Task specifies a limit for '{name}' but requests no '{name}'"
            )));
        };
        require(!limit.value.is_nan() && limit.value >= requested, || {
            format!(
                "Task's limit of {} for '{name}' is below its request of {requested}",
                limit.value
            )
        })?;
        require(
            limit.value.is_finite() || name == "mem" || name == "cpus",
            || format!("Task's limit for '{name}' must be finite"),
        )?;
    }
    Ok(())
}

/// `share_cgroups=false` asks for a cgroup of one's own beneath the executor's: only tasks of a group have one.
fn validate_share_cgroups(task: &TaskInfo) -> Validity {
    let share = |info: Option<&mesos_wire::v1::ContainerInfo>| {
        info.and_then(|info| info.linux_info.as_ref())
            .and_then(|linux| linux.share_cgroups)
    };
    require(share(task.container.as_ref()) != Some(false), || {
        "Only tasks in a task group may have 'share_cgroups' set to 'false'".to_owned()
    })?;
    let executor = task
        .executor
        .as_ref()
        .and_then(|executor| executor.container.as_ref());
    require(share(executor) != Some(true), || {
        "The 'share_cgroups' field cannot be set to 'true' on executor containers".to_owned()
    })
}

fn validate_executor(
    executor: &ExecutorInfo,
    framework: &Framework,
    agent: &Agent,
) -> Result<Resources, Invalid> {
    validate_id(executor.executor_id.as_str()).map_err(|error| Invalid(error.to_string()))?;
    let claimed = executor.framework_id.as_ref().map(|id| id.as_str());
    require(claimed == Some(framework.id.as_str()), || {
        let found = executor
            .framework_id
            .as_ref()
            .map_or("none", |id| id.as_str());
        format!(
            "ExecutorInfo has an invalid FrameworkID (Actual: {found} vs Expected: {})",
            framework.id
        )
    })?;
    match executor.r#type() {
        executor_info::Type::Default => {
            return Err(Invalid::new(
                "'ExecutorInfo.type' must be 'CUSTOM': the default executor runs task groups only",
            ));
        }
        executor_info::Type::Custom | executor_info::Type::Unknown => {
            let Some(command) = &executor.command else {
                return Err(Invalid::new(
                    "'ExecutorInfo.command' must be set for 'CUSTOM' executor",
                ));
            };
            container::validate_command(command)
                .map_err(|error| error.within("Executor's `CommandInfo` is invalid"))?;
        }
    }
    let grace = executor.shutdown_grace_period.as_ref();
    require(grace.is_none_or(|grace| grace.nanoseconds >= 0), || {
        "ExecutorInfo's 'shutdown_grace_period' must be non-negative".to_owned()
    })?;
    if let Some(info) = &executor.container {
        container::validate_container(info)
            .map_err(|error| error.within("Executor's `ContainerInfo` is invalid"))?;
    }
    require(
        executor
            .resources
            .iter()
            .all(|resource| resource.shared.is_none()),
        || "Executor resources must not be shared".to_owned(),
    )?;
    let resources = validate_resources(&executor.resources)
        .map_err(|error| error.within("Executor uses invalid resources"))?;
    if let Some(known) = resources::executor_on(agent, &framework.id, &executor.executor_id) {
        require(*known.info == *executor, || {
            format!(
                "ExecutorInfo is not compatible with existing ExecutorInfo of executor '{}' on agent {}: \
                 all tasks of an executor must carry the same ExecutorInfo",
                executor.executor_id, agent.id
            )
        })?;
    } else {
        warn_of_small(executor);
    }
    Ok(resources)
}

fn warn_of_small(executor: &ExecutorInfo) {
    let amount = |name: &str| -> f64 {
        let named = executor
            .resources
            .iter()
            .filter(|resource| resource.name == name);
        named
            .filter_map(|resource| resource.scalar.as_ref())
            .map(|scalar| scalar.value)
            .sum()
    };
    let (cpus, mem) = (amount("cpus"), amount("mem"));
    if cpus < LEAST_EXECUTOR_CPUS || mem < LEAST_EXECUTOR_MEM {
        tracing::warn!(
            executor_id = %executor.executor_id, cpus, mem,
            "an executor has less than 0.01 cpus or 32 MB; it may be killed before it runs a task"
        );
    }
}

/// A task and its executor are charged together, so nothing indivisible may be in both.
fn validate_together(task: &TaskInfo, executor: &ExecutorInfo) -> Validity {
    let both: Vec<Resource> = task
        .resources
        .iter()
        .chain(&executor.resources)
        .cloned()
        .collect();
    validate_resources(&both)
        .map(|_| ())
        .map_err(|error| error.within("Task and its executor use invalid resources"))?;
    for own in &task.resources {
        for theirs in &executor.resources {
            if own.name == theirs.name && own.scalar.is_none() && overlaps(own, theirs) {
                return Err(Invalid(format!(
                    "Task and its executor use the same '{}'",
                    own.name
                )));
            }
        }
    }
    Ok(())
}

fn overlaps(a: &Resource, b: &Resource) -> bool {
    let ranges = match (&a.ranges, &b.ranges) {
        (Some(a), Some(b)) => a
            .range
            .iter()
            .any(|x| b.range.iter().any(|y| x.begin <= y.end && y.begin <= x.end)),
        _ => false,
    };
    let sets = match (&a.set, &b.set) {
        (Some(a), Some(b)) => a.item.iter().any(|item| b.item.contains(item)),
        _ => false,
    };
    ranges || sets
}
