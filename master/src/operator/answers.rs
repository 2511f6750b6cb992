//! The state as v1 messages, as far as the viewer may see it.
use mesos_types::{Format, ResourceOperation, Resources};
use mesos_wire::{
    Encoding,
    v1::{
        self, FrameworkInfo, Resource, TimeInfo,
        master::response::{
            GetAgents, GetExecutors, GetFrameworks, GetMaster, GetOperations, GetRoles, get_agents,
            get_executors, get_frameworks,
        },
        master_info::capability::Type as Capability,
    },
};

use crate::{
    config::MasterConfig,
    legacy::framework::ended,
    reading::Viewer,
    roles,
    state::{Agent, Framework, Operation, Snapshot, WallTime},
};

/// Scalars that GET_ROLES shows.
const ROLE_RESOURCES: [&str; 4] = ["cpus", "disk", "gpus", "mem"];

/// Seconds since 1970 as the message has them.
fn time(seconds: WallTime) -> TimeInfo {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates, and times are centuries below that"
    )]
    let nanoseconds = (seconds * 1e9) as i64;
    TimeInfo { nanoseconds }
}

/// Resources with `role` and `reservation` beside the newer form, as endpoints show them; without those
/// reserved for roles that the viewer may not see.
fn visible(resources: &Resources, viewer: &Viewer) -> Vec<Resource> {
    // A shared volume is there once, however many use it.
    let seen = resources.distinct().filter(|resource| {
        resource
            .reservation_role()
            .is_none_or(|role| viewer.role(role))
    });
    seen.map(|resource| resource.to_wire(Format::Endpoint))
        .collect()
}

/// Frameworks that the viewer may see, those that ended last.
pub(super) fn frameworks<'a>(
    snapshot: &'a Snapshot,
    viewer: &'a Viewer,
) -> impl Iterator<Item = &'a Framework> {
    let all = snapshot
        .frameworks
        .values()
        .chain(snapshot.completed_frameworks.iter());
    all.map(AsRef::as_ref)
        .filter(|framework: &&Framework| viewer.framework(framework))
}

/// GET_TASKS as a message: what [`super::state`] must come to.
#[cfg(test)]
pub(crate) fn tasks(snapshot: &Snapshot, viewer: &Viewer) -> v1::master::response::GetTasks {
    let mut answer = v1::master::response::GetTasks::default();
    for framework in frameworks(snapshot, viewer) {
        let seen = |task: &&std::sync::Arc<crate::state::Task>| viewer.task(task, &framework.info);
        answer.tasks.extend(
            framework
                .tasks
                .values()
                .filter(seen)
                .map(|task| task.to_wire()),
        );
        let unreachable = framework.unreachable_tasks.values().filter(seen);
        answer
            .unreachable_tasks
            .extend(unreachable.map(|task| task.to_wire()));
        let completed = framework.completed_tasks.iter().filter(seen);
        answer
            .completed_tasks
            .extend(completed.map(|task| task.to_wire()));
    }
    answer
}

/// GET_EXECUTORS: those that frameworks brought.
pub(crate) fn executors(snapshot: &Snapshot, viewer: &Viewer) -> GetExecutors {
    let mut answer = GetExecutors::default();
    for framework in frameworks(snapshot, viewer) {
        let executors = framework.executors.values();
        for executor in executors.filter(|executor| viewer.executor(executor, &framework.info)) {
            answer.executors.push(get_executors::Executor {
                executor_info: (*executor.info).clone(),
                agent_id: (&executor.agent_id).into(),
            });
        }
    }
    answer
}

/// A framework without its offers and resources, as the event stream shows it.
pub(crate) fn framework_event(framework: &Framework) -> get_frameworks::Framework {
    get_frameworks::Framework {
        framework_info: FrameworkInfo::clone(&framework.info),
        active: framework.active(),
        connected: framework.connected(),
        recovered: framework.recovered(),
        registered_time: Some(time(framework.registered_time)),
        reregistered_time: Some(time(framework.reregistered_time)),
        unregistered_time: Some(time(ended(framework).unwrap_or(0.0))),
        ..Default::default()
    }
}

fn framework(
    framework: &Framework,
    snapshot: &Snapshot,
    viewer: &Viewer,
) -> get_frameworks::Framework {
    let offers = framework
        .offers
        .iter()
        .filter_map(|id| snapshot.offers.get(id));
    let inverse_offers = framework
        .inverse_offers
        .iter()
        .filter_map(|id| snapshot.inverse_offers.get(id));
    get_frameworks::Framework {
        unregistered_time: ended(framework).map(time),
        offers: offers
            .map(|offer| offer.to_wire(Format::PostRefinement))
            .collect(),
        inverse_offers: inverse_offers
            .map(|offer| v1::InverseOffer::clone(&offer.wire))
            .collect(),
        allocated_resources: visible(&framework.used(), viewer),
        offered_resources: visible(&framework.offered(), viewer),
        offer_constraints: Some(
            framework
                .offer_constraints
                .as_deref()
                .cloned()
                .unwrap_or_default(),
        ),
        ..framework_event(framework)
    }
}

/// GET_FRAMEWORKS.
pub(crate) fn get_frameworks(snapshot: &Snapshot, viewer: &Viewer) -> GetFrameworks {
    let seen = |candidate: &&std::sync::Arc<Framework>| viewer.framework(candidate);
    let registered = snapshot.frameworks.values().filter(seen);
    let completed = snapshot.completed_frameworks.iter().filter(seen);
    GetFrameworks {
        frameworks: registered
            .map(|one| framework(one, snapshot, viewer))
            .collect(),
        completed_frameworks: completed
            .map(|one| framework(one, snapshot, viewer))
            .collect(),
        ..Default::default()
    }
}

/// One agent of GET_AGENTS and AGENT_ADDED.
pub(crate) fn agent(agent: &Agent, viewer: &Viewer) -> get_agents::Agent {
    let deactivation = agent.deactivation.as_deref();
    get_agents::Agent {
        agent_info: v1::AgentInfo::clone(&agent.info),
        active: agent.active(),
        deactivated: Some(agent.deactivation.is_some()),
        version: agent.version.clone(),
        pid: Some(agent.pid()),
        registered_time: Some(time(agent.registered_time)),
        reregistered_time: agent.reregistered_time.map(time),
        total_resources: visible(&agent.total, viewer),
        allocated_resources: visible(&agent.used_total(), viewer),
        offered_resources: visible(&agent.offered, viewer),
        capabilities: agent.capabilities.to_vec(),
        drain_info: deactivation.and_then(|deactivation| deactivation.drain),
        // Mesos shows whole seconds here.
        estimated_drain_start_time: deactivation
            .and_then(|deactivation| deactivation.drain_started)
            .map(|started| time(started.floor())),
        ..Default::default()
    }
}

/// GET_AGENTS.
pub(crate) fn agents(snapshot: &Snapshot, viewer: &Viewer) -> GetAgents {
    let recovered = snapshot.recovered_agents.values();
    GetAgents {
        agents: snapshot
            .agents
            .values()
            .map(|one| agent(one, viewer))
            .collect(),
        recovered_agents: recovered
            .map(|agent| v1::AgentInfo::clone(&agent.info))
            .collect(),
    }
}

/// GET_OPERATIONS: those on registered agents, as far as the roles in them may be seen.
pub(crate) fn operations(snapshot: &Snapshot, viewer: &Viewer) -> GetOperations {
    let seen = |operation: &&std::sync::Arc<Operation>| {
        ResourceOperation::from_wire(&operation.info).is_ok_and(|read| {
            let resources = read.resources();
            resources
                .reservation_roles()
                .into_iter()
                .all(|role| viewer.role(role))
        })
    };
    let operations = snapshot
        .agents
        .values()
        .flat_map(|agent| agent.operations.values());
    GetOperations {
        operations: operations
            .filter(seen)
            .map(|operation| operation.to_wire())
            .collect(),
    }
}

/// GET_STATE as a message: what [`super::state`] must come to.
#[cfg(test)]
pub(crate) fn state(snapshot: &Snapshot, viewer: &Viewer) -> v1::master::response::GetState {
    v1::master::response::GetState {
        get_tasks: Some(tasks(snapshot, viewer)),
        get_executors: Some(executors(snapshot, viewer)),
        get_frameworks: Some(get_frameworks(snapshot, viewer)),
        get_agents: Some(agents(snapshot, viewer)),
    }
}

/// GET_ROLES.
pub(crate) fn get_roles(snapshot: &Snapshot, config: &MasterConfig, viewer: &Viewer) -> GetRoles {
    let roles = roles::known(snapshot, config, viewer)
        .into_iter()
        .map(|role| {
            let mut held = role.allocated.clone();
            held.merge(&role.offered);
            let scalars = held
                .iter()
                .filter(|(name, _)| ROLE_RESOURCES.contains(name));
            let resources = scalars.map(|(name, value)| Resource {
                name: name.to_owned(),
                r#type: v1::value::Type::Scalar.into(),
                scalar: Some(v1::value::Scalar { value }),
                ..Default::default()
            });
            v1::Role {
                name: role.name,
                weight: role.weight,
                frameworks: role.frameworks.iter().map(Into::into).collect(),
                resources: resources.collect(),
            }
        });
    GetRoles {
        roles: roles.collect(),
    }
}

/// GET_MASTER.
pub(crate) fn master(snapshot: &Snapshot, encoding: Encoding) -> GetMaster {
    let mut info = snapshot.identity.info.clone();
    if encoding == Encoding::Json {
        // The v1 API of Mesos has no name for it, and JSON shows an empty object in its place.
        for capability in &mut info.capabilities {
            if capability.r#type() == Capability::QuotaV2 {
                capability.r#type = None;
            }
        }
    }
    GetMaster {
        master_info: Some(info),
        start_time: Some(snapshot.identity.start_time),
        elected_time: Some(snapshot.identity.elected_time),
    }
}
