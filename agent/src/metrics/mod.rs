//! Metrics that follow from the agent's state, its sandbox collection and the host; each name once.
//!
//! Names and meanings are those of Apache Mesos 1.11. Only what something updates is declared: there is
//! no `slave/executors_preempted` before there is preemption.

mod gauges;
mod host;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use mesos_gc::{Gc, Statistics};
use mesos_http::{Metrics, system::SystemStats};

use crate::state::{Counters, Phase, Snapshots};
use gauges::{Gauges, Memo};
use host::Host;

type OfState = (&'static str, &'static str, fn(&Gauges) -> f64);
type OfCounters = (&'static str, &'static str, fn(&Counters) -> u64);
type OfGc = (&'static str, &'static str, fn(&Statistics) -> f64);
type OfHost = (&'static str, &'static str, fn(&SystemStats) -> f64);

const STATE: &[OfState] = &[
    (
        "slave/registered",
        "1 while a master has registered the agent, else 0.",
        |g| g.registered,
    ),
    (
        "slave/frameworks_active",
        "Frameworks with something on the agent.",
        |g| g.frameworks,
    ),
    (
        "slave/tasks_staging",
        "Tasks that were accepted and have not started.",
        |g| g.tasks_staging,
    ),
    ("slave/tasks_starting", "Tasks in TASK_STARTING.", |g| {
        g.tasks_starting
    }),
    ("slave/tasks_running", "Tasks in TASK_RUNNING.", |g| {
        g.tasks_running
    }),
    ("slave/tasks_killing", "Tasks in TASK_KILLING.", |g| {
        g.tasks_killing
    }),
    (
        "slave/executors_registering",
        "Executors that have not subscribed yet.",
        |g| g.executors_registering,
    ),
    (
        "slave/executors_running",
        "Executors that take tasks.",
        |g| g.executors_running,
    ),
    (
        "slave/executors_terminating",
        "Executors that were told to end.",
        |g| g.executors_terminating,
    ),
    ("slave/cpus_total", "Processors offered.", |g| g.cpus.total),
    (
        "slave/cpus_used",
        "Processors allocated to executors and tasks.",
        |g| g.cpus.used,
    ),
    (
        "slave/cpus_percent",
        "Share of the processors that is allocated, from 0 to 1.",
        |g| g.cpus.share(),
    ),
    ("slave/gpus_total", "GPUs offered.", |g| g.gpus.total),
    (
        "slave/gpus_used",
        "GPUs allocated to executors and tasks.",
        |g| g.gpus.used,
    ),
    (
        "slave/gpus_percent",
        "Share of the GPUs that is allocated, from 0 to 1.",
        |g| g.gpus.share(),
    ),
    ("slave/mem_total", "Memory offered, in MiB.", |g| {
        g.mem.total
    }),
    (
        "slave/mem_used",
        "Memory allocated to executors and tasks, in MiB.",
        |g| g.mem.used,
    ),
    (
        "slave/mem_percent",
        "Share of the memory that is allocated, from 0 to 1.",
        |g| g.mem.share(),
    ),
    ("slave/disk_total", "Disk space offered, in MiB.", |g| {
        g.disk.total
    }),
    (
        "slave/disk_used",
        "Disk space allocated to executors and tasks, in MiB.",
        |g| g.disk.used,
    ),
    (
        "slave/disk_percent",
        "Share of the disk space that is allocated, from 0 to 1.",
        |g| g.disk.share(),
    ),
];

const COUNTERS: &[OfCounters] = &[
    (
        "slave/tasks_finished",
        "Tasks that ended in TASK_FINISHED.",
        |c| c.tasks_finished,
    ),
    (
        "slave/tasks_failed",
        "Tasks that ended in TASK_FAILED.",
        |c| c.tasks_failed,
    ),
    (
        "slave/tasks_killed",
        "Tasks that ended in TASK_KILLED.",
        |c| c.tasks_killed,
    ),
    ("slave/tasks_lost", "Tasks that ended in TASK_LOST.", |c| {
        c.tasks_lost
    }),
    ("slave/tasks_gone", "Tasks that ended in TASK_GONE.", |c| {
        c.tasks_gone
    }),
    (
        "slave/executors_terminated",
        "Executors that have ended.",
        |c| c.executors_terminated,
    ),
    (
        "slave/valid_status_updates",
        "Status updates that were taken.",
        |c| c.valid_status_updates,
    ),
    (
        "slave/invalid_status_updates",
        "Status updates that were refused.",
        |c| c.invalid_status_updates,
    ),
    (
        "slave/valid_framework_messages",
        "Messages between frameworks and executors that were passed on.",
        |c| c.valid_framework_messages,
    ),
    (
        "slave/invalid_framework_messages",
        "Messages between frameworks and executors that were dropped.",
        |c| c.invalid_framework_messages,
    ),
    (
        "slave/container_launch_errors",
        "Containers that failed to launch.",
        |c| c.container_launch_errors,
    ),
    (
        "slave/recovery_errors",
        "Checkpoints that recovery had to leave out.",
        |c| c.recovery_errors,
    ),
];

#[allow(
    clippy::cast_precision_loss,
    reason = "counts are far below 2^53, and doubles are the format"
)]
const GC: &[OfGc] = &[
    (
        "gc/path_removals_pending",
        "Directories that wait for their removal.",
        |s| s.pending as f64,
    ),
    (
        "gc/path_removals_succeeded",
        "Directories that were removed.",
        |s| s.succeeded as f64,
    ),
    (
        "gc/path_removals_failed",
        "Removals that failed; each try counts.",
        |s| s.failed as f64,
    ),
    (
        "slave/executor_directory_max_allowed_age_secs",
        "Age from which sandboxes are removed at present, in seconds; less the fuller the disk is.",
        |s| s.max_allowed_age_secs,
    ),
];

#[allow(
    clippy::cast_precision_loss,
    reason = "counts are far below 2^53, and doubles are the format"
)]
const HOST: &[OfHost] = &[
    ("system/cpus_total", "Processors of the host.", |s| {
        s.cpus_total as f64
    }),
    ("system/load_1min", "Load average over one minute.", |s| {
        s.avg_load_1min
    }),
    ("system/load_5min", "Load average over 5 minutes.", |s| {
        s.avg_load_5min
    }),
    ("system/load_15min", "Load average over 15 minutes.", |s| {
        s.avg_load_15min
    }),
    ("system/mem_free_bytes", "Free memory of the host.", |s| {
        s.mem_free_bytes as f64
    }),
    ("system/mem_total_bytes", "Memory of the host.", |s| {
        s.mem_total_bytes as f64
    }),
];

/// What the parts that run containers count themselves. The first of a timer that nothing has been
/// measured for is 0, and left out.
const PARTS: &[(&str, &str)] = &[
    (
        "containerizer/docker/image_pull_ms",
        "How long the last pull of an image took; absent before the first.",
    ),
    (
        "containerizer/fetcher/task_fetches_succeeded",
        "Containers whose URIs were all fetched.",
    ),
    (
        "containerizer/fetcher/task_fetches_failed",
        "Containers with a URI that could not be fetched.",
    ),
    (
        "containerizer/fetcher/cache_size_total_bytes",
        "Space that the fetcher's cache may take.",
    ),
    (
        "containerizer/fetcher/cache_size_used_bytes",
        "Space that the fetcher's cache takes.",
    ),
];

/// Numbers that a part of the agent keeps itself, by Mesos's names; must answer at once.
pub type Source = Arc<dyn Fn() -> BTreeMap<String, f64> + Send + Sync>;

/// Declares them. Each is read when it is asked for, and all answer at once. Of `parts` only what has a
/// help text here is shown.
pub(crate) fn declare(metrics: &Metrics, snapshots: &Snapshots, gc: &Gc, parts: &[Source]) {
    let parts: Arc<[Source]> = parts.into();
    for &(name, help) in PARTS {
        let parts = parts.clone();
        metrics.read(name, help, move || {
            let value = parts.iter().find_map(|part| part().remove(name))?;
            (value > 0.0 || !name.ends_with("_ms")).then_some(value)
        });
    }
    let memo = Arc::new(Memo::default());
    for &(name, help, value) in STATE {
        let (memo, snapshots) = (memo.clone(), snapshots.clone());
        metrics.read(name, help, move || Some(value(&memo.of(&snapshots.load()))));
    }
    for &(name, help, value) in COUNTERS {
        let snapshots = snapshots.clone();
        #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        metrics.read(name, help, move || {
            Some(value(&snapshots.load().counters) as f64)
        });
    }
    for &(name, help, value) in GC {
        let gc = gc.clone();
        metrics.read(name, help, move || Some(value(&gc.statistics())));
    }
    let host = Arc::new(Host::default());
    for &(name, help, value) in HOST {
        let host = host.clone();
        metrics.read(name, help, move || Some(value(&host.stats())));
    }
    let of = snapshots.clone();
    metrics.read(
        "slave/uptime_secs",
        "Seconds since the agent was started.",
        move || Some((wall_clock() - of.load().started).max(0.0)),
    );
    let of = snapshots.clone();
    metrics.read(
        "slave/recovery_time_secs",
        "How long the last recovery took; absent before its end.",
        move || of.load().recovery_secs,
    );
}

/// Seconds since the epoch.
fn wall_clock() -> f64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

impl Phase {
    fn is_registered(&self) -> bool {
        match self {
            Self::Registered => true,
            Self::Recovering | Self::Disconnected | Self::Terminating => false,
        }
    }
}
