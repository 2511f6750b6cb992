//! What a container uses, read from the cgroups of its first process.

use std::path::{Path, PathBuf};

use mesos_types::{LimitValue, Limits, Resources};
use mesos_wire::v1;

/// Where cgroups are mounted. Source: the Filesystem Hierarchy Standard's `/sys`, systemd.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Reads counters; a file that is not there leaves its fields out. `None`: the process is gone.
pub(crate) fn read(
    pid: u32,
    resources: &Resources,
    limits: &Limits,
    enable_cfs: bool,
    host_memory: u64,
) -> Option<v1::ResourceStatistics> {
    let memberships = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mut out = v1::ResourceStatistics {
        timestamp: std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0.0, |elapsed| elapsed.as_secs_f64()),
        ..v1::ResourceStatistics::default()
    };
    bounds(&mut out, resources, limits, enable_cfs, host_memory);
    let with_cpu_bound = limits.cpus.is_some() || enable_cfs;
    let root = Path::new(CGROUPS);
    match v1_group(root, &memberships, "memory") {
        Some(memory) => {
            cpu_v1(&mut out, root, &memberships, with_cpu_bound);
            let stat = pairs(&memory.join("memory.stat"));
            out.mem_rss_bytes = get(&stat, "total_rss");
        }
        None => {
            let group = unified_group(root, &memberships)?;
            let stat = pairs(&group.join("cpu.stat"));
            let seconds = |name| get(&stat, name).map(|micros| micros as f64 / 1e6);
            out.cpus_user_time_secs = seconds("user_usec");
            out.cpus_system_time_secs = seconds("system_usec");
            if with_cpu_bound {
                out.cpus_nr_periods = get(&stat, "nr_periods").map(narrow);
                out.cpus_nr_throttled = get(&stat, "nr_throttled").map(narrow);
                out.cpus_throttled_time_secs = seconds("throttled_usec");
            }
            out.mem_rss_bytes = get(&pairs(&group.join("memory.stat")), "anon");
        }
    }
    Some(out)
}

/// Requests and limits as the operator sees them. Source: `usage` in
/// `slave/containerizer/docker.cpp` of Apache Mesos.
fn bounds(
    out: &mut v1::ResourceStatistics,
    resources: &Resources,
    limits: &Limits,
    enable_cfs: bool,
    host_memory: u64,
) {
    let cpus = resources.cpus().map(|cpus| cpus.as_f64());
    out.cpus_soft_limit = cpus;
    out.cpus_limit = match limits.cpus {
        Some(LimitValue::Finite(limit)) => Some(limit.as_f64()),
        Some(LimitValue::Infinite) => std::thread::available_parallelism()
            .ok()
            .map(|n| n.get() as f64),
        None if enable_cfs => cpus,
        None => None,
    };
    let request = resources.mem().map(|mem| mem.mib_to_bytes());
    if limits.mem.is_some() {
        out.mem_soft_limit_bytes = request;
    }
    out.mem_limit_bytes = match limits.mem {
        Some(LimitValue::Finite(limit)) => Some(limit.mib_to_bytes()),
        Some(LimitValue::Infinite) => Some(host_memory),
        None => request,
    };
}

fn cpu_v1(out: &mut v1::ResourceStatistics, root: &Path, memberships: &str, with_cpu_bound: bool) {
    if let Some(group) = v1_group(root, memberships, "cpuacct") {
        let stat = pairs(&group.join("cpuacct.stat"));
        let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
            .ok()
            .flatten()
            .map_or(100.0, |ticks| ticks as f64);
        let seconds = |name| get(&stat, name).map(|n| n as f64 / ticks);
        out.cpus_user_time_secs = seconds("user");
        out.cpus_system_time_secs = seconds("system");
    }
    if with_cpu_bound && let Some(group) = v1_group(root, memberships, "cpu") {
        let stat = pairs(&group.join("cpu.stat"));
        out.cpus_nr_periods = get(&stat, "nr_periods").map(narrow);
        out.cpus_nr_throttled = get(&stat, "nr_throttled").map(narrow);
        out.cpus_throttled_time_secs = get(&stat, "throttled_time").map(|nanos| nanos as f64 / 1e9);
    }
}

/// The folder of a cgroup v1 controller: `/proc/<pid>/cgroup` has `id:controllers:path` lines.
/// Source: cgroups(7).
fn v1_group(root: &Path, memberships: &str, controller: &str) -> Option<PathBuf> {
    memberships.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        if !controllers.split(',').any(|name| name == controller) {
            return None;
        }
        let path = path.trim_start_matches('/');
        // Controllers are mounted together or with a link for each.
        [controllers, controller]
            .into_iter()
            .map(|mount| root.join(mount).join(path))
            .find(|group| group.is_dir())
    })
}

fn unified_group(root: &Path, memberships: &str) -> Option<PathBuf> {
    let path = memberships
        .lines()
        .find_map(|line| line.strip_prefix("0::"))?;
    Some(root.join(path.trim_start_matches('/'))).filter(|group| group.is_dir())
}

/// Lines of `name number`.
fn pairs(path: &Path) -> Vec<(String, u64)> {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| {
            let (name, number) = line.split_once(' ')?;
            Some((name.to_owned(), number.trim().parse().ok()?))
        })
        .collect()
}

fn get(pairs: &[(String, u64)], name: &str) -> Option<u64> {
    pairs
        .iter()
        .find(|(found, _)| found == name)
        .map(|(_, number)| *number)
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_a_controller_is_found_however_it_is_mounted() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("cpu,cpuacct/docker/x")).unwrap();
        std::fs::create_dir_all(dir.path().join("memory/docker/x")).unwrap();
        let text = "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n0::/docker/x\n";
        let group = |controller| v1_group(dir.path(), text, controller);
        assert_eq!(
            group("cpuacct"),
            Some(dir.path().join("cpu,cpuacct/docker/x"))
        );
        assert_eq!(group("memory"), Some(dir.path().join("memory/docker/x")));
        assert_eq!(group("pids"), None);
        assert_eq!(unified_group(dir.path(), text), None);
    }

    #[test]
    fn this_process_has_statistics() {
        let resources = mesos_types::parse_resources("cpus:0.5;mem:64", "*").unwrap();
        let out = read(
            std::process::id(),
            &resources,
            &Limits::default(),
            true,
            1 << 30,
        )
        .unwrap();
        assert_eq!(out.cpus_limit, Some(0.5));
        assert_eq!(out.cpus_soft_limit, Some(0.5));
        assert_eq!(out.mem_limit_bytes, Some(64 << 20));
        assert!(out.timestamp > 1e9);
        assert!(read(u32::MAX, &resources, &Limits::default(), true, 0).is_none());
    }
}
