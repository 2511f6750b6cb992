//! `/health`, `/flags`, `/system/stats.json`, `/__processes__`, `/containerizer/debug`.

use std::{collections::BTreeMap, fs, sync::Arc};

use serde::Serialize;

use crate::{
    auth::{Action, Object},
    request::Request,
    response::Response,
    router::Router,
};

/// Load, processors and memory of the host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SystemStats {
    /// Load average over 15 minutes.
    pub avg_load_15min: f64,
    /// Load average over one minute.
    pub avg_load_1min: f64,
    /// Load average over 5 minutes.
    pub avg_load_5min: f64,
    /// Processors online.
    pub cpus_total: usize,
    /// Free memory, in bytes.
    pub mem_free_bytes: u64,
    /// Memory, in bytes.
    pub mem_total_bytes: u64,
}

impl SystemStats {
    /// Reads them; what cannot be read is zero.
    pub fn read() -> Self {
        let loads = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self::parse(&loads, &memory)
    }

    fn parse(loads: &str, memory: &str) -> Self {
        let mut loads = loads
            .split_whitespace()
            .map(|load| load.parse().unwrap_or(0.0));
        let mut next = || loads.next().unwrap_or(0.0);
        let (avg_load_1min, avg_load_5min, avg_load_15min) = (next(), next(), next());
        let kib = |name: &str| {
            memory
                .lines()
                .find_map(|line| {
                    line.strip_prefix(name)?
                        .strip_prefix(':')?
                        .split_whitespace()
                        .next()?
                        .parse()
                        .ok()
                })
                .unwrap_or(0u64)
        };
        let processors = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN);
        Self {
            avg_load_15min,
            avg_load_1min,
            avg_load_5min,
            cpus_total: processors
                .ok()
                .flatten()
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(0),
            mem_free_bytes: kib("MemFree").saturating_mul(1024),
            mem_total_bytes: kib("MemTotal").saturating_mul(1024),
        }
    }
}

/// Adds `/system/stats.json` and `/__processes__`, which lists `actors`: the long-running parts of the daemon.
pub fn route<S: Clone + Send + Sync + 'static>(
    router: &mut Router<S>,
    actors: &'static [&'static str],
) {
    router
        .get("/system/stats.json", |_: S, _: Request| {
            std::future::ready(Response::json(&SystemStats::read()))
        })
        .bare()
        .ungated();
    router
        .get("/__processes__", move |_: S, _: Request| {
            let list: Vec<_> = actors
                .iter()
                .map(|id| serde_json::json!({ "events": [], "id": id }))
                .collect();
            std::future::ready(Response::json(&list))
        })
        .bare()
        .ungated();
}

/// Adds `/health`: 200 as soon as the port answers.
pub fn route_health<S: Clone + Send + Sync + 'static>(router: &mut Router<S>) {
    router
        .get("/health", |_: S, _: Request| {
            std::future::ready(Response::ok())
        })
        .ungated();
}

/// Adds `/flags`: the flags' effective values as text, secrets left out by the caller.
pub fn route_flags<S: Clone + Send + Sync + 'static>(
    router: &mut Router<S>,
    flags: BTreeMap<String, String>,
) {
    let flags = Arc::new(BTreeMap::from([("flags", flags)]));
    router
        .get("/flags", move |_: S, request: Request| {
            std::future::ready(if request.authorize(Action::ViewFlags, Object::Any) {
                Response::json(&*flags)
            } else {
                Response::forbidden("")
            })
        })
        .ungated();
}

/// Adds `/containerizer/debug`: what `pending` lists are operations on containers under way, each an
/// object with `operation` and its arguments; the way to see what hangs.
pub fn route_containerizer_debug<S, P>(router: &mut Router<S>, pending: P)
where
    S: Clone + Send + Sync + 'static,
    P: Fn() -> Vec<serde_json::Value> + Send + Sync + 'static,
{
    const PATH: &str = "/containerizer/debug";
    router
        .get(PATH, move |_: S, request: Request| {
            std::future::ready(
                if request.authorize(Action::GetEndpoint, Object::Named(PATH)) {
                    Response::json(&serde_json::json!({ "pending": pending() }))
                } else {
                    Response::forbidden("")
                },
            )
        })
        .bare();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let stats = SystemStats::parse(
            "0.50 1.25 2.00 1/234 5678\n",
            "MemTotal:  1000 kB\nMemFree:  10 kB\n",
        );
        assert_eq!(
            (
                stats.avg_load_1min,
                stats.avg_load_5min,
                stats.avg_load_15min
            ),
            (0.5, 1.25, 2.0)
        );
        assert_eq!(
            (stats.mem_total_bytes, stats.mem_free_bytes),
            (1_024_000, 10_240)
        );
        assert!(stats.cpus_total > 0);
    }

    #[test]
    fn the_host_has_memory() {
        assert!(SystemStats::read().mem_total_bytes > 0);
    }
}
