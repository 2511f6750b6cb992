//! A core in a box: what it asks for is written down, what it is told is said in short.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use mesos_flags::agent::{ReconfigurationPolicy, Recover};
use mesos_types::parse_resources;

use crate::config::AgentConfig;

/// Settings of an agent in a test.
pub(crate) fn config(work_dir: &Path) -> AgentConfig {
    AgentConfig {
        work_dir: work_dir.to_owned(),
        ip: Ipv4Addr::LOCALHOST,
        port: 5051,
        hostname: "localhost".to_owned(),
        master: "127.0.0.1:5050".to_owned(),
        resources: parse_resources("cpus:4;mem:4096;disk:1000;ports:[31000-32000]", "*").unwrap(),
        detected: Vec::new(),
        attributes: Vec::new(),
        domain: None,
        isolation: vec!["cgroups/cpu".to_owned(), "cgroups/mem".to_owned()],
        cfs: false,
        recover: Recover::Reconnect,
        strict: true,
        reconfiguration_policy: ReconfigurationPolicy::Equal,
        recovery_timeout: Duration::from_secs(900),
        executor_registration_timeout: Duration::from_secs(60),
        executor_reregistration_timeout: Duration::from_secs(2),
        executor_shutdown_grace_period: Duration::from_secs(5),
        executor_environment_variables: Default::default(),
        default_container_info: None,
        switch_user: true,
        registration_backoff_factor: Duration::from_secs(1),
        gc_delay: Duration::from_secs(604_800),
        gc_disk_headroom: 0.1,
        disk_watch_interval: Duration::from_secs(60),
        max_completed_executors: 150,
    }
}
