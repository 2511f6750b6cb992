//! `cgroups/mem` on cgroup v1.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mesos_isolator_api::Limitation;
use mesos_isolator_linux::{
    Cgroup, CgroupError, cgroup::value_of, memory_events::Events, wait::Readable,
};
use mesos_types::ContainerId;
use mesos_wire::v1::ResourceStatistics;

use super::{Hard, Plan, oom};
use crate::CgroupSettings;

/// At and above this `memory.limit_in_bytes` means no bound: the largest multiple of 4 KiB in an
/// i64 is what the kernel shows then; larger pages make it smaller.
const INFINITE_FROM: u64 = (i64::MAX as u64) & !0xf_ffff;

#[derive(Debug)]
pub(super) struct MemV1 {
    root: Cgroup,
    limit_swap: bool,
    watched: Mutex<HashMap<ContainerId, Arc<Watch>>>,
}

/// The kernel's event counters of one container.
#[derive(Debug)]
struct Watch {
    out_of_memory: Events,
    /// low, medium, critical: the descriptor and what has been taken from it so far.
    pressure: [Option<(Events, Mutex<u64>)>; 3],
}

impl Watch {
    fn new(cgroup: &Cgroup) -> Result<Self, CgroupError> {
        let pressure = |level| match Events::pressure_v1(cgroup, level) {
            Ok(events) => Some((events, Mutex::new(0))),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(level, error, "this kernel counts no memory pressure");
                None
            }
        };
        Ok(Self {
            out_of_memory: Events::out_of_memory_v1(cgroup)?,
            pressure: [pressure("low"), pressure("medium"), pressure("critical")],
        })
    }

    fn pressure_counter(&self, level: usize) -> Option<u64> {
        let (events, total) = self.pressure[level].as_ref()?;
        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
        *total += events.take();
        Some(*total)
    }
}

impl MemV1 {
    pub(super) fn new(settings: &CgroupSettings) -> Result<Self, CgroupError> {
        Ok(Self {
            root: settings
                .hierarchies
                .prepare_root("memory", &settings.root, &[])?,
            limit_swap: settings.limit_swap,
            watched: Mutex::default(),
        })
    }

    fn cgroup(&self, id: &ContainerId) -> Cgroup {
        self.root.child(id.value())
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<ContainerId, Arc<Watch>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn prepare(&self, id: &ContainerId, plan: &Plan) -> Result<PathBuf, CgroupError> {
        let cgroup = self.cgroup(id);
        cgroup.create()?;
        cgroup.write("memory.soft_limit_in_bytes", &plan.soft.to_string())?;
        let hard = text(plan.hard);
        // The kernel demands memory plus swap >= memory at any time, so the smaller one first
        // on the way down from "no bound" ...
        cgroup.write("memory.limit_in_bytes", &hard)?;
        if self.limit_swap {
            cgroup.write("memory.memsw.limit_in_bytes", &hard)?;
        }
        let watch = Watch::new(&cgroup)?;
        self.watched().insert(id.clone(), Arc::new(watch));
        Ok(cgroup.file("cgroup.procs"))
    }

    /// After a restart of the agent. What happened meanwhile, `last_limitation` sees in the
    /// kernel's own counters.
    pub(super) fn watch_again(&self, id: &ContainerId) {
        let cgroup = self.cgroup(id);
        if !cgroup.exists() {
            return;
        }
        match Watch::new(&cgroup) {
            Ok(watch) => {
                self.watched().insert(id.clone(), Arc::new(watch));
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(container_id = %id, error, "out-of-memory events are not watched");
            }
        }
    }

    pub(super) fn update(&self, id: &ContainerId, plan: &Plan) -> Result<(), CgroupError> {
        let cgroup = self.cgroup(id);
        cgroup.write("memory.soft_limit_in_bytes", &plan.soft.to_string())?;
        if plan.hard > current(&cgroup)? {
            let hard = text(plan.hard);
            // ... and the larger one first on the way up.
            if self.limit_swap {
                cgroup.write("memory.memsw.limit_in_bytes", &hard)?;
            }
            cgroup.write("memory.limit_in_bytes", &hard)?;
        }
        Ok(())
    }

    pub(super) fn usage(
        &self,
        id: &ContainerId,
        statistics: &mut ResourceStatistics,
    ) -> Result<(), CgroupError> {
        let cgroup = self.cgroup(id);
        statistics.mem_total_bytes = Some(cgroup.read_u64("memory.usage_in_bytes")?);
        if self.limit_swap {
            statistics.mem_total_memsw_bytes =
                Some(cgroup.read_u64("memory.memsw.usage_in_bytes")?);
        }
        let stat = cgroup.read("memory.stat")?;
        statistics.mem_cache_bytes = value_of(&stat, "total_cache");
        statistics.mem_file_bytes = statistics.mem_cache_bytes;
        statistics.mem_rss_bytes = value_of(&stat, "total_rss");
        statistics.mem_anon_bytes = statistics.mem_rss_bytes;
        statistics.mem_mapped_file_bytes = value_of(&stat, "total_mapped_file");
        statistics.mem_swap_bytes = value_of(&stat, "total_swap");
        statistics.mem_unevictable_bytes = value_of(&stat, "total_unevictable");
        let watch = self.watched().get(id).cloned();
        if let Some(watch) = watch {
            statistics.mem_low_pressure_counter = watch.pressure_counter(0);
            statistics.mem_medium_pressure_counter = watch.pressure_counter(1);
            statistics.mem_critical_pressure_counter = watch.pressure_counter(2);
        }
        Ok(())
    }

    pub(super) async fn limitation(&self, id: &ContainerId) -> Limitation {
        // What happened before the watch began, while the agent was away.
        if let Some(limitation) = self.killed_by_count(id) {
            return limitation;
        }
        let watch = self.watched().get(id).cloned();
        let Some(watch) = watch else {
            return std::future::pending().await;
        };
        let events = match Readable::new(watch.out_of_memory.clone()) {
            Ok(events) => events,
            Err(error) => {
                tracing::warn!(container_id = %id, %error, "out-of-memory events are not watched");
                return std::future::pending().await;
            }
        };
        loop {
            if events.readable().await.is_err() {
                return std::future::pending().await;
            }
            events.clear();
            // The removal of the cgroup fires too.
            if watch.out_of_memory.take() > 0 && self.cgroup(id).exists() {
                return self.describe(id);
            }
        }
    }

    pub(super) fn last_limitation(&self, id: &ContainerId) -> Option<Limitation> {
        let fired = self
            .watched()
            .get(id)
            .is_some_and(|watch| watch.out_of_memory.take() > 0);
        if fired && self.cgroup(id).exists() {
            return Some(self.describe(id));
        }
        self.killed_by_count(id)
    }

    /// By the kernel's counters: a kill (Linux 4.13), and the bound had been hit. A kill because the
    /// whole host ran out counts as a kill too, but does not hit the bound.
    fn killed_by_count(&self, id: &ContainerId) -> Option<Limitation> {
        let cgroup = self.cgroup(id);
        let killed = cgroup.read_key("memory.oom_control", "oom_kill").ok()??;
        (killed > 0 && cgroup.read_u64("memory.failcnt").ok()? > 0).then(|| self.describe(id))
    }

    fn describe(&self, id: &ContainerId) -> Limitation {
        let cgroup = self.cgroup(id);
        oom::limitation(
            cgroup.read_u64("memory.limit_in_bytes").ok(),
            cgroup.read_u64("memory.max_usage_in_bytes").ok(),
            "MEMORY STATISTICS: ",
            &cgroup.read("memory.stat").unwrap_or_default(),
        )
    }

    /// Closes the descriptors; the cgroup is the caller's to remove.
    pub(super) fn forget(&self, id: &ContainerId) -> Cgroup {
        self.watched().remove(id);
        self.cgroup(id)
    }
}

fn text(hard: Hard) -> String {
    match hard {
        Hard::Bytes(bytes) => bytes.to_string(),
        Hard::Infinite => "-1".to_owned(),
    }
}

fn current(cgroup: &Cgroup) -> Result<Hard, CgroupError> {
    let text = cgroup.read("memory.limit_in_bytes")?;
    match text.trim().parse::<i64>() {
        Ok(bytes) => Ok(u64::try_from(bytes)
            .ok()
            .filter(|bytes| *bytes < INFINITE_FROM)
            .map_or(Hard::Infinite, Hard::Bytes)),
        Err(_) => Err(cgroup.parse_error("memory.limit_in_bytes", &text, "a number of bytes")),
    }
}
