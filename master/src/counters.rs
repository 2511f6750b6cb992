//! What the master counts as it goes; `metrics` gives the counters their names.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use mesos_http::{Metrics, metrics::Timer};
use mesos_types::FrameworkId;
use mesos_wire::v1::{TaskState, TaskStatus, scheduler::call::Type};

pub use crate::metrics::{OperationCounts, Tallies};
use crate::registry::Figures;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of the state machine; the field `x` is the metric `master/x`.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Count,)*
            /// For each framework.
            pub frameworks: Tallies,
            /// Offer operations.
            pub operations: OperationCounts,
            /// Ends of tasks by what they were told to be for.
            pub ends: Ends,
            /// How long a run of the allocator took.
            pub allocation_run: Timer,
            /// How long a run was asked for before it began.
            pub allocation_run_latency: Timer,
            /// Filters of frameworks that are active, by role, as counted last.
            pub offer_filters: Mutex<BTreeMap<String, usize>>,
            /// Calls of frameworks, by principal.
            pub principals: Principals,
            /// How long the registry took to store a change.
            pub state_store: Timer,
            /// Numbers of the registry that is open.
            registry: ArcSwapOption<Figures>,
        }

        impl Counters {
            /// Every counter under its metric's name, without `master/`.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)*]
            }
        }
    };
}

counters! {
    /// SUBSCRIBE calls without a framework id.
    messages_register_framework,
    /// SUBSCRIBE calls with a framework id.
    messages_reregister_framework,
    /// TEARDOWN calls.
    messages_unregister_framework,
    /// ACCEPT calls.
    messages_launch_tasks,
    /// DECLINE calls.
    messages_decline_offers,
    /// REVIVE calls.
    messages_revive_offers,
    /// SUPPRESS calls.
    messages_suppress_offers,
    /// KILL calls.
    messages_kill_task,
    /// ACKNOWLEDGE calls.
    messages_status_update_acknowledgement,
    /// ACKNOWLEDGE_OPERATION_STATUS calls.
    messages_operation_status_update_acknowledgement,
    /// RECONCILE calls.
    messages_reconcile_tasks,
    /// RECONCILE_OPERATIONS calls.
    messages_reconcile_operations,
    /// MESSAGE calls.
    messages_framework_to_executor,
    /// REQUEST calls.
    messages_resource_request,
    /// Messages of executors to frameworks.
    messages_executor_to_framework,
    /// Status updates of agents.
    messages_status_update,
    /// Status updates for a task and a framework that are there.
    valid_status_updates,
    /// Other status updates.
    invalid_status_updates,
    /// Acknowledgements of an update that was forwarded.
    valid_status_update_acknowledgements,
    /// Other acknowledgements.
    invalid_status_update_acknowledgements,
    /// Messages to executors that were passed on.
    valid_framework_to_executor_messages,
    /// Messages to executors that were dropped.
    invalid_framework_to_executor_messages,
    /// Messages of executors that were passed on.
    valid_executor_to_framework_messages,
    /// Messages of executors that were dropped.
    invalid_executor_to_framework_messages,
    /// Updates of operations from agents.
    messages_operation_status_update,
    /// Updates of operations that are known.
    valid_operation_status_updates,
    /// Other updates of operations.
    invalid_operation_status_updates,
    /// Acknowledgements of the newest status of an operation.
    valid_operation_status_update_acknowledgements,
    /// Other acknowledgements of operations.
    invalid_operation_status_update_acknowledgements,
    /// Tasks that ended so.
    tasks_finished,
    /// Tasks that ended so.
    tasks_failed,
    /// Tasks that ended so.
    tasks_killed,
    /// Tasks that ended so.
    tasks_lost,
    /// Tasks that ended so.
    tasks_error,
    /// Tasks that ended so.
    tasks_dropped,
    /// Tasks that ended so.
    tasks_gone,
    /// Tasks that ended so.
    tasks_gone_by_operator,
    /// Agents that came without an id.
    messages_register_slave,
    /// Agents that came back with their id.
    messages_reregister_slave,
    /// Agents that said that they leave.
    messages_unregister_slave,
    /// Executors that ended, as agents say.
    messages_exited_executor,
    /// Agents admitted for the first time.
    slave_registrations,
    /// Agents taken back.
    slave_reregistrations,
    /// Registered agents removed, for whatever reason.
    slave_removals,
    /// Registered agents removed because they were silent.
    slave_removals_unhealthy,
    /// Registered agents removed because they said so.
    slave_removals_unregistered,
    /// Registered agents removed because another one took their place.
    slave_removals_registered,
    /// Agents that did not come back after this master's start.
    recovery_slave_removals,
    /// Agents about to be marked unreachable.
    slave_unreachable_scheduled,
    /// Agents marked unreachable.
    slave_unreachable_completed,
    /// Agents that came back before they were marked.
    slave_unreachable_canceled,
    /// Runs of the allocator.
    allocation_runs,
}

/// Why a registered agent is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    Unhealthy,
    Unregistered,
    Replaced,
    Gone,
    Down,
}

/// Calls of frameworks by the principal in their info: how many came, and how many were carried out.
#[derive(Debug, Default)]
pub struct Principals(Mutex<BTreeMap<String, (u64, u64)>>);

impl Principals {
    pub(crate) fn received(&self, principal: &str) {
        self.change(principal, |counts| counts.0 += 1);
    }

    pub(crate) fn processed(&self, principal: &str) {
        self.change(principal, |counts| counts.1 += 1);
    }

    fn change(&self, principal: &str, change: impl FnOnce(&mut (u64, u64))) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = all.get_mut(principal) {
            change(counts);
        } else {
            change(all.entry(principal.to_owned()).or_default());
        }
    }

    /// Those of these principals; what the others did is forgotten, as their frameworks are.
    pub(crate) fn of(&self, principals: &BTreeSet<&str>) -> BTreeMap<String, (u64, u64)> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|principal, _| principals.contains(principal.as_str()));
        all.clone()
    }
}

/// How many tasks ended with a reason, by the metric's name without `master/`.
#[derive(Debug, Default)]
pub struct Ends(Mutex<BTreeMap<String, u64>>);

impl Ends {
    /// `task_failed/source_slave/reason_container_limitation_memory` and the like; agents are slaves there.
    fn add(&self, state: TaskState, status: &TaskStatus) {
        if status.reason.is_none() {
            return;
        }
        let name = format!(
            "{}/{}/{}",
            state.as_str_name(),
            status.source().as_str_name(),
            status.reason().as_str_name()
        );
        let name = name.to_lowercase().replace("agent", "slave");
        *self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(name)
            .or_default() += 1;
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Counters {
    pub(crate) fn subscribe(&self, known_id: bool) {
        let counter = if known_id {
            &self.messages_reregister_framework
        } else {
            &self.messages_register_framework
        };
        counter.add(1);
    }

    pub(crate) fn call(&self, kind: Type) {
        let counter = match kind {
            Type::Teardown => &self.messages_unregister_framework,
            Type::Accept => &self.messages_launch_tasks,
            Type::Decline => &self.messages_decline_offers,
            Type::Revive => &self.messages_revive_offers,
            Type::Suppress => &self.messages_suppress_offers,
            Type::Kill => &self.messages_kill_task,
            Type::Acknowledge => &self.messages_status_update_acknowledgement,
            Type::AcknowledgeOperationStatus => {
                &self.messages_operation_status_update_acknowledgement
            }
            Type::Reconcile => &self.messages_reconcile_tasks,
            Type::ReconcileOperations => &self.messages_reconcile_operations,
            Type::Message => &self.messages_framework_to_executor,
            Type::Request => &self.messages_resource_request,
            Type::Unknown
            | Type::Subscribe
            | Type::AcceptInverseOffers
            | Type::DeclineInverseOffers
            | Type::Shutdown
            | Type::UpdateFramework => return,
        };
        counter.add(1);
    }

    pub(crate) fn update(&self, valid: bool) {
        self.messages_status_update.add(1);
        let counter = if valid {
            &self.valid_status_updates
        } else {
            &self.invalid_status_updates
        };
        counter.add(1);
    }

    pub(crate) fn acknowledgement(&self, valid: bool) {
        let counter = if valid {
            &self.valid_status_update_acknowledgements
        } else {
            &self.invalid_status_update_acknowledgements
        };
        counter.add(1);
    }

    /// An agent said what became of an operation.
    pub(crate) fn operation_update(&self, valid: bool) {
        self.messages_operation_status_update.add(1);
        let counter = if valid {
            &self.valid_operation_status_updates
        } else {
            &self.invalid_operation_status_updates
        };
        counter.add(1);
    }

    /// A framework acknowledged the status of an operation.
    pub(crate) fn operation_acknowledgement(&self, valid: bool) {
        let counter = if valid {
            &self.valid_operation_status_update_acknowledgements
        } else {
            &self.invalid_operation_status_update_acknowledgements
        };
        counter.add(1);
    }

    pub(crate) fn framework_message(&self, valid: bool) {
        let counter = if valid {
            &self.valid_framework_to_executor_messages
        } else {
            &self.invalid_framework_to_executor_messages
        };
        counter.add(1);
    }

    pub(crate) fn executor_message(&self, valid: bool) {
        self.messages_executor_to_framework.add(1);
        let counter = if valid {
            &self.valid_executor_to_framework_messages
        } else {
            &self.invalid_executor_to_framework_messages
        };
        counter.add(1);
    }

    /// A task has ended in `state`.
    pub(crate) fn ended(&self, framework: &FrameworkId, state: TaskState, status: &TaskStatus) {
        let counter = match state {
            TaskState::TaskFinished => &self.tasks_finished,
            TaskState::TaskFailed => &self.tasks_failed,
            TaskState::TaskKilled => &self.tasks_killed,
            TaskState::TaskLost => &self.tasks_lost,
            TaskState::TaskError => &self.tasks_error,
            TaskState::TaskDropped => &self.tasks_dropped,
            TaskState::TaskGone => &self.tasks_gone,
            TaskState::TaskGoneByOperator => &self.tasks_gone_by_operator,
            TaskState::TaskStaging
            | TaskState::TaskStarting
            | TaskState::TaskRunning
            | TaskState::TaskKilling
            | TaskState::TaskUnreachable
            | TaskState::TaskUnknown => return,
        };
        counter.add(1);
        self.frameworks.ended(framework, state);
        self.ends.add(state, status);
    }

    pub(crate) fn agent_came(&self, known_id: bool) {
        let counter = if known_id {
            &self.messages_reregister_slave
        } else {
            &self.messages_register_slave
        };
        counter.add(1);
    }

    pub(crate) fn agent_admitted(&self, back: bool) {
        let counter = if back {
            &self.slave_reregistrations
        } else {
            &self.slave_registrations
        };
        counter.add(1);
    }

    pub(crate) fn agent_left(&self) {
        self.messages_unregister_slave.add(1);
    }

    pub(crate) fn executor_exited(&self) {
        self.messages_exited_executor.add(1);
    }

    pub(crate) fn agent_removed(&self, why: Removal) {
        self.slave_removals.add(1);
        let counter = match why {
            Removal::Unhealthy => &self.slave_removals_unhealthy,
            Removal::Unregistered => &self.slave_removals_unregistered,
            Removal::Replaced => &self.slave_removals_registered,
            // Mesos has no reasons of their own for them.
            Removal::Gone | Removal::Down => return,
        };
        counter.add(1);
    }

    pub(crate) fn unreachable_begun(&self) {
        self.slave_unreachable_scheduled.add(1);
    }

    pub(crate) fn unreachable_canceled(&self) {
        self.slave_unreachable_canceled.add(1);
    }

    /// `recovered`: it had not come back since this master's start.
    pub(crate) fn unreachable_done(&self, recovered: bool) {
        self.slave_unreachable_completed.add(1);
        if recovered {
            self.recovery_slave_removals.add(1);
        }
    }

    /// A run of the allocator that was asked for `waited` before it began.
    pub(crate) fn allocated(&self, took: Duration, waited: Duration) {
        self.allocation_runs.add(1);
        self.allocation_run.record(took);
        self.allocation_run_latency.record(waited);
    }

    /// How many filters of frameworks are active, by role.
    pub(crate) fn filtered(&self, filters: BTreeMap<String, usize>) {
        *self
            .offer_filters
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = filters;
    }

    /// Numbers of the registry that this master writes now, or wrote last.
    pub fn registry(&self) -> Option<Arc<Figures>> {
        self.registry.load_full()
    }

    pub(crate) fn registry_opened(&self, figures: Option<&Figures>) {
        self.registry.store(figures.cloned().map(Arc::new));
    }

    pub(crate) fn registry_done(&self, took: Duration) {
        self.state_store.record(took);
    }

    /// Counters whose timers are among these metrics.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            allocation_run: metrics.timer(
                "allocator/mesos/allocation_run_ms",
                "How long a run of the allocator took, in milliseconds.",
            ),
            allocation_run_latency: metrics.timer(
                "allocator/mesos/allocation_run_latency_ms",
                "How long a run of the allocator was asked for before it began, in milliseconds.",
            ),
            state_store: metrics.timer(
                "registrar/state_store_ms",
                "How long the registry took to store a change, in milliseconds.",
            ),
            ..Self::default()
        }
    }
}
