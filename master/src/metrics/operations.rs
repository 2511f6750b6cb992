//! How many offer operations there are and how they end, by type. Launches are none: they are tasks.
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use mesos_wire::v1::{OperationState, offer::operation::Type};

use crate::state::Snapshot;

/// The types that are counted, with the names of their metrics.
const TYPES: [(Type, &str); 8] = [
    (Type::Reserve, "reserve"),
    (Type::Unreserve, "unreserve"),
    (Type::Create, "create"),
    (Type::Destroy, "destroy"),
    (Type::GrowVolume, "grow_volume"),
    (Type::ShrinkVolume, "shrink_volume"),
    (Type::CreateDisk, "create_disk"),
    (Type::DestroyDisk, "destroy_disk"),
];

/// The states that are counted, with the names of their metrics; the first two are how many there are now.
const STATES: [(OperationState, &str); 7] = [
    (OperationState::OperationPending, "pending"),
    (OperationState::OperationUnreachable, "unreachable"),
    (OperationState::OperationFinished, "finished"),
    (OperationState::OperationFailed, "failed"),
    (OperationState::OperationError, "error"),
    (OperationState::OperationDropped, "dropped"),
    (OperationState::OperationGoneByOperator, "gone_by_operator"),
];

/// Counters of operations that ended, and of those on unreachable agents.
#[derive(Debug, Default)]
pub struct OperationCounts(Mutex<BTreeMap<(i32, i32), u64>>);

impl OperationCounts {
    fn change(&self, kind: Type, state: OperationState, change: impl FnOnce(u64) -> u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry((kind.into(), state.into())).or_default();
        *count = change(*count);
    }

    /// One has ended so.
    pub(crate) fn ended(&self, kind: Type, state: OperationState) {
        self.change(kind, state, |count| count + 1);
    }

    /// The agent of one that was under way is unreachable, or not any more.
    pub(crate) fn unreachable(&self, kind: Type, is: bool) {
        self.change(kind, OperationState::OperationUnreachable, |count| {
            if is {
                count + 1
            } else {
                count.saturating_sub(1)
            }
        });
    }

    /// A new term: which operations are on unreachable agents is not known.
    pub(crate) fn begin(&self) {
        let unreachable = i32::from(OperationState::OperationUnreachable);
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(_, state), _| *state != unreachable);
    }

    /// Every metric. Without resource providers nobody has disks to create or destroy: such operations are
    /// refused, and only that is shown of them.
    pub(crate) fn write(&self, snapshot: &Snapshot, out: &mut BTreeMap<String, f64>) {
        let mut counts = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for agent in snapshot.agents.values() {
            for operation in agent.operations.values().filter(|one| !one.is_terminal()) {
                let pending = OperationState::OperationPending.into();
                *counts
                    .entry((operation.kind().into(), pending))
                    .or_default() += 1;
            }
        }
        for (kind, kind_name) in TYPES {
            let refused_only = matches!(kind, Type::CreateDisk | Type::DestroyDisk);
            for (state, state_name) in STATES {
                let count = counts
                    .get(&(kind.into(), state.into()))
                    .copied()
                    .unwrap_or_default();
                let count = super::whole(count);
                *out.entry(format!("master/operations/{state_name}"))
                    .or_default() += count;
                *out.entry("master/operations/total".to_owned()).or_default() += count;
                if !refused_only || state == OperationState::OperationError {
                    let name = format!("master/operations/{kind_name}/{state_name}");
                    out.insert(name, count);
                    *out.entry(format!("master/operations/{kind_name}/total"))
                        .or_default() += count;
                }
            }
        }
    }
}
