//! What the operator decides about Docker containers, and how long the engine may take.

use std::{path::PathBuf, time::Duration};

/// How long the engine may take for one call of each kind.
#[derive(Debug, Clone)]
pub struct Deadlines {
    /// Questions and signals: version, inspect, list, kill.
    pub question: Duration,
    /// Making a container; volume plug-ins may be slow.
    pub create: Duration,
    /// Starting one; the engine makes bridge networks one after the other.
    pub start: Duration,
    /// Removing one; big file systems take long.
    pub remove: Duration,
    /// Silence in the middle of an image pull.
    pub pull_stall: Duration,
    /// How long a launch waits for an engine that is restarting.
    pub outage: Duration,
    /// How long recovery holds the agent up for an engine that does not answer. After it the
    /// containers are looked for in the background.
    pub recover: Duration,
    /// How long the end of a container is held back for the last of its output.
    pub output: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            question: Duration::from_secs(10),
            create: Duration::from_secs(60),
            start: Duration::from_secs(120),
            remove: Duration::from_secs(60),
            pull_stall: Duration::from_secs(120),
            outage: Duration::from_secs(10),
            recover: Duration::from_secs(5),
            output: Duration::from_secs(5),
        }
    }
}

/// Name servers for containers of one network (`--default_container_dns`, its docker section).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsRule {
    /// `bridge`, `none`, or the name of a user network; `None`: every network but the host's.
    pub network: Option<String>,
    /// Addresses.
    pub nameservers: Vec<String>,
    /// Search domains.
    pub search: Vec<String>,
    /// Resolver options.
    pub options: Vec<String>,
}

/// Settings of the Docker containerizer.
#[derive(Debug, Clone)]
pub struct DockerOptions {
    /// Unix socket of the engine (`--docker_socket`), with or without `unix://`.
    pub socket: PathBuf,
    /// Id of the agent's work_dir, see [`crate::work_dir_id`]. What carries it in a label is ours.
    pub owner: String,
    /// `--work_dir`, below which persistent volumes lie.
    pub work_dir: PathBuf,
    /// Where the positions of the output writers are kept; need not survive a reboot
    /// (`--runtime_dir`). Becomes `<runtime_dir>/docker/`.
    pub runtime_dir: PathBuf,
    /// Program whose sub-command `docker-logs` copies output: `mesos-containerizer`.
    pub log_writer: PathBuf,
    /// Arguments before those of the writer: `["docker-logs"]`, none for `mesos-docker-logs`.
    pub log_writer_arguments: Vec<String>,
    /// Where the sandbox is mounted in containers (`--sandbox_directory`).
    pub sandbox_directory: String,
    /// Content of a Docker `config.json` with registry credentials (`--docker_config`).
    pub registry_config: Option<serde_json::Value>,
    /// How long ended containers are kept (`--docker_remove_delay`).
    pub remove_delay: Duration,
    /// How long `destroy` waits between SIGTERM and SIGKILL (`--docker_stop_timeout`).
    pub stop_timeout: Duration,
    /// Whether recovery kills containers of ours that the agent does not know
    /// (`--docker_kill_orphans`).
    pub kill_orphans: bool,
    /// Whether requests of CPU are also bounds (`--cgroups_enable_cfs`).
    pub enable_cfs: bool,
    /// Memory of the host in bytes, for the share that decides who dies first.
    pub host_memory: u64,
    /// Name servers.
    pub default_dns: Vec<DnsRule>,
    /// How long the engine may take.
    pub deadlines: Deadlines,
}

impl DockerOptions {
    /// Mesos's defaults: `/var/run/docker.sock`, `/mnt/mesos/sandbox`, removal after 6 hours.
    pub fn new(
        owner: impl Into<String>,
        work_dir: PathBuf,
        runtime_dir: PathBuf,
        log_writer: PathBuf,
    ) -> Self {
        Self {
            socket: PathBuf::from("/var/run/docker.sock"),
            owner: owner.into(),
            work_dir,
            runtime_dir,
            log_writer,
            log_writer_arguments: vec!["docker-logs".to_owned()],
            sandbox_directory: "/mnt/mesos/sandbox".to_owned(),
            registry_config: None,
            remove_delay: Duration::from_secs(6 * 60 * 60),
            stop_timeout: Duration::ZERO,
            kill_orphans: true,
            enable_cfs: false,
            host_memory: host_memory(),
            default_dns: Vec::new(),
            deadlines: Deadlines::default(),
        }
    }
}

/// `MemTotal` of `/proc/meminfo` in bytes; 0 where that cannot be read.
fn host_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}
