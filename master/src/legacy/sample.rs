//! A small cluster for the tests of what is shown.
use std::sync::Arc;

use imbl::{OrdMap, OrdSet, Vector};
use mesos_types::{AgentId, FrameworkCapabilities, FrameworkId, parse_attributes, parse_resources};
use mesos_wire::v1::{
    self, AgentInfo, ContainerStatus, FrameworkInfo, MasterInfo, NetworkInfo, TaskState,
    TaskStatus, agent_info, framework_info::Capability, framework_info::capability::Type,
    network_info::IpAddress,
};

use crate::state::{Agent, Framework, Identity, Snapshot, Standing, Subscription, Task};

/// A master with the agent S0 and the frameworks F0, which is subscribed, and F1, which is not.
pub(crate) fn snapshot() -> Snapshot {
    let info = MasterInfo {
        id: "M".to_owned(),
        port: 5050,
        pid: Some("master@127.0.0.1:5050".to_owned()),
        hostname: Some("localhost".to_owned()),
        ..MasterInfo::default()
    };
    let identity = Identity {
        info,
        cluster: None,
        start_time: 1.5,
        elected_time: 1.75,
    };
    let mut snapshot = Snapshot::new(Arc::new(identity));
    let agent = agent("S0");
    snapshot.agents.insert(agent.id.clone(), Arc::new(agent));
    let stream = Subscription {
        stream: 1,
        id: "stream".to_owned(),
    };
    for (id, standing) in [
        ("F0", Standing::Subscribed(stream)),
        ("F1", Standing::Disconnected),
    ] {
        let framework = framework(id, standing);
        snapshot
            .frameworks
            .insert(framework.id.clone(), Arc::new(framework));
    }
    snapshot
}

/// An agent with four processors.
pub(crate) fn agent(id: &str) -> Agent {
    let total = parse_resources("cpus:4;mem:4096;disk:10000;ports:[31000-32000]", "*").unwrap();
    let capability = |kind: agent_info::capability::Type| agent_info::Capability {
        r#type: Some(kind.into()),
    };
    Agent {
        id: AgentId::from(id),
        info: Arc::new(AgentInfo {
            hostname: "localhost".to_owned(),
            port: Some(5051),
            resources: total.to_wire(mesos_types::Format::PostRefinement),
            attributes: parse_attributes("rack:r1;zone:z1;num:3").unwrap(),
            id: Some(v1::AgentId {
                value: id.to_owned(),
            }),
            domain: None,
        }),
        ip: "127.0.0.1".to_owned(),
        version: "1.11.0".to_owned(),
        capabilities: Arc::new(vec![capability(agent_info::capability::Type::MultiRole)]),
        process_epoch: String::new(),
        resource_version: Vec::new(),
        registered_time: 2.5,
        reregistered_time: None,
        session: Some(1),
        total,
        used: OrdMap::new(),
        offered: Default::default(),
        tasks: OrdSet::new(),
        executors: OrdMap::new(),
        offers: OrdSet::new(),
        operations: OrdMap::new(),
        deactivation: None,
        planned: None,
    }
}

/// A framework without tasks.
pub(crate) fn framework(id: &str, standing: Standing) -> Framework {
    let capability = |kind: Type| Capability {
        r#type: Some(kind.into()),
    };
    let info = FrameworkInfo {
        user: "root".to_owned(),
        name: "fw".to_owned(),
        id: Some(v1::FrameworkId {
            value: id.to_owned(),
        }),
        roles: vec!["*".to_owned()],
        capabilities: vec![
            capability(Type::MultiRole),
            capability(Type::PartitionAware),
        ],
        ..FrameworkInfo::default()
    };
    Framework {
        id: FrameworkId::from(id),
        capabilities: FrameworkCapabilities::from(&info),
        roles: Arc::new(["*".to_owned()].into()),
        suppressed_roles: Arc::default(),
        offer_constraints: None,
        info: Arc::new(info),
        standing,
        registered_time: 3.5,
        reregistered_time: 3.5,
        unregistered_time: 0.0,
        tasks: OrdMap::new(),
        unreachable_tasks: OrdMap::new(),
        completed_tasks: Vector::new(),
        executors: OrdMap::new(),
        offers: OrdSet::new(),
        inverse_offers: OrdSet::new(),
        used_on: Default::default(),
        offered_on: Default::default(),
    }
}

/// A running command task on S0, with one status when `started` says when.
pub(crate) fn task(framework: &str, name: &str, started: Option<f64>) -> Task {
    let resources = parse_resources("cpus:0.1;mem:32", "*")
        .unwrap()
        .allocated_to("*");
    let statuses = started.into_iter().map(|at| TaskStatus {
        task_id: v1::TaskId {
            value: name.to_owned(),
        },
        state: TaskState::TaskRunning.into(),
        timestamp: Some(at),
        container_status: Some(ContainerStatus {
            container_id: Some(v1::ContainerId {
                value: "C".to_owned(),
                parent: None,
            }),
            network_infos: vec![NetworkInfo {
                ip_addresses: vec![IpAddress {
                    ip_address: Some("127.0.0.1".to_owned()),
                    ..IpAddress::default()
                }],
                ..NetworkInfo::default()
            }],
            ..ContainerStatus::default()
        }),
        ..TaskStatus::default()
    });
    let spec = v1::Task {
        name: name.to_owned(),
        task_id: v1::TaskId {
            value: name.to_owned(),
        },
        framework_id: v1::FrameworkId {
            value: framework.to_owned(),
        },
        agent_id: v1::AgentId {
            value: "S0".to_owned(),
        },
        state: TaskState::TaskRunning.into(),
        resources: resources.to_wire(mesos_types::Format::PostRefinement),
        statuses: statuses.collect(),
        ..v1::Task::default()
    };
    Task::new(spec, resources)
}

/// Adds such a task to a framework of the snapshot.
pub(crate) fn add_task(snapshot: &mut Snapshot, framework: &str, name: &str, started: Option<f64>) {
    let task = task(framework, name, started);
    let framework = Arc::make_mut(snapshot.frameworks.get_mut(framework).unwrap());
    framework.tasks.insert(task.id.clone(), Arc::new(task));
}
