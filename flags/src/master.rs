//! The master's flags, with real types.

use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf, time::Duration};

use mesos_wire::v1;

pub use crate::master_table::TABLE;
use crate::{
    agent::{address, count, disabled_endpoints, discover, message, port},
    checks,
    error::FlagError,
    help,
    load::{Input, Loaded, Notice, Start, asks_for},
    logging::LoggingFlags,
    network,
};

/// Where the registry is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registry {
    /// In this directory.
    Directory(PathBuf),
    /// In memory; a restart forgets it.
    InMemory,
}

/// The flags that the master honours. Each field has the meaning that its flag has in [`TABLE`].
#[derive(Debug, Clone)]
#[allow(
    missing_docs,
    reason = "the help text of each flag is its documentation"
)]
pub struct MasterFlags {
    /// `None`: all interfaces.
    pub ip: Option<Ipv4Addr>,
    pub port: u16,
    /// `None`: found by [`MasterFlags::host_name`].
    pub hostname: Option<String>,
    pub hostname_lookup: bool,
    pub advertise_ip: Option<Ipv4Addr>,
    pub advertise_port: Option<u16>,
    pub domain: Option<v1::DomainInfo>,
    pub cluster: Option<String>,
    /// Paths that answer 403.
    pub disabled_endpoints: Vec<String>,

    /// The election; `None`: there is none, and this master leads at once.
    pub zk: Option<mesos_detector::Source>,
    pub registry_fetch_timeout: Duration,
    pub registry_store_timeout: Duration,
    pub zk_session_timeout: Duration,
    /// Some with `zk`, unless the registry is in memory. Nothing depends on its number.
    pub quorum: Option<usize>,

    /// `None` only with [`Registry::InMemory`].
    pub work_dir: Option<PathBuf>,
    pub registry: Registry,

    pub allocation_interval: Duration,
    /// `None`: offers stay until they are answered.
    pub offer_timeout: Option<Duration>,
    /// Alternatives; an offer must hold all amounts of one. Empty: anything may be offered.
    pub min_allocatable_resources: Vec<BTreeMap<String, f64>>,
    pub filter_gpu_resources: bool,
    /// `None`: any role.
    pub roles: Option<Vec<String>>,
    pub weights: BTreeMap<String, f64>,
    pub root_submissions: bool,

    pub agent_ping_timeout: Duration,
    pub max_agent_ping_timeouts: usize,
    pub agent_reregister_timeout: Duration,
    /// Least time between two agents that are marked unreachable; `None`: no limit.
    pub agent_removal_interval: Option<Duration>,
    /// In percent.
    pub recovery_agent_removal_limit: f64,
    pub registry_gc_interval: Duration,
    pub registry_max_agent_age: Duration,
    pub registry_max_agent_count: usize,
    pub whitelist: Option<PathBuf>,
    pub require_agent_domain: bool,

    pub allocator_agent_recovery_factor: f64,
    pub allocator_recovery_timeout: Duration,
    pub fair_sharing_excluded_resource_names: Vec<String>,
    /// `drf` or `random`.
    pub framework_sorter: String,
    /// `drf` or `random`.
    pub role_sorter: String,

    pub max_completed_frameworks: usize,
    pub max_completed_tasks_per_framework: usize,
    pub max_unreachable_tasks_per_framework: usize,
    pub max_operator_event_stream_subscribers: usize,

    pub logging: LoggingFlags,
    /// Every flag that has a value, as `/flags` shows it; secrets are hidden.
    pub effective: BTreeMap<String, String>,
}

impl MasterFlags {
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
        if loaded.text("registry") != "in_memory" {
            loaded.fallback("work_dir", "/var/lib/mesos", "the packages' default");
        }
        discover(&mut loaded)?;
        if loaded.is_set("modules") && loaded.is_set("modules_dir") {
            return Err(FlagError::Conflict(
                "--modules and --modules_dir exclude each other; give one of them".to_owned(),
            ));
        }
        quorum(&mut loaded)?;
        let notices = std::mem::take(&mut loaded.notices);
        let flags = Self::typed(&loaded)?;
        Ok(Start::Run(Box::new(flags), notices))
    }

    fn typed(loaded: &Loaded) -> Result<Self, FlagError> {
        let work_dir = loaded.opt_text("work_dir").map(PathBuf::from);
        let refused = |name: &'static str| move |problem| loaded.refuse(name, problem);
        Ok(Self {
            ip: address(loaded, "ip"),
            port: port(loaded, "port").unwrap_or_default(),
            hostname: loaded.opt_text("hostname").filter(|name| !name.is_empty()),
            hostname_lookup: loaded.bool("hostname_lookup"),
            advertise_ip: address(loaded, "advertise_ip"),
            advertise_port: port(loaded, "advertise_port"),
            domain: message(loaded, "domain")?,
            cluster: loaded.opt_text("cluster"),
            disabled_endpoints: disabled_endpoints(loaded)?,
            registry_fetch_timeout: loaded.duration("registry_fetch_timeout"),
            registry_store_timeout: loaded.duration("registry_store_timeout"),
            zk: loaded.opt_masters("zk"),
            zk_session_timeout: loaded.duration("zk_session_timeout"),
            quorum: loaded
                .opt_int("quorum")
                .and_then(|quorum| usize::try_from(quorum).ok()),
            registry: match (loaded.text("registry").as_str(), &work_dir) {
                ("in_memory", _) | (_, None) => Registry::InMemory,
                (_, Some(path)) => Registry::Directory(path.clone()),
            },
            work_dir,
            allocation_interval: loaded.duration("allocation_interval"),
            offer_timeout: loaded.opt_duration("offer_timeout"),
            min_allocatable_resources: checks::parse_allocatable(
                &loaded.text("min_allocatable_resources"),
            )
            .map_err(refused("min_allocatable_resources"))?,
            filter_gpu_resources: loaded.bool("filter_gpu_resources"),
            roles: loaded.opt_list("roles"),
            weights: checks::parse_weights(&loaded.opt_text("weights").unwrap_or_default())
                .map_err(refused("weights"))?,
            root_submissions: loaded.bool("root_submissions"),
            agent_ping_timeout: loaded.duration("agent_ping_timeout"),
            max_agent_ping_timeouts: count(loaded, "max_agent_ping_timeouts"),
            agent_reregister_timeout: loaded.duration("agent_reregister_timeout"),
            agent_removal_interval: loaded
                .opt_text("agent_removal_rate_limit")
                .map(|text| checks::parse_rate(&text))
                .transpose()
                .map_err(refused("agent_removal_rate_limit"))?,
            recovery_agent_removal_limit: loaded.percent("recovery_agent_removal_limit"),
            registry_gc_interval: loaded.duration("registry_gc_interval"),
            registry_max_agent_age: loaded.duration("registry_max_agent_age"),
            registry_max_agent_count: count(loaded, "registry_max_agent_count"),
            whitelist: loaded.opt_text("whitelist").map(PathBuf::from),
            require_agent_domain: loaded.bool("require_agent_domain"),
            allocator_agent_recovery_factor: loaded.float("allocator_agent_recovery_factor"),
            allocator_recovery_timeout: loaded.duration("allocator_recovery_timeout"),
            fair_sharing_excluded_resource_names: loaded
                .opt_list("fair_sharing_excluded_resource_names")
                .unwrap_or_default(),
            framework_sorter: loaded.text("framework_sorter"),
            role_sorter: loaded.text("role_sorter"),
            max_completed_frameworks: count(loaded, "max_completed_frameworks"),
            max_completed_tasks_per_framework: count(loaded, "max_completed_tasks_per_framework"),
            max_unreachable_tasks_per_framework: count(
                loaded,
                "max_unreachable_tasks_per_framework",
            ),
            max_operator_event_stream_subscribers: count(
                loaded,
                "max_operator_event_stream_subscribers",
            ),
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

/// The rule of Mesos, whose replicated log cannot do without; ours needs no number.
fn quorum(loaded: &mut Loaded) -> Result<(), FlagError> {
    let (zk, quorum) = (loaded.is_set("zk"), loaded.is_set("quorum"));
    if zk && !quorum && loaded.text("registry") != "in_memory" {
        return Err(FlagError::Conflict(
            "Need to specify --quorum for replicated log based registry when using ZooKeeper"
                .to_owned(),
        ));
    }
    if quorum && !zk {
        loaded.notices.push(Notice::Warning(
            "--quorum has no effect without --zk: a single master decides alone".to_owned(),
        ));
    }
    Ok(())
}
