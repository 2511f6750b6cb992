//! What is counted for each framework, and how it is named.
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use mesos_types::FrameworkId;
use mesos_wire::v1::{
    TaskState,
    offer::operation::Type as Operation,
    scheduler::{call::Type as Call, event::Type as Event},
};

use crate::state::{Framework, Snapshot};

/// Counters of frameworks by the end of their metrics' names. One that was never moved is 0.
#[derive(Debug, Default)]
pub struct Tallies(Mutex<HashMap<FrameworkId, BTreeMap<&'static str, u64>>>);

/// What can be counted, each the end of a metric's name.
const COUNTED: [&str; 51] = [
    "calls",
    "calls/subscribe",
    "calls/teardown",
    "calls/accept",
    "calls/decline",
    "calls/accept_inverse_offers",
    "calls/decline_inverse_offers",
    "calls/revive",
    "calls/suppress",
    "calls/kill",
    "calls/shutdown",
    "calls/acknowledge",
    "calls/acknowledge_operation_status",
    "calls/reconcile",
    "calls/reconcile_operations",
    "calls/message",
    "calls/request",
    "calls/update_framework",
    "events",
    "events/subscribed",
    "events/offers",
    "events/rescind",
    "events/update",
    "events/update_operation_status",
    "events/message",
    "events/failure",
    "events/error",
    "events/heartbeat",
    "offers/sent",
    "offers/accepted",
    "offers/declined",
    "offers/rescinded",
    "operations",
    "operations/launch",
    "operations/launch_group",
    "operations/reserve",
    "operations/unreserve",
    "operations/create",
    "operations/destroy",
    "operations/grow_volume",
    "operations/shrink_volume",
    "operations/create_disk",
    "operations/destroy_disk",
    "tasks/terminal/task_finished",
    "tasks/terminal/task_failed",
    "tasks/terminal/task_killed",
    "tasks/terminal/task_error",
    "tasks/terminal/task_lost",
    "tasks/terminal/task_dropped",
    "tasks/terminal/task_gone",
    "tasks/terminal/task_gone_by_operator",
];

/// What becomes of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Sent,
    Accepted,
    Declined,
    Rescinded,
}

impl Tallies {
    fn add(&self, id: &FrameworkId, counted: &[&'static str], n: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(id) {
            all.insert(id.clone(), BTreeMap::new());
        }
        if let Some(tally) = all.get_mut(id) {
            for counted in counted {
                *tally.entry(counted).or_default() += n;
            }
        }
    }

    pub(crate) fn call(&self, id: &FrameworkId, kind: Call) {
        let name = match kind {
            Call::Unknown => return,
            Call::Subscribe => "calls/subscribe",
            Call::Teardown => "calls/teardown",
            Call::Accept => "calls/accept",
            Call::Decline => "calls/decline",
            Call::AcceptInverseOffers => "calls/accept_inverse_offers",
            Call::DeclineInverseOffers => "calls/decline_inverse_offers",
            Call::Revive => "calls/revive",
            Call::Suppress => "calls/suppress",
            Call::Kill => "calls/kill",
            Call::Shutdown => "calls/shutdown",
            Call::Acknowledge => "calls/acknowledge",
            Call::AcknowledgeOperationStatus => "calls/acknowledge_operation_status",
            Call::Reconcile => "calls/reconcile",
            Call::ReconcileOperations => "calls/reconcile_operations",
            Call::Message => "calls/message",
            Call::Request => "calls/request",
            Call::UpdateFramework => "calls/update_framework",
        };
        self.add(id, &["calls", name], 1);
    }

    pub(crate) fn event(&self, id: &FrameworkId, kind: Event) {
        let name = match kind {
            Event::Subscribed => "events/subscribed",
            Event::Offers => "events/offers",
            Event::Rescind => "events/rescind",
            Event::Update => "events/update",
            Event::UpdateOperationStatus => "events/update_operation_status",
            Event::Message => "events/message",
            Event::Failure => "events/failure",
            Event::Error => "events/error",
            Event::Heartbeat => "events/heartbeat",
            // Never sent: there is no maintenance yet.
            Event::Unknown | Event::InverseOffers | Event::RescindInverseOffer => return,
        };
        self.add(id, &["events", name], 1);
    }

    pub(crate) fn offers(&self, id: &FrameworkId, fate: Fate, n: usize) {
        let name = match fate {
            Fate::Sent => "offers/sent",
            Fate::Accepted => "offers/accepted",
            Fate::Declined => "offers/declined",
            Fate::Rescinded => "offers/rescinded",
        };
        self.add(id, &[name], n as u64);
    }

    /// An operation of an ACCEPT, refused ones included.
    pub(crate) fn operation(&self, id: &FrameworkId, kind: Operation) {
        let name = match kind {
            Operation::Unknown => return,
            Operation::Launch => "operations/launch",
            Operation::LaunchGroup => "operations/launch_group",
            Operation::Reserve => "operations/reserve",
            Operation::Unreserve => "operations/unreserve",
            Operation::Create => "operations/create",
            Operation::Destroy => "operations/destroy",
            Operation::GrowVolume => "operations/grow_volume",
            Operation::ShrinkVolume => "operations/shrink_volume",
            Operation::CreateDisk => "operations/create_disk",
            Operation::DestroyDisk => "operations/destroy_disk",
        };
        self.add(id, &["operations", name], 1);
    }

    pub(crate) fn ended(&self, id: &FrameworkId, state: TaskState) {
        let name = match state {
            TaskState::TaskFinished => "tasks/terminal/task_finished",
            TaskState::TaskFailed => "tasks/terminal/task_failed",
            TaskState::TaskKilled => "tasks/terminal/task_killed",
            TaskState::TaskError => "tasks/terminal/task_error",
            TaskState::TaskLost => "tasks/terminal/task_lost",
            TaskState::TaskDropped => "tasks/terminal/task_dropped",
            TaskState::TaskGone => "tasks/terminal/task_gone",
            TaskState::TaskGoneByOperator => "tasks/terminal/task_gone_by_operator",
            TaskState::TaskStaging
            | TaskState::TaskStarting
            | TaskState::TaskRunning
            | TaskState::TaskKilling
            | TaskState::TaskUnreachable
            | TaskState::TaskUnknown => return,
        };
        self.add(id, &[name], 1);
    }

    /// The framework is not remembered any more.
    pub(crate) fn forget(&self, id: &FrameworkId) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
    }

    /// Every metric of every framework, also of those that ended and are remembered.
    pub(crate) fn write(&self, snapshot: &Snapshot, out: &mut BTreeMap<String, f64>) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for framework in snapshot
            .frameworks
            .values()
            .chain(snapshot.completed_frameworks.iter())
        {
            let prefix = format!(
                "master/frameworks/{}/{}",
                encoded(framework.name()),
                framework.id
            );
            let tally = all.get(&framework.id);
            for name in COUNTED {
                let count = tally
                    .and_then(|tally| tally.get(name))
                    .copied()
                    .unwrap_or_default();
                #[expect(clippy::cast_precision_loss, reason = "doubles are the format")]
                out.insert(format!("{prefix}/{name}"), count as f64);
            }
            state(framework, &prefix, out);
        }
    }
}

/// What the record of a framework says.
fn state(framework: &Framework, prefix: &str, out: &mut BTreeMap<String, f64>) {
    let flag = |value: bool| f64::from(u8::from(value));
    out.insert(format!("{prefix}/subscribed"), flag(framework.connected()));
    for role in framework.roles.iter() {
        let suppressed = framework.suppressed_roles.contains(role);
        out.insert(
            format!("{prefix}/roles/{role}/suppressed"),
            flag(suppressed),
        );
    }
    for state in [
        TaskState::TaskStaging,
        TaskState::TaskStarting,
        TaskState::TaskRunning,
        TaskState::TaskKilling,
        TaskState::TaskUnreachable,
    ] {
        let tasks = framework
            .tasks
            .values()
            .chain(framework.unreachable_tasks.values());
        let count = tasks.filter(|task| task.state == state).count();
        let name = state.as_str_name().to_lowercase();
        out.insert(
            format!("{prefix}/tasks/active/{name}"),
            crate::legacy::state::double(count),
        );
    }
}

/// Percent-encoded, so that a name cannot look like more than one part of a metric's.
fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded() {
        assert_eq!(encoded("my fw/ä"), "my%20fw%2F%C3%A4");
        assert_eq!(encoded("ops-fw_1.2~"), "ops-fw_1.2~");
    }
}
