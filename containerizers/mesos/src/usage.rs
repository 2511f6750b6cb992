//! What a container uses, as the endpoints show it.

use std::time::{SystemTime, UNIX_EPOCH};

use mesos_containerizer_api::Usage;
use mesos_isolator_api::LimitValue;
use mesos_types::{Limits, Resources};
use mesos_wire::v1::ResourceStatistics;

use crate::{container::Container, containerizer::Shared};

/// Asks every isolator. One that cannot answer leaves its fields out, as a container may end
/// meanwhile.
pub(crate) async fn usage(shared: &Shared, container: &Container) -> Usage {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let mut statistics = ResourceStatistics {
        timestamp: now.as_secs_f64(),
        ..ResourceStatistics::default()
    };
    for isolator in &shared.settings.isolators {
        if let Err(error) = isolator.usage(&container.id, &mut statistics).await {
            tracing::debug!(container_id = %container.id, %error, "no usage");
        }
    }
    let (resources, limits) = container.resources();
    let host = Host {
        enable_cfs: shared.settings.enable_cfs,
        cpus: shared.settings.host_cpus,
        memory: shared.settings.host_memory,
    };
    set_limits(&mut statistics, &resources, &limits, &host);
    Usage { statistics }
}

struct Host {
    enable_cfs: bool,
    cpus: f64,
    memory: u64,
}

/// Requests are soft limits; the hard ones are the limits, for "infinite" what the host has, and
/// without a limit the request. Source: `MesosContainerizerProcess::_usage` of Apache Mesos.
fn set_limits(
    statistics: &mut ResourceStatistics,
    resources: &Resources,
    limits: &Limits,
    host: &Host,
) {
    if let Some(cpus) = resources.cpus() {
        statistics.cpus_soft_limit = Some(cpus.as_f64());
        statistics.cpus_limit = match limits.cpus {
            Some(LimitValue::Infinite) => Some(host.cpus),
            Some(LimitValue::Finite(limit)) => Some(limit.as_f64()),
            None => host.enable_cfs.then_some(cpus.as_f64()),
        };
    }
    if let Some(mem) = resources.mem() {
        statistics.mem_soft_limit_bytes = Some(mem.mib_to_bytes());
        statistics.mem_limit_bytes = Some(match limits.mem {
            Some(LimitValue::Infinite) => host.memory,
            Some(LimitValue::Finite(limit)) => limit.mib_to_bytes(),
            None => mem.mib_to_bytes(),
        });
    }
}

#[cfg(test)]
mod tests {
    use mesos_types::{Resource, Scalar};

    use super::*;

    #[test]
    fn limits_in_statistics_are_those_of_mesos() {
        let scalar = |value| Scalar::from_f64(value).unwrap();
        let resources: Resources = [
            Resource::scalar("cpus", scalar(0.2)),
            Resource::scalar("mem", scalar(64.0)),
        ]
        .into_iter()
        .collect();
        let shown = |limits: Limits, enable_cfs| {
            let mut s = ResourceStatistics::default();
            let host = Host {
                enable_cfs,
                cpus: 4.0,
                memory: 8 << 30,
            };
            set_limits(&mut s, &resources, &limits, &host);
            assert_eq!(
                (s.cpus_soft_limit, s.mem_soft_limit_bytes),
                (Some(0.2), Some(64 << 20))
            );
            (s.cpus_limit, s.mem_limit_bytes)
        };
        assert_eq!(shown(Limits::default(), true), (Some(0.2), Some(64 << 20)));
        assert_eq!(shown(Limits::default(), false), (None, Some(64 << 20)));
        let infinite = Limits {
            cpus: Some(LimitValue::Infinite),
            mem: Some(LimitValue::Infinite),
        };
        assert_eq!(shown(infinite, false), (Some(4.0), Some(8 << 30)));
        let finite = Limits {
            cpus: Some(LimitValue::Finite(scalar(2.0))),
            mem: Some(LimitValue::Finite(scalar(128.0))),
        };
        assert_eq!(shown(finite, false), (Some(2.0), Some(128 << 20)));
    }
}
