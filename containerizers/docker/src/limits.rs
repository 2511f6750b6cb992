//! Requests and limits of CPU and memory as the engine wants them.
//!
//! Source: 8.2's rules of `docker run`: `Docker::RunOptions::create` in `docker/docker.cpp`,
//! constants in `slave/constants.hpp` of Apache Mesos.

use mesos_types::{LimitValue, Limits, Resources, Scalar};

/// Shares of one CPU. Source: `CPU_SHARES_PER_CPU`.
const SHARES_PER_CPU: i64 = 1024;
/// Fewest shares. Source: `MIN_CPU_SHARES`, the kernel's own.
const MIN_SHARES: i64 = 2;
/// Period of the quota in microseconds; the engine's default. Source: `CPU_CFS_PERIOD`.
const PERIOD_MICROS: i64 = 100_000;
/// Smallest quota in microseconds. Source: `MIN_CPU_CFS_QUOTA`.
const MIN_QUOTA_MICROS: i64 = 1000;
/// Smallest memory in bytes. Source: `MIN_MEMORY`.
const MIN_MEMORY: u64 = 32 << 20;

/// What the engine is told; `None` leaves its default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct EngineLimits {
    pub cpu_shares: Option<i64>,
    /// Microseconds per 100 ms; -1: none.
    pub cpu_quota: Option<i64>,
    /// Bytes.
    pub memory: Option<i64>,
    /// Bytes.
    pub memory_reservation: Option<i64>,
    pub oom_score_adj: Option<i64>,
}

/// Computes them; `host_memory` in bytes.
pub(crate) fn engine_limits(
    resources: &Resources,
    limits: &Limits,
    enable_cfs: bool,
    host_memory: u64,
) -> EngineLimits {
    let mut out = EngineLimits::default();
    if let Some(cpus) = resources.cpus() {
        // Three decimals, so integers say exactly what trunc(1024 * cpus) does.
        out.cpu_shares =
            Some((cpus.thousandths().saturating_mul(SHARES_PER_CPU) / 1000).max(MIN_SHARES));
    }
    out.cpu_quota = match (limits.cpus, resources.cpus()) {
        (Some(LimitValue::Infinite), _) => Some(-1),
        (Some(LimitValue::Finite(limit)), _) => Some(quota(limit)),
        (None, Some(request)) if enable_cfs => Some(quota(request)),
        (None, _) => None,
    };
    let request = resources
        .mem()
        .map(|mem| mem.mib_to_bytes().max(MIN_MEMORY));
    match limits.mem {
        None => out.memory = request.map(signed),
        Some(limit) => {
            let limit = match limit {
                LimitValue::Infinite => None,
                LimitValue::Finite(limit) => Some(limit.mib_to_bytes().max(MIN_MEMORY)),
            };
            out.memory = limit.map(signed);
            if let Some(request) = request
                && limit.is_none_or(|limit| request < limit)
            {
                out.memory_reservation = Some(signed(request));
                if host_memory > 0 {
                    let share = (u128::from(request) * 1000 / u128::from(host_memory)).min(1000);
                    out.oom_score_adj = Some(1000 - share as i64);
                }
            }
        }
    }
    out
}

fn quota(cpus: Scalar) -> i64 {
    (cpus.thousandths().saturating_mul(PERIOD_MICROS) / 1000).max(MIN_QUOTA_MICROS)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesos_types::parse_resources;

    const HOST: u64 = 8 << 30;

    fn scalar(value: f64) -> LimitValue {
        LimitValue::Finite(Scalar::from_f64(value).unwrap())
    }

    fn limits(text: &str, limits: Limits, cfs: bool) -> EngineLimits {
        engine_limits(&parse_resources(text, "*").unwrap(), &limits, cfs, HOST)
    }

    #[test]
    fn requests_alone_bound_memory_and_with_cfs_cpu() {
        let plain = limits("cpus:0.5;mem:64", Limits::default(), false);
        assert_eq!(
            plain,
            EngineLimits {
                cpu_shares: Some(512),
                memory: Some(64 << 20),
                ..EngineLimits::default()
            }
        );
        let cfs = limits("cpus:0.5;mem:64", Limits::default(), true);
        assert_eq!(cfs.cpu_quota, Some(50_000));
        // As the recorded `docker run --cpu-shares 102 --cpu-quota 10000 --memory 33554432`.
        let small = limits("cpus:0.1;mem:32", Limits::default(), true);
        assert_eq!(
            (small.cpu_shares, small.cpu_quota, small.memory),
            (Some(102), Some(10_000), Some(33_554_432))
        );
        let tiny = limits("cpus:0.001;mem:1", Limits::default(), true);
        assert_eq!(
            (tiny.cpu_shares, tiny.cpu_quota, tiny.memory),
            (Some(2), Some(1000), Some(32 << 20))
        );
    }

    #[test]
    fn limits_above_requests_reserve_and_mark_who_dies_first() {
        let both = Limits {
            cpus: Some(scalar(2.0)),
            mem: Some(scalar(1024.0)),
        };
        assert_eq!(
            limits("cpus:0.5;mem:512", both, false),
            EngineLimits {
                cpu_shares: Some(512),
                cpu_quota: Some(200_000),
                memory: Some(1 << 30),
                memory_reservation: Some(512 << 20),
                oom_score_adj: Some(1000 - 62),
            }
        );
        let none = Limits {
            cpus: Some(LimitValue::Infinite),
            mem: Some(LimitValue::Infinite),
        };
        let out = limits("cpus:1;mem:512", none, true);
        assert_eq!((out.cpu_quota, out.memory), (Some(-1), None));
        assert_eq!(out.memory_reservation, Some(512 << 20));
        let equal = Limits {
            cpus: None,
            mem: Some(scalar(512.0)),
        };
        let out = limits("cpus:1;mem:512", equal, false);
        assert_eq!(
            (out.memory, out.memory_reservation),
            (Some(512 << 20), None)
        );
        assert_eq!(out.oom_score_adj, None);
    }
}
