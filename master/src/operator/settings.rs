//! What operators have set, as v1 messages: weights, quotas, maintenance.
use std::collections::BTreeMap;

use mesos_http::{Action, Object};
use mesos_wire::v1::{
    Resource, WeightInfo,
    allocator::InverseOfferStatus,
    machine_info::Mode,
    maintenance::{ClusterStatus, Schedule, cluster_status::DrainingMachine},
    master::response::{GetMaintenanceSchedule, GetMaintenanceStatus, GetQuota, GetWeights},
    quota::{QuotaInfo, QuotaStatus},
    value,
};

use crate::{reading::Viewer, registry::MachineKey, state::Snapshot};

/// The weights that may be seen, by role.
pub(crate) fn weight_infos(snapshot: &Snapshot, viewer: &Viewer) -> Vec<WeightInfo> {
    let set = snapshot.settings.weights.iter();
    set.filter(|(role, _)| viewer.role(role))
        .map(|(role, weight)| WeightInfo {
            role: Some(role.clone()),
            weight: *weight,
        })
        .collect()
}

/// GET_WEIGHTS: nothing at all when there are none, as in Mesos.
pub(crate) fn weights(snapshot: &Snapshot, viewer: &Viewer) -> Option<GetWeights> {
    let weight_infos = weight_infos(snapshot, viewer);
    (!weight_infos.is_empty()).then_some(GetWeights { weight_infos })
}

/// The quotas that may be seen, in the older form too.
#[expect(deprecated, reason = "older clients read `infos`")]
pub(crate) fn quota_status(snapshot: &Snapshot, viewer: &Viewer) -> QuotaStatus {
    let set = snapshot.settings.quotas.values();
    let configs: Vec<_> = set
        .filter(|config| viewer.may(Action::GetQuota, Object::Named(&config.role)))
        .cloned()
        .collect();
    let infos = configs.iter().map(|config| QuotaInfo {
        role: Some(config.role.clone()),
        guarantee: config
            .guarantees
            .iter()
            .map(|(name, amount)| Resource {
                name: name.clone(),
                r#type: value::Type::Scalar.into(),
                scalar: Some(*amount),
                ..Resource::default()
            })
            .collect(),
        ..QuotaInfo::default()
    });
    QuotaStatus {
        infos: infos.collect(),
        configs,
    }
}

/// GET_QUOTA.
pub(crate) fn quota(snapshot: &Snapshot, viewer: &Viewer) -> GetQuota {
    GetQuota {
        status: quota_status(snapshot, viewer),
    }
}

/// The maintenance schedule, empty when there is none or it may not be seen.
pub(crate) fn schedule(snapshot: &Snapshot, viewer: &Viewer) -> Schedule {
    if viewer.may(Action::GetMaintenanceSchedule, Object::Any) {
        snapshot.settings.schedule.clone().unwrap_or_default()
    } else {
        Schedule::default()
    }
}

/// GET_MAINTENANCE_SCHEDULE.
pub(crate) fn maintenance_schedule(snapshot: &Snapshot, viewer: &Viewer) -> GetMaintenanceSchedule {
    GetMaintenanceSchedule {
        schedule: schedule(snapshot, viewer),
    }
}

/// Machines that are to go down, with what frameworks answered, and those that are down.
pub(crate) fn cluster_status(snapshot: &Snapshot, viewer: &Viewer) -> ClusterStatus {
    let mut status = ClusterStatus::default();
    if !viewer.may(Action::GetMaintenanceStatus, Object::Any) {
        return status;
    }
    let settings = &snapshot.settings;
    let mut answers: BTreeMap<&MachineKey, Vec<InverseOfferStatus>> = BTreeMap::new();
    for agent in snapshot.agents.values() {
        let Some(planned) = &agent.planned else {
            continue;
        };
        if let Some((key, _)) = settings.machine_of(&agent.info, &agent.ip) {
            answers
                .entry(key)
                .or_default()
                .extend(planned.answers.values().cloned());
        }
    }
    for (key, machine) in &settings.machines {
        if machine.mode() == Mode::Down {
            status.down_machines.push(machine.id.clone());
        } else {
            status.draining_machines.push(DrainingMachine {
                id: machine.id.clone(),
                statuses: answers.remove(key).unwrap_or_default(),
            });
        }
    }
    status
}

/// GET_MAINTENANCE_STATUS.
pub(crate) fn maintenance_status(snapshot: &Snapshot, viewer: &Viewer) -> GetMaintenanceStatus {
    GetMaintenanceStatus {
        status: cluster_status(snapshot, viewer),
    }
}
