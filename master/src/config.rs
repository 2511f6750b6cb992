//! What the master is told: plain values, checked by whoever fills them in.
use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use mesos_allocator::{Policy, Weight};
use mesos_detector::{Settings, Source};
use mesos_types::Quantities;
use mesos_wire::v1::DomainInfo;

/// Where the registry of admitted agents is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryPlace {
    /// Forgotten when the master ends.
    InMemory,
    /// The embedded store in this file.
    File(PathBuf),
    /// Beside the election, in the same ZooKeeper.
    Election,
}

/// How the masters of a cluster find out who leads.
#[derive(Debug, Clone)]
pub struct Election {
    /// `--zk`; never a fixed address.
    pub source: Source,
    /// `--zk_session_timeout`
    pub settings: Settings,
}

/// The master's configuration. `Default` is Mesos's.
#[derive(Debug, Clone)]
pub struct MasterConfig {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address that others are told; unset: the one listened on.
    pub advertise: Option<SocketAddr>,
    /// Name of this host as others reach it; unset: the advertised address.
    pub hostname: Option<String>,
    /// `--cluster`
    pub cluster: Option<String>,
    /// `--domain`
    pub domain: Option<DomainInfo>,
    /// `--registry` and `--work_dir`
    pub registry: RegistryPlace,
    /// `--zk`; unset: this master is the only one.
    pub election: Option<Election>,
    /// `--registry_fetch_timeout`: how long a master that was elected may take to read the registry.
    pub registry_fetch_timeout: Duration,
    /// `--registry_store_timeout`: how long a change of the registry may take; then the master steps down, or
    /// ends when it is the only one.
    pub registry_store_timeout: Duration,
    /// `--allocation_interval`: the same unchanged resources go back to the framework that declined them
    /// at most this often.
    pub allocation_interval: Duration,
    /// How long freed resources wait for others to be freed too before they are offered.
    pub allocation_debounce: Duration,
    /// `--offer_timeout`; unset: offers stand until answered.
    pub offer_timeout: Option<Duration>,
    /// `--agent_ping_timeout`
    pub agent_ping_timeout: Duration,
    /// `--max_agent_ping_timeouts`
    pub max_agent_ping_timeouts: u32,
    /// `--agent_reregister_timeout`: how long agents of the registry may take to come back after this
    /// master started.
    pub agent_reregister_timeout: Duration,
    /// `--agent_removal_rate_limit`: least time between two agents that are marked unreachable; unset: none.
    pub agent_removal_interval: Option<Duration>,
    /// `--recovery_agent_removal_limit`: if more than this percentage of the registry's agents does not come
    /// back after this master started, it ends rather than give them up.
    pub recovery_agent_removal_limit: f64,
    /// `--allocator_agent_recovery_factor`: with quotas, nothing is offered before so large a part of the
    /// registry's agents is back.
    pub allocator_agent_recovery_factor: f64,
    /// `--allocator_recovery_timeout`: how long that holds at most.
    pub allocator_recovery_timeout: Duration,
    /// `--role_sorter`
    pub role_sorter: Arc<dyn Policy>,
    /// `--framework_sorter`
    pub framework_sorter: Arc<dyn Policy>,
    /// `--whitelist`: a file of host names; unset: every agent is offered.
    pub whitelist: Option<PathBuf>,
    /// `--require_agent_domain`
    pub require_agent_domain: bool,
    /// `--roles`; unset: any role.
    pub roles: Option<BTreeSet<String>>,
    /// `--root_submissions`
    pub root_submissions: bool,
    /// `--max_completed_frameworks`
    pub max_completed_frameworks: usize,
    /// `--max_completed_tasks_per_framework`
    pub max_completed_tasks_per_framework: usize,
    /// `--max_unreachable_tasks_per_framework`
    pub max_unreachable_tasks_per_framework: usize,
    /// `--filter_gpu_resources`
    pub filter_gpu_resources: bool,
    /// `--min_allocatable_resources`: an offer holds at least one of these.
    pub min_allocatable: Vec<Quantities>,
    /// `--fair_sharing_excluded_resource_names`
    pub fair_sharing_excluded: BTreeSet<String>,
    /// `--weights`, by role.
    pub weights: HashMap<String, Weight>,
    /// Where the random numbers of the random sorters begin.
    pub seed: u64,
    /// `--registry_max_agent_count`: unreachable agents remembered, the oldest forgotten first.
    pub registry_max_agent_count: usize,
    /// `--registry_max_agent_age`
    pub registry_max_agent_age: Duration,
    /// `--registry_gc_interval`
    pub registry_gc_interval: Duration,
    /// Events queued for a framework that reads slowly, before its stream is cut.
    pub stream_records: usize,
    /// The same in bytes.
    pub stream_bytes: usize,
    /// Messages queued for an agent that reads slowly, before its session is cut.
    pub session_messages: usize,
    /// Paths that answer 403, as sent.
    pub disabled_endpoints: Vec<String>,
    /// Operators' event streams at the same time; a new one beyond them ends the oldest.
    pub max_operator_event_stream_subscribers: usize,
    /// The file shown as `/master/log`, if the log goes to one.
    pub log_file: Option<std::path::PathBuf>,
    /// What `/flags` shows: name and value as text.
    pub flags: std::collections::BTreeMap<String, String>,
}

impl Default for MasterConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5050)),
            advertise: None,
            hostname: None,
            cluster: None,
            domain: None,
            registry: RegistryPlace::InMemory,
            election: None,
            registry_fetch_timeout: Duration::from_secs(60),
            registry_store_timeout: Duration::from_secs(20),
            allocation_interval: Duration::from_secs(1),
            allocation_debounce: Duration::from_millis(2),
            offer_timeout: None,
            agent_ping_timeout: Duration::from_secs(15),
            max_agent_ping_timeouts: 5,
            agent_reregister_timeout: Duration::from_secs(600),
            agent_removal_interval: None,
            recovery_agent_removal_limit: 100.0,
            allocator_agent_recovery_factor: 0.8,
            allocator_recovery_timeout: Duration::from_secs(600),
            role_sorter: mesos_allocator::Options::default().role_sorter,
            framework_sorter: mesos_allocator::Options::default().framework_sorter,
            whitelist: None,
            require_agent_domain: false,
            roles: None,
            root_submissions: true,
            max_completed_frameworks: 50,
            max_completed_tasks_per_framework: 1000,
            max_unreachable_tasks_per_framework: 1000,
            filter_gpu_resources: true,
            min_allocatable: mesos_allocator::Options::default().min_allocatable,
            fair_sharing_excluded: BTreeSet::new(),
            weights: HashMap::new(),
            seed: 0,
            registry_max_agent_count: 102_400,
            registry_max_agent_age: Duration::from_secs(14 * 24 * 3600),
            registry_gc_interval: Duration::from_secs(15 * 60),
            stream_records: 1 << 18,
            stream_bytes: 128 << 20,
            session_messages: 1 << 16,
            disabled_endpoints: Vec::new(),
            max_operator_event_stream_subscribers: 1000,
            log_file: None,
            flags: std::collections::BTreeMap::new(),
        }
    }
}
