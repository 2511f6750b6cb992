//! The names and help texts of what the state machine counts.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
};

use mesos_http::Metrics;

use super::whole;
use crate::Handle;

/// Counter, end of the metric's name, help. The counter's name is that of the field of `Counters`.
const COUNTERS: [(&str, &str, &str); COUNTED] = [
    (
        "messages_register_framework",
        "messages_register_framework",
        "SUBSCRIBE calls without a framework id.",
    ),
    (
        "messages_reregister_framework",
        "messages_reregister_framework",
        "SUBSCRIBE calls with a framework id.",
    ),
    (
        "messages_unregister_framework",
        "messages_unregister_framework",
        "TEARDOWN calls.",
    ),
    (
        "messages_launch_tasks",
        "messages_launch_tasks",
        "ACCEPT calls.",
    ),
    (
        "messages_decline_offers",
        "messages_decline_offers",
        "DECLINE calls.",
    ),
    (
        "messages_revive_offers",
        "messages_revive_offers",
        "REVIVE calls.",
    ),
    (
        "messages_suppress_offers",
        "messages_suppress_offers",
        "SUPPRESS calls.",
    ),
    ("messages_kill_task", "messages_kill_task", "KILL calls."),
    (
        "messages_status_update_acknowledgement",
        "messages_status_update_acknowledgement",
        "ACKNOWLEDGE calls.",
    ),
    (
        "messages_operation_status_update_acknowledgement",
        "messages_operation_status_update_acknowledgement",
        "ACKNOWLEDGE_OPERATION_STATUS calls.",
    ),
    (
        "messages_reconcile_tasks",
        "messages_reconcile_tasks",
        "RECONCILE calls.",
    ),
    (
        "messages_reconcile_operations",
        "messages_reconcile_operations",
        "RECONCILE_OPERATIONS calls.",
    ),
    (
        "messages_framework_to_executor",
        "messages_framework_to_executor",
        "MESSAGE calls.",
    ),
    (
        "messages_resource_request",
        "messages_resource_request",
        "REQUEST calls.",
    ),
    (
        "messages_executor_to_framework",
        "messages_executor_to_framework",
        "Messages of executors to their frameworks.",
    ),
    (
        "messages_status_update",
        "messages_status_update",
        "Status updates from agents.",
    ),
    (
        "messages_register_slave",
        "messages_register_slave",
        "Agents that came without an id.",
    ),
    (
        "messages_reregister_slave",
        "messages_reregister_slave",
        "Agents that came back with their id.",
    ),
    (
        "messages_unregister_slave",
        "messages_unregister_slave",
        "Agents that said that they leave.",
    ),
    (
        "messages_exited_executor",
        "messages_exited_executor",
        "Executors that ended, as agents say.",
    ),
    (
        "valid_status_updates",
        "valid_status_updates",
        "Status updates of a task and a framework that are there.",
    ),
    (
        "invalid_status_updates",
        "invalid_status_updates",
        "Other status updates.",
    ),
    (
        "valid_status_update_acknowledgements",
        "valid_status_update_acknowledgements",
        "Acknowledgements of an update that was forwarded.",
    ),
    (
        "invalid_status_update_acknowledgements",
        "invalid_status_update_acknowledgements",
        "Other acknowledgements.",
    ),
    (
        "valid_framework_to_executor_messages",
        "valid_framework_to_executor_messages",
        "Messages to executors that were passed on.",
    ),
    (
        "invalid_framework_to_executor_messages",
        "invalid_framework_to_executor_messages",
        "Messages to executors that were dropped.",
    ),
    (
        "valid_executor_to_framework_messages",
        "valid_executor_to_framework_messages",
        "Messages of executors that were passed on.",
    ),
    (
        "invalid_executor_to_framework_messages",
        "invalid_executor_to_framework_messages",
        "Messages of executors that were dropped.",
    ),
    (
        "messages_operation_status_update",
        "messages_operation_status_update",
        "Updates of offer operations from agents.",
    ),
    (
        "valid_operation_status_updates",
        "valid_operation_status_updates",
        "Updates of offer operations that are known.",
    ),
    (
        "invalid_operation_status_updates",
        "invalid_operation_status_updates",
        "Other updates of offer operations.",
    ),
    (
        "valid_operation_status_update_acknowledgements",
        "valid_operation_status_update_acknowledgements",
        "Acknowledgements of the newest status of an offer operation.",
    ),
    (
        "invalid_operation_status_update_acknowledgements",
        "invalid_operation_status_update_acknowledgements",
        "Other acknowledgements of offer operations.",
    ),
    (
        "tasks_finished",
        "tasks_finished",
        "Tasks that ended in TASK_FINISHED.",
    ),
    (
        "tasks_failed",
        "tasks_failed",
        "Tasks that ended in TASK_FAILED.",
    ),
    (
        "tasks_killed",
        "tasks_killed",
        "Tasks that ended in TASK_KILLED.",
    ),
    ("tasks_lost", "tasks_lost", "Tasks that ended in TASK_LOST."),
    (
        "tasks_error",
        "tasks_error",
        "Tasks that ended in TASK_ERROR.",
    ),
    (
        "tasks_dropped",
        "tasks_dropped",
        "Tasks that ended in TASK_DROPPED.",
    ),
    ("tasks_gone", "tasks_gone", "Tasks that ended in TASK_GONE."),
    (
        "slave_registrations",
        "slave_registrations",
        "Agents admitted for the first time.",
    ),
    (
        "slave_reregistrations",
        "slave_reregistrations",
        "Agents taken back.",
    ),
    (
        "slave_removals",
        "slave_removals",
        "Registered agents that were removed.",
    ),
    (
        "slave_removals_unhealthy",
        "slave_removals/reason_unhealthy",
        "Registered agents removed because they were silent.",
    ),
    (
        "slave_removals_unregistered",
        "slave_removals/reason_unregistered",
        "Registered agents removed because they said that they leave.",
    ),
    (
        "slave_removals_registered",
        "slave_removals/reason_registered",
        "Registered agents removed because another one came at their address.",
    ),
    (
        "recovery_slave_removals",
        "recovery_slave_removals",
        "Agents that did not come back after this master's start.",
    ),
    (
        "slave_unreachable_scheduled",
        "slave_unreachable_scheduled",
        "Agents about to be marked unreachable.",
    ),
    (
        "slave_unreachable_completed",
        "slave_unreachable_completed",
        "Agents that were marked unreachable.",
    ),
    (
        "slave_unreachable_canceled",
        "slave_unreachable_canceled",
        "Agents that came back before they were marked unreachable.",
    ),
];

/// How many counters there are.
const COUNTED: usize = 50;

/// Declares them, and what is counted for each framework and each reason of an end.
pub(super) fn declare(metrics: &Metrics, master: &Handle) {
    let all = master.counters().all();
    for (field, name, help) in COUNTERS {
        let Some(index) = all.iter().position(|(counter, _)| *counter == field) else {
            continue;
        };
        let counters = master.counters().clone();
        metrics.read_counter(format!("master/{name}"), help, move || {
            counters.all().get(index).map(|(_, n)| whole(*n))
        });
    }
    let counters = master.counters().clone();
    let help = "Runs of the allocator.";
    metrics.read_counter("allocator/mesos/allocation_runs", help, move || {
        Some(whole(counters.allocation_runs.get()))
    });
    let counted = master.clone();
    let publish = master
        .config()
        .flags
        .get("publish_per_framework_metrics")
        .is_none_or(|flag| flag != "false");
    metrics.provider(move |out| {
        principals(&counted, out);
        counted
            .counters()
            .operations
            .write(&counted.snapshot(), out);
        for (name, n) in counted.counters().ends.all() {
            out.insert(format!("master/{name}"), whole(n));
        }
        if publish {
            counted
                .counters()
                .frameworks
                .write(&counted.snapshot(), out);
        }
    });
}

/// What frameworks that are registered asked for, by principal; and which filters are active.
fn principals(master: &Handle, out: &mut BTreeMap<String, f64>) {
    let snapshot = master.snapshot();
    let registered = snapshot.frameworks.values();
    let registered: BTreeSet<&str> = registered
        .filter_map(|framework| framework.info.principal.as_deref())
        .collect();
    for (principal, (received, processed)) in master.counters().principals.of(&registered) {
        let prefix = format!("frameworks/{principal}");
        out.insert(format!("{prefix}/messages_received"), whole(received));
        out.insert(format!("{prefix}/messages_processed"), whole(processed));
    }
    let filters = master
        .counters()
        .offer_filters
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    for (role, active) in filters {
        let name = format!("allocator/mesos/offer_filters/roles/{role}/active");
        out.insert(name, crate::legacy::state::double(active));
    }
}
