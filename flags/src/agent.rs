//! The agent's flags, with real types.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use mesos_wire::v1;

pub use crate::agent_table::TABLE;
use crate::{
    checks,
    error::FlagError,
    help,
    load::{Input, Loaded, Notice, Start, asks_for},
    logging::LoggingFlags,
    network,
    value::Value,
};

/// What becomes of containers of an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recover {
    /// They are taken back.
    Reconnect,
    /// They are killed, then the agent exits.
    Cleanup,
}

/// Which changes of resources and attributes are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconfigurationPolicy {
    /// None.
    Equal,
    /// Those that only add.
    Additive,
}

/// How the mesos containerizer starts processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launcher {
    /// In cgroups and namespaces.
    Linux,
    /// In process groups.
    Posix,
}

/// The flags that the agent honours. Each field has the meaning that its flag has in [`TABLE`].
#[derive(Debug, Clone)]
#[allow(
    missing_docs,
    reason = "the help text of each flag is its documentation"
)]
pub struct AgentFlags {
    pub master: mesos_detector::Source,
    pub zk_session_timeout: Duration,
    /// `None`: all interfaces.
    pub ip: Option<Ipv4Addr>,
    pub port: u16,
    /// `None`: found by [`AgentFlags::host_name`].
    pub hostname: Option<String>,
    pub hostname_lookup: bool,
    pub advertise_ip: Option<Ipv4Addr>,
    pub advertise_port: Option<u16>,
    pub domain: Option<v1::DomainInfo>,
    pub registration_backoff_factor: Duration,
    pub http_heartbeat_interval: Duration,
    /// Paths that answer 403.
    pub disabled_endpoints: Vec<String>,

    pub work_dir: PathBuf,
    pub runtime_dir: PathBuf,
    /// `None`: the folder of the agent's program, then `/usr/libexec/mesos`.
    pub launcher_dir: Option<PathBuf>,
    pub frameworks_home: Option<PathBuf>,
    pub recover: Recover,
    pub recovery_timeout: Duration,
    pub strict: bool,
    pub reconfiguration_policy: ReconfigurationPolicy,
    pub max_completed_executors_per_framework: usize,

    /// As given; [`crate::detect::detect`] adds what is missing.
    pub resources: Option<String>,
    pub attributes: Vec<v1::Attribute>,
    pub default_role: String,

    pub executor_registration_timeout: Duration,
    pub executor_reregistration_timeout: Duration,
    pub executor_shutdown_grace_period: Duration,
    pub executor_environment_variables: Option<BTreeMap<String, String>>,
    pub default_container_info: Option<v1::ContainerInfo>,
    pub switch_user: bool,

    /// In the order given.
    pub containerizers: Vec<String>,
    /// In the order given.
    pub isolation: Vec<String>,
    /// `None`: by what the host has.
    pub launcher: Option<Launcher>,
    pub sandbox_directory: PathBuf,
    /// Content of docker's `config.json`.
    pub docker_config: Option<serde_json::Value>,

    pub cgroups_hierarchy: PathBuf,
    pub cgroups_root: String,
    pub cgroups_enable_cfs: bool,
    pub cgroups_limit_swap: bool,

    pub gc_delay: Duration,
    pub gc_disk_headroom: f64,
    pub disk_watch_interval: Duration,
    pub container_disk_watch_interval: Duration,
    pub enforce_container_disk_quota: bool,
    /// In bytes.
    pub fetcher_cache_size: u64,
    pub fetcher_cache_dir: PathBuf,
    pub fetcher_stall_timeout: Duration,

    /// Path, without `unix://`.
    pub docker_socket: PathBuf,
    pub docker_kill_orphans: bool,
    pub docker_remove_delay: Duration,
    pub docker_stop_timeout: Duration,

    pub logging: LoggingFlags,
    /// Every flag that has a value, as `/flags` shows it; secrets are hidden.
    pub effective: BTreeMap<String, String>,
}

impl AgentFlags {
    /// Reads, checks and completes the flags. Runs `--ip_discovery_command` if there is one.
    pub fn load(input: &Input) -> Result<Start<Self>, FlagError> {
        if asks_for(input, "help") {
            return Ok(Start::Print(help::usage(&TABLE)));
        }
        if asks_for(input, "version") {
            return Ok(Start::Print(help::version()));
        }
        let mut loaded = Loaded::load(&TABLE, input)?;
        loaded.adopt("ip", "LIBPROCESS_IP", input)?;
        loaded.adopt("advertise_ip", "LIBPROCESS_ADVERTISE_IP", input)?;
        loaded.adopt("advertise_port", "LIBPROCESS_ADVERTISE_PORT", input)?;
        loaded.fallback("master", "127.0.0.1:5050", "a master on this host");
        loaded.fallback("work_dir", "/var/lib/mesos", "the packages' default");
        discover(&mut loaded)?;
        if !loaded.is_set("runtime_dir") {
            let path = default_runtime_dir();
            loaded.replace("runtime_dir", Value::Text(path.display().to_string()));
        }
        together(&loaded)?;
        let notices = std::mem::take(&mut loaded.notices);
        let flags = Self::typed(&loaded)?;
        Ok(Start::Run(Box::new(flags), notices))
    }

    fn typed(loaded: &Loaded) -> Result<Self, FlagError> {
        let path = |name: &str| PathBuf::from(loaded.text(name));
        let some_path = |name: &str| {
            loaded
                .opt_text(name)
                .filter(|text| !text.is_empty())
                .map(PathBuf::from)
        };
        let refused = |name: &'static str| move |problem| loaded.refuse(name, problem);
        Ok(Self {
            master: loaded.opt_masters("master").expect("there is a fallback"),
            zk_session_timeout: loaded.duration("zk_session_timeout"),
            ip: address(loaded, "ip"),
            port: port(loaded, "port").unwrap_or_default(),
            hostname: loaded.opt_text("hostname").filter(|name| !name.is_empty()),
            hostname_lookup: loaded.bool("hostname_lookup"),
            advertise_ip: address(loaded, "advertise_ip"),
            advertise_port: port(loaded, "advertise_port"),
            domain: message(loaded, "domain")?,
            registration_backoff_factor: loaded.duration("registration_backoff_factor"),
            http_heartbeat_interval: loaded.duration("http_heartbeat_interval"),
            disabled_endpoints: disabled_endpoints(loaded)?,
            work_dir: path("work_dir"),
            runtime_dir: path("runtime_dir"),
            launcher_dir: some_path("launcher_dir"),
            frameworks_home: some_path("frameworks_home"),
            recover: match loaded.text("recover").as_str() {
                "cleanup" => Recover::Cleanup,
                _ => Recover::Reconnect,
            },
            recovery_timeout: loaded.duration("recovery_timeout"),
            strict: loaded.bool("strict"),
            reconfiguration_policy: match loaded.text("reconfiguration_policy").as_str() {
                "additive" => ReconfigurationPolicy::Additive,
                _ => ReconfigurationPolicy::Equal,
            },
            max_completed_executors_per_framework: count(
                loaded,
                "max_completed_executors_per_framework",
            ),
            resources: loaded.opt_text("resources"),
            attributes: match loaded.opt_text("attributes") {
                Some(text) => {
                    crate::detect::parse_attributes(&text).map_err(refused("attributes"))?
                }
                None => Vec::new(),
            },
            default_role: loaded.text("default_role"),
            executor_registration_timeout: loaded.duration("executor_registration_timeout"),
            executor_reregistration_timeout: loaded.duration("executor_reregistration_timeout"),
            executor_shutdown_grace_period: loaded.duration("executor_shutdown_grace_period"),
            executor_environment_variables: loaded
                .opt_json("executor_environment_variables")
                .map(|json| checks::parse_environment(&json))
                .transpose()
                .map_err(refused("executor_environment_variables"))?,
            default_container_info: message(loaded, "default_container_info")?,
            switch_user: loaded.bool("switch_user"),
            containerizers: loaded.list("containerizers"),
            isolation: loaded.list("isolation"),
            launcher: loaded.opt_text("launcher").map(|text| match text.as_str() {
                "linux" => Launcher::Linux,
                _ => Launcher::Posix,
            }),
            sandbox_directory: path("sandbox_directory"),
            docker_config: loaded.opt_json("docker_config"),
            cgroups_hierarchy: path("cgroups_hierarchy"),
            cgroups_root: loaded.text("cgroups_root"),
            cgroups_enable_cfs: loaded.bool("cgroups_enable_cfs"),
            cgroups_limit_swap: loaded.bool("cgroups_limit_swap"),
            gc_delay: loaded.duration("gc_delay"),
            gc_disk_headroom: loaded.float("gc_disk_headroom"),
            disk_watch_interval: loaded.duration("disk_watch_interval"),
            container_disk_watch_interval: loaded.duration("container_disk_watch_interval"),
            enforce_container_disk_quota: loaded.bool("enforce_container_disk_quota"),
            fetcher_cache_size: loaded.bytes("fetcher_cache_size"),
            fetcher_cache_dir: path("fetcher_cache_dir"),
            fetcher_stall_timeout: loaded.duration("fetcher_stall_timeout"),
            docker_socket: {
                let text = loaded.text("docker_socket");
                PathBuf::from(text.strip_prefix("unix://").unwrap_or(&text))
            },
            docker_kill_orphans: loaded.bool("docker_kill_orphans"),
            docker_remove_delay: loaded.duration("docker_remove_delay"),
            docker_stop_timeout: loaded.duration("docker_stop_timeout"),
            logging: LoggingFlags::from(loaded),
            effective: loaded.effective(),
        })
    }

    /// The address that others are told.
    pub fn reachable_ip(&self) -> Ipv4Addr {
        network::reachable(self.advertise_ip, self.ip)
    }

    /// The host name that others are told. May ask the resolver, so it blocks.
    pub fn host_name(&self) -> String {
        network::published(
            self.hostname.as_deref(),
            self.hostname_lookup,
            self.reachable_ip(),
        )
    }
}

/// `/var/run/mesos` where it can be made, as Mesos does.
fn default_runtime_dir() -> PathBuf {
    use nix::unistd::{AccessFlags, access};
    if access(Path::new("/var/run"), AccessFlags::R_OK | AccessFlags::W_OK).is_ok() {
        PathBuf::from("/var/run/mesos")
    } else {
        std::env::temp_dir().join("mesos/runtime")
    }
}

/// Flags that depend on each other.
fn together(loaded: &Loaded) -> Result<(), FlagError> {
    for (a, b) in [("modules", "modules_dir")] {
        if loaded.is_set(a) && loaded.is_set(b) {
            return Err(FlagError::Conflict(format!(
                "--{a} and --{b} exclude each other; give one of them"
            )));
        }
    }
    if loaded.duration("perf_duration") >= loaded.duration("perf_interval") {
        return Err(FlagError::Conflict(
            "--perf_duration must be shorter than --perf_interval".to_owned(),
        ));
    }
    Ok(())
}

pub(crate) fn discover(loaded: &mut Loaded) -> Result<(), FlagError> {
    let Some(command) = loaded.opt_text("ip_discovery_command") else {
        return Ok(());
    };
    if loaded.is_set("ip") {
        return Err(FlagError::Conflict(
            "--ip and --ip_discovery_command exclude each other; give one of them".to_owned(),
        ));
    }
    let ip = network::discover_ip(&command)
        .map_err(|problem| loaded.refuse("ip_discovery_command", problem))?;
    loaded.notices.push(Notice::Info(format!(
        "--ip_discovery_command gave the address {ip}"
    )));
    loaded.replace("ip", Value::Text(ip.to_string()));
    Ok(())
}

pub(crate) fn address(loaded: &Loaded, name: &str) -> Option<Ipv4Addr> {
    loaded.opt_text(name).and_then(|text| text.parse().ok())
}

pub(crate) fn port(loaded: &Loaded, name: &str) -> Option<u16> {
    loaded
        .opt_int(name)
        .and_then(|port| u16::try_from(port).ok())
}

pub(crate) fn count(loaded: &Loaded, name: &str) -> usize {
    usize::try_from(loaded.int(name)).unwrap_or_default()
}

pub(crate) fn message<M: mesos_wire::WireMessage>(
    loaded: &Loaded,
    name: &'static str,
) -> Result<Option<M>, FlagError> {
    loaded
        .opt_json(name)
        .map(|json| checks::message(&Value::Json(json)))
        .transpose()
        .map_err(|problem| loaded.refuse(name, problem))
}

pub(crate) fn disabled_endpoints(loaded: &Loaded) -> Result<Vec<String>, FlagError> {
    let json = loaded.opt_json("firewall_rules");
    json.map(|json| checks::parse_firewall(&json))
        .transpose()
        .map(Option::unwrap_or_default)
        .map_err(|problem| loaded.refuse("firewall_rules", problem))
}
