//! `cgroups/mem` on cgroup v2. Limits sit on `<root>/<id>`, processes in `<root>/<id>/leaf`.

use std::path::PathBuf;

use mesos_isolator_api::Limitation;
use mesos_isolator_linux::{
    Cgroup, CgroupError, cgroup::value_of, memory_events::Changes, wait::Readable,
};
use mesos_types::ContainerId;
use mesos_wire::v1::ResourceStatistics;

use super::{Hard, Plan, oom};
use crate::CgroupSettings;

#[derive(Debug)]
pub(super) struct MemV2 {
    root: Cgroup,
}

impl MemV2 {
    pub(super) fn new(settings: &CgroupSettings) -> Result<Self, CgroupError> {
        Ok(Self {
            root: settings
                .hierarchies
                .prepare_root("memory", &settings.root, &["memory"])?,
        })
    }

    pub(super) fn cgroup(&self, id: &ContainerId) -> Cgroup {
        self.root.child(id.value())
    }

    pub(super) fn prepare(&self, id: &ContainerId, plan: &Plan) -> Result<PathBuf, CgroupError> {
        let cgroup = self.cgroup(id);
        cgroup.create()?;
        let leaf = cgroup.child("leaf");
        leaf.create()?;
        cgroup.write("memory.low", &plan.soft.to_string())?;
        cgroup.write("memory.max", &text(plan.hard))?;
        Ok(leaf.file("cgroup.procs"))
    }

    pub(super) fn update(&self, id: &ContainerId, plan: &Plan) -> Result<(), CgroupError> {
        let cgroup = self.cgroup(id);
        cgroup.write("memory.low", &plan.soft.to_string())?;
        let current = cgroup
            .read_max("memory.max")?
            .map_or(Hard::Infinite, Hard::Bytes);
        if plan.hard > current {
            cgroup.write("memory.max", &text(plan.hard))?;
        }
        Ok(())
    }

    pub(super) fn usage(
        &self,
        id: &ContainerId,
        statistics: &mut ResourceStatistics,
    ) -> Result<(), CgroupError> {
        let cgroup = self.cgroup(id);
        statistics.mem_total_bytes = Some(cgroup.read_u64("memory.current")?);
        let stat = cgroup.read("memory.stat")?;
        statistics.mem_file_bytes = value_of(&stat, "file");
        statistics.mem_cache_bytes = statistics.mem_file_bytes;
        statistics.mem_anon_bytes = value_of(&stat, "anon");
        statistics.mem_rss_bytes = statistics.mem_anon_bytes;
        statistics.mem_mapped_file_bytes = value_of(&stat, "file_mapped");
        statistics.mem_unevictable_bytes = value_of(&stat, "unevictable");
        statistics.mem_kmem_usage_bytes = value_of(&stat, "kernel");
        // Not there without swap accounting.
        statistics.mem_swap_bytes = cgroup.read_u64("memory.swap.current").ok();
        Ok(())
    }

    pub(super) async fn limitation(&self, id: &ContainerId) -> Limitation {
        let cgroup = self.cgroup(id);
        let watch = Changes::of(&cgroup, "memory.events").map_err(std::io::Error::other);
        let watch = watch.and_then(Readable::new);
        let watch = match watch {
            Ok(watch) => watch,
            Err(error) => {
                tracing::warn!(container_id = %id, %error, "out-of-memory events are not watched");
                return std::future::pending().await;
            }
        };
        loop {
            watch.clear();
            watch.get().clear();
            // After the clearing, so that a change in between is told again.
            if let Some(limitation) = self.last_limitation(id) {
                return limitation;
            }
            if watch.readable().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    pub(super) fn last_limitation(&self, id: &ContainerId) -> Option<Limitation> {
        let cgroup = self.cgroup(id);
        let killed = cgroup.read_key("memory.events", "oom_kill").ok()??;
        (killed > 0).then(|| {
            oom::limitation(
                cgroup.read_max("memory.max").ok().flatten(),
                // Linux 5.19.
                cgroup.read_u64("memory.peak").ok(),
                "MEMORY STATISTICS post-OOM: ",
                &cgroup.read("memory.stat").unwrap_or_default(),
            )
        })
    }
}

fn text(hard: Hard) -> String {
    match hard {
        Hard::Bytes(bytes) => bytes.to_string(),
        Hard::Infinite => "max".to_owned(),
    }
}
