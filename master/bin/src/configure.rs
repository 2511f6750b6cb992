//! Flags become the master's configuration.
use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use mesos_allocator::{Policy, Weight, policy_by_name};
use mesos_flags::{MasterFlags, master::Registry};
use mesos_master::config::{Election, MasterConfig, RegistryPlace};
use mesos_types::{Quantities, Scalar};

/// Name of the registry's file under `work_dir`.
const REGISTRY: &str = "registry.redb";

/// The configuration that the flags ask for. May ask the resolver for the host's name.
pub fn config(flags: &MasterFlags) -> Result<MasterConfig, Box<dyn Error>> {
    let listen = SocketAddr::new(
        IpAddr::V4(flags.ip.unwrap_or(Ipv4Addr::UNSPECIFIED)),
        flags.port,
    );
    let advertise = SocketAddr::new(
        IpAddr::V4(flags.reachable_ip()),
        flags.advertise_port.unwrap_or(0),
    );
    let min_allocatable = flags
        .min_allocatable_resources
        .iter()
        .map(|alternative| {
            alternative
                .iter()
                .map(|(name, amount)| {
                    let amount = Scalar::from_f64(*amount).ok_or_else(|| {
                        format!("--min_allocatable_resources: {amount} is no amount of {name}")
                    })?;
                    Ok((name.as_str(), amount))
                })
                .collect::<Result<Quantities, String>>()
        })
        .collect::<Result<Vec<_>, _>>()?;
    let weights = flags
        .weights
        .iter()
        .map(|(role, weight)| {
            let weight = Weight::from_f64(*weight)
                .ok_or_else(|| format!("--weights: {weight} cannot be the weight of {role}"))?;
            Ok::<_, String>((role.clone(), weight))
        })
        .collect::<Result<_, _>>()?;
    Ok(MasterConfig {
        listen,
        advertise: Some(advertise),
        hostname: Some(flags.host_name()),
        cluster: flags.cluster.clone(),
        domain: flags.domain.clone(),
        registry: match (&flags.registry, &flags.zk) {
            (Registry::InMemory, _) => RegistryPlace::InMemory,
            (Registry::Directory(_), Some(_)) => RegistryPlace::Election,
            (Registry::Directory(path), None) => RegistryPlace::File(path.join(REGISTRY)),
        },
        seed: uuid::Uuid::new_v4().as_u64_pair().0,
        registry_fetch_timeout: flags.registry_fetch_timeout,
        registry_store_timeout: flags.registry_store_timeout,
        election: flags.zk.clone().map(|source| Election {
            source,
            settings: mesos_detector::Settings {
                session_timeout: flags.zk_session_timeout,
            },
        }),
        allocation_interval: flags.allocation_interval,
        offer_timeout: flags.offer_timeout,
        agent_ping_timeout: flags.agent_ping_timeout,
        max_agent_ping_timeouts: u32::try_from(flags.max_agent_ping_timeouts)?,
        agent_reregister_timeout: flags.agent_reregister_timeout,
        agent_removal_interval: flags.agent_removal_interval,
        recovery_agent_removal_limit: flags.recovery_agent_removal_limit,
        registry_gc_interval: flags.registry_gc_interval,
        registry_max_agent_age: flags.registry_max_agent_age,
        registry_max_agent_count: flags.registry_max_agent_count,
        whitelist: flags.whitelist.clone(),
        require_agent_domain: flags.require_agent_domain,
        allocator_agent_recovery_factor: flags.allocator_agent_recovery_factor,
        allocator_recovery_timeout: flags.allocator_recovery_timeout,
        fair_sharing_excluded: flags
            .fair_sharing_excluded_resource_names
            .iter()
            .cloned()
            .collect(),
        role_sorter: policy("role_sorter", &flags.role_sorter)?,
        framework_sorter: policy("framework_sorter", &flags.framework_sorter)?,
        roles: flags
            .roles
            .as_ref()
            .map(|roles| roles.iter().cloned().collect()),
        root_submissions: flags.root_submissions,
        max_completed_frameworks: flags.max_completed_frameworks,
        max_completed_tasks_per_framework: flags.max_completed_tasks_per_framework,
        max_unreachable_tasks_per_framework: flags.max_unreachable_tasks_per_framework,
        max_operator_event_stream_subscribers: flags.max_operator_event_stream_subscribers,
        filter_gpu_resources: flags.filter_gpu_resources,
        min_allocatable,
        weights,
        disabled_endpoints: flags.disabled_endpoints.clone(),
        log_file: log_file(flags),
        flags: flags.effective.clone(),
        ..MasterConfig::default()
    })
}

fn policy(flag: &str, name: &str) -> Result<Arc<dyn Policy>, String> {
    policy_by_name(name)
        .ok_or_else(|| format!("--{flag}: there is no sorter called {name}; known: drf, random"))
}

/// The file that holds the log: what `--external_log_file` names, else ours in `--log_dir`.
fn log_file(flags: &MasterFlags) -> Option<PathBuf> {
    let logging = &flags.logging;
    logging.external_log_file.clone().or_else(|| {
        let dir = logging.log_dir.as_deref()?;
        Some(mesos_logging::log_file(dir, "master"))
    })
}
