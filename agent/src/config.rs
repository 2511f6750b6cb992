//! What the agent library needs to know of the flags, with real types.

use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf, time::Duration};

use mesos_flags::{
    AgentFlags,
    agent::{ReconfigurationPolicy, Recover},
};
use mesos_types::Resources;
use mesos_wire::v1;

/// Settings of one agent; fixed while it runs.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Root of everything that survives a restart.
    pub work_dir: PathBuf,
    /// Address that others reach the agent on.
    pub ip: Ipv4Addr,
    /// Port that others reach the agent on.
    pub port: u16,
    /// Name it is shown under.
    pub hostname: String,
    /// Where the master is found.
    pub master: mesos_detector::Source,
    /// How ZooKeeper is asked for it.
    pub detection: mesos_detector::Settings,
    /// Everything it offers.
    pub resources: Resources,
    /// Names of resources that no flag gave.
    pub detected: Vec<String>,
    /// What it says about itself.
    pub attributes: Vec<v1::Attribute>,
    /// Region and zone.
    pub domain: Option<v1::DomainInfo>,
    /// Names of `--isolation`.
    pub isolation: Vec<String>,
    /// Whether CPU bounds are enforced by quota (`--cgroups_enable_cfs`).
    pub cfs: bool,
    /// What becomes of containers of an earlier run.
    pub recover: Recover,
    /// Goes on with what can be read of damaged checkpoints when false.
    pub strict: bool,
    /// Which changes of resources and attributes are taken over.
    pub reconfiguration_policy: ReconfigurationPolicy,
    /// How long executors wait for the agent to come back.
    pub recovery_timeout: Duration,
    /// How long a launched executor may take to subscribe.
    pub executor_registration_timeout: Duration,
    /// How long executors may take to subscribe again after an agent restart.
    pub executor_reregistration_timeout: Duration,
    /// How long an executor may take to end, unless it says otherwise itself.
    pub executor_shutdown_grace_period: Duration,
    /// First entries of every executor's environment.
    pub executor_environment_variables: BTreeMap<String, String>,
    /// For executors and tasks without one of their own.
    pub default_container_info: Option<v1::ContainerInfo>,
    /// Run tasks as the user they name.
    pub switch_user: bool,
    /// Longest pause between attempts to register.
    pub registration_backoff_factor: Duration,
    /// Age at which sandboxes are removed.
    pub gc_delay: Duration,
    /// Share of the disk to keep free.
    pub gc_disk_headroom: f64,
    /// How often the disk is looked at.
    pub disk_watch_interval: Duration,
    /// Completed executors that are remembered per framework.
    pub max_completed_executors: usize,
}

impl AgentConfig {
    /// From the flags, what was found out about the host, and the port really bound.
    pub fn new(
        flags: &AgentFlags,
        resources: Resources,
        ip: Ipv4Addr,
        port: u16,
        hostname: String,
    ) -> Self {
        let given = given_names(flags.resources.as_deref().unwrap_or_default());
        let detected = ["cpus", "mem", "disk", "ports"]
            .into_iter()
            .filter(|name| !given.iter().any(|g| g == name))
            .map(str::to_owned)
            .collect();
        Self {
            work_dir: flags.work_dir.clone(),
            ip,
            port,
            hostname,
            master: flags.master.clone(),
            detection: mesos_detector::Settings {
                session_timeout: flags.zk_session_timeout,
            },
            resources,
            detected,
            attributes: flags.attributes.clone(),
            domain: flags.domain.clone(),
            isolation: flags.isolation.clone(),
            cfs: flags.cgroups_enable_cfs,
            recover: flags.recover,
            strict: flags.strict,
            reconfiguration_policy: flags.reconfiguration_policy,
            recovery_timeout: flags.recovery_timeout,
            executor_registration_timeout: flags.executor_registration_timeout,
            executor_reregistration_timeout: flags.executor_reregistration_timeout,
            executor_shutdown_grace_period: flags.executor_shutdown_grace_period,
            executor_environment_variables: flags
                .executor_environment_variables
                .clone()
                .unwrap_or_default(),
            default_container_info: flags.default_container_info.clone(),
            switch_user: flags.switch_user,
            registration_backoff_factor: flags.registration_backoff_factor,
            gc_delay: flags.gc_delay,
            gc_disk_headroom: flags.gc_disk_headroom,
            disk_watch_interval: flags.disk_watch_interval,
            max_completed_executors: flags.max_completed_executors_per_framework,
        }
    }

    /// What the agent registers with, without an id.
    pub fn agent_info(&self) -> v1::AgentInfo {
        v1::AgentInfo {
            hostname: self.hostname.clone(),
            port: Some(i32::from(self.port)),
            resources: self.resources.to_wire(mesos_types::Format::PostRefinement),
            attributes: self.attributes.clone(),
            id: None,
            domain: self.domain.clone(),
        }
    }
}

/// Names of resources that a flag gives, in either syntax.
fn given_names(text: &str) -> Vec<String> {
    mesos_flags::detect::parse_resources(text, "*")
        .map(|resources| resources.names().into_iter().map(str::to_owned).collect())
        .unwrap_or_default()
}
