//! What `/metrics/snapshot` shows of the master, under Mesos's names. Each metric is declared here once,
//! and only when something moves it.

mod counters;
mod operations;
mod summary;
mod tally;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mesos_http::{Metrics, system::SystemStats};

pub use operations::OperationCounts;
pub(crate) use tally::Fate;
pub use tally::Tallies;

use crate::{Handle, config::RegistryPlace, legacy::state::double, registry::Figures};
use summary::{Newest, SCALARS, Summary};

/// Name, help and value of a gauge over the state.
type Gauge = (&'static str, &'static str, fn(&Summary) -> usize);

const GAUGES: [Gauge; 15] = [
    (
        "slaves_connected",
        "Registered agents whose control stream is open.",
        |sums| sums.agents_connected,
    ),
    (
        "slaves_disconnected",
        "Registered agents whose control stream is not open.",
        |sums| sums.agents - sums.agents_connected,
    ),
    (
        "slaves_active",
        "Registered agents that are offered.",
        |sums| sums.agents_active,
    ),
    (
        "slaves_inactive",
        "Registered agents that are not offered.",
        |sums| sums.agents - sums.agents_active,
    ),
    (
        "slaves_unreachable",
        "Agents that were silent for too long.",
        |sums| sums.agents_unreachable,
    ),
    (
        "frameworks_connected",
        "Frameworks whose event stream is open.",
        |sums| sums.frameworks_connected,
    ),
    (
        "frameworks_disconnected",
        "Frameworks that may still come back.",
        |sums| sums.frameworks_disconnected,
    ),
    (
        "frameworks_active",
        "Frameworks that are offered resources.",
        |sums| sums.frameworks_active,
    ),
    (
        "frameworks_inactive",
        "Frameworks that are not offered resources.",
        |sums| sums.frameworks_inactive,
    ),
    (
        "outstanding_offers",
        "Offers that are not answered.",
        |sums| sums.outstanding_offers,
    ),
    ("tasks_staging", "Tasks in TASK_STAGING.", |sums| {
        sums.tasks_staging
    }),
    ("tasks_starting", "Tasks in TASK_STARTING.", |sums| {
        sums.tasks_starting
    }),
    ("tasks_running", "Tasks in TASK_RUNNING.", |sums| {
        sums.tasks_running
    }),
    ("tasks_killing", "Tasks in TASK_KILLING.", |sums| {
        sums.tasks_killing
    }),
    ("tasks_unreachable", "Tasks in TASK_UNREACHABLE.", |sums| {
        sums.tasks_unreachable
    }),
];

#[expect(clippy::cast_precision_loss, reason = "doubles are the format")]
fn whole(count: u64) -> f64 {
    count as f64
}

/// What roles hold: known only when asked for.
fn roles(metrics: &Metrics, master: &Handle, newest: &Newest) {
    let (master, newest) = (master.clone(), newest.clone());
    metrics.provider(move |out| {
        let snapshot = master.snapshot();
        let total = newest.get().usage.total;
        for role in crate::roles::used(&snapshot, master.config()) {
            for (name, amount) in role
                .consumed
                .iter()
                .filter(|(name, _)| ["cpus", "mem", "disk"].contains(name))
            {
                out.insert(
                    format!(
                        "allocator/mesos/quota/roles/{}/resources/{name}/consumed",
                        role.name
                    ),
                    amount,
                );
            }
            let mut held = role.allocated.clone();
            held.merge(&role.offered);
            if let Some(quota) = &role.quota {
                let prefix = format!("allocator/mesos/quota/roles/{}/resources", role.name);
                let limits = quota
                    .limits
                    .iter()
                    .map(|(name, limit)| ("limit", name, limit.value));
                let guarantees = quota
                    .guarantees
                    .iter()
                    .map(|(name, guarantee)| ("guarantee", name, guarantee.value));
                for (kind, name, value) in limits.chain(guarantees) {
                    out.insert(format!("{prefix}/{name}/{kind}"), value);
                    let held = held.iter().find(|(held, _)| *held == name.as_str());
                    let held = held.map_or(0.0, |(_, amount)| amount);
                    out.insert(format!("{prefix}/{name}/offered_or_allocated"), held);
                }
            }
            let shares = held.iter().filter_map(|(name, amount)| {
                let index = SCALARS.iter().position(|scalar| *scalar == name)?;
                (total[index] > 0.0).then(|| amount / total[index])
            });
            let share = shares.fold(0.0, f64::max) / role.weight;
            out.insert(
                format!("allocator/mesos/roles/{}/shares/dominant", role.name),
                share,
            );
        }
    });
}

/// Declares every metric that the state and the counters of the master feed.
pub(crate) fn declare(master: &Handle) {
    let metrics = master.metrics();
    let newest = Newest::new(master.clone());
    for (name, help, value) in GAUGES {
        let newest = newest.clone();
        metrics.read(format!("master/{name}"), help, move || {
            Some(double(value(&newest.get())))
        });
    }
    resources(metrics, &newest);
    counters::declare(metrics, master);
    roles(metrics, master, &newest);
    process(metrics, master);
    system(metrics);
}

fn resources(metrics: &Metrics, newest: &Newest) {
    for (index, name) in SCALARS.iter().enumerate() {
        let usage = |suffix: &str, help, value: fn(&Summary, usize) -> f64| {
            let newest = newest.clone();
            metrics.read(format!("master/{name}_{suffix}"), help, move || {
                Some(value(&newest.get(), index))
            });
        };
        usage(
            "total",
            "How much registered agents have.",
            |sums, index| sums.usage.total[index],
        );
        usage(
            "used",
            "How much of it tasks and executors hold.",
            |sums, index| sums.usage.used[index],
        );
        usage(
            "percent",
            "The part of it that is held, from 0 to 1.",
            |sums, index| sums.usage.part(index),
        );
        if *name != "gpus" {
            let prefix = format!("allocator/mesos/resources/{name}");
            let (total, held) = (newest.clone(), newest.clone());
            let help = "How much registered agents have, as the allocator counts.";
            metrics.read(format!("{prefix}/total"), help, move || {
                Some(total.get().usage.total[index])
            });
            let help = "How much is in offers or held by tasks and executors.";
            metrics.read(format!("{prefix}/offered_or_allocated"), help, move || {
                Some(held.get().held[index])
            });
        }
    }
}

fn process(metrics: &Metrics, master: &Handle) {
    let start = master.snapshot().identity.start_time;
    metrics.read(
        "master/uptime_secs",
        "Seconds since the master started.",
        move || {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            Some((now.as_secs_f64() - start).max(0.0))
        },
    );
    let seat = master.clone();
    metrics.read("master/elected", "1 on the master that leads.", move || {
        Some(f64::from(u8::from(seat.leadership().term().is_some())))
    });
    let queue = master.clone();
    let help = "Commands that wait for the owner of the master's state.";
    metrics.read("master/event_queue_dispatches", help, move || {
        Some(double(queue.queued()))
    });
    if master.config().registry != RegistryPlace::InMemory {
        registrar(metrics, master);
    }
}

/// The registry that this master writes while it leads.
fn registrar(metrics: &Metrics, master: &Handle) {
    type Shown = (&'static str, &'static str, fn(&Figures) -> f64);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    const SHOWN: [Shown; 3] = [
        (
            "registrar/queued_operations",
            "Changes of the registry that are not stored yet.",
            |figures| figures.queued() as f64,
        ),
        (
            "registrar/registry_size_bytes",
            "Size of the registry in bytes: of its file, or of keys and values in ZooKeeper.",
            |figures| figures.size_bytes() as f64,
        ),
        (
            "registrar/state_fetch_ms",
            "How long it took to take the registry over and to read it, in milliseconds.",
            |figures| figures.fetch().as_secs_f64() * 1000.0,
        ),
    ];
    for (name, help, read) in SHOWN {
        let counters = master.counters().clone();
        metrics.read(name, help, move || {
            counters.registry().map(|figures| read(&figures))
        });
    }
}

/// Name, help and value of a metric of the host.
type Host = (&'static str, &'static str, fn(&SystemStats) -> f64);

#[expect(clippy::cast_precision_loss, reason = "doubles are the format")]
const HOST: [Host; 6] = [
    ("cpus_total", "Processors of the host.", |stats| {
        stats.cpus_total as f64
    }),
    (
        "load_1min",
        "Load average of the host over 1 minute.",
        |stats| stats.avg_load_1min,
    ),
    (
        "load_5min",
        "Load average of the host over 5 minutes.",
        |stats| stats.avg_load_5min,
    ),
    (
        "load_15min",
        "Load average of the host over 15 minutes.",
        |stats| stats.avg_load_15min,
    ),
    (
        "mem_free_bytes",
        "Free memory of the host in bytes.",
        |stats| stats.mem_free_bytes as f64,
    ),
    ("mem_total_bytes", "Memory of the host in bytes.", |stats| {
        stats.mem_total_bytes as f64
    }),
];

/// How old the figures of the host may be, so that they are read once for the six metrics.
const HOST_AGE: Duration = Duration::from_millis(100);

fn system(metrics: &Metrics) {
    let read: Arc<Mutex<Option<(Instant, SystemStats)>>> = Arc::default();
    for (name, help, value) in HOST {
        let read = read.clone();
        metrics.read(format!("system/{name}"), help, move || {
            let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
            if read.as_ref().is_none_or(|(at, _)| at.elapsed() > HOST_AGE) {
                *read = Some((Instant::now(), SystemStats::read()));
            }
            read.as_ref().map(|(_, stats)| value(stats))
        });
    }
}
