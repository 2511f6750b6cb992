//! What the master counts as it goes; `metrics` gives the counters their names.
use std::sync::atomic::{AtomicU64, Ordering};

use mesos_wire::v1::{TaskState, TaskStatus, scheduler::call::Type, task_status::Source};

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
    /// Offers sent.
    offers_sent,
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

    pub(crate) fn offers(&self, n: usize) {
        self.offers_sent.add(n as u64);
    }

    /// A task has ended in `state`.
    pub(crate) fn ended(&self, state: TaskState, status: &TaskStatus) {
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
        if status.source() == Source::Master {
            tracing::debug!(task_id = %status.task_id, ?state, message = status.message(), "a task ended by the master's word");
        }
    }
}
