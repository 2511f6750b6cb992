//! Every flag of the Mesos 1.11 master. Defaults are Mesos's own, except where the help text says otherwise.

use crate::{
    checks,
    table::{Flag, Kind, Section, Status, Table},
};

const fn flag(name: &'static str, kind: Kind, help: &'static str) -> Flag {
    Flag::new(name, kind, help)
}

const MODULE: Status = Status::Refused(
    "modules are not supported, and without this one the master would not know who leads",
);

/// The flags of the master.
pub static TABLE: Table = Table {
    daemon: "master",
    old_names: &[],
    shortcuts: &[
        ("ZK", "zk"),
        ("IP", "ip"),
        ("PORT", "port"),
        ("CLUSTER", "cluster"),
        ("LOGS", "log_dir"),
    ],
    zk: "zk",
    sections: &[
        Section {
            title: "General",
            flags: GENERAL,
        },
        Section {
            title: "Network and election",
            flags: NETWORK,
        },
        Section {
            title: "Registry",
            flags: REGISTRY,
        },
        Section {
            title: "Agents",
            flags: AGENTS,
        },
        Section {
            title: "Frameworks and allocation",
            flags: FRAMEWORKS,
        },
        Section {
            title: "Security",
            flags: SECURITY,
        },
        Section {
            title: "Logging",
            flags: crate::logging::FLAGS,
        },
    ],
};

const GENERAL: &[Flag] = &[
    flag("help", Kind::Bool, "Prints the flags and exits.").default("false"),
    flag("version", Kind::Bool, "Prints the version and exits.").default("false"),
    flag("cluster", Kind::Text, "Name of the cluster, for display."),
    flag(
        "webui_dir",
        Kind::Text,
        "Directory of the web interface's files.",
    )
    .default("/usr/share/mesos/webui")
    .not_built(),
    flag("modules", Kind::Json, "Modules to load.").not_built(),
    flag(
        "modules_dir",
        Kind::Path,
        "Directory with manifests of modules to load.",
    )
    .not_built(),
    flag("hooks", Kind::List, "Modules that are called on events.").not_built(),
];

const NETWORK: &[Flag] = &[
    flag("ip", Kind::Ip, "Address to listen on. Excludes --ip_discovery_command.").unset("all interfaces"),
    flag("ip_discovery_command", Kind::Text, "Shell command that prints the address to listen on."),
    flag("port", Kind::Int, "Port to listen on.").default("5050").check(checks::port),
    flag("advertise_ip", Kind::Ip, "Address that others are told to reach this master at.").unset("the address it listens on"),
    flag("advertise_port", Kind::Int, "Port that others are told to reach this master at.").unset("the port it listens on").check(checks::port),
    flag("hostname", Kind::Text, "Host name that the master reports.").unset("a reverse lookup of the address"),
    flag("hostname_lookup", Kind::Bool, "Without --hostname: looks the name of the address up; if false, the address itself is the name.").default("true"),
    flag("domain", Kind::Json, "Fault domain: {\"fault_domain\":{\"region\":{\"name\":...},\"zone\":{\"name\":...}}}.").check(checks::domain),
    flag("zk", Kind::Masters, "ZooKeeper servers of the election and the registry: zk://[USER:PASSWORD@]HOST1:PORT1,HOST2:PORT2/PATH, or a file:// that holds it and is read again for each new session. PATH must not be /.")
        .unset("a single master, which leads at once").check(checks::election),
    flag("zk_session_timeout", Kind::Duration, "ZooKeeper session timeout. A leader that is cut off steps down within it, and the next one leads after it.").default("10secs").check(checks::session_timeout),
    flag("quorum", Kind::Int, "Required with --zk unless --registry=in_memory, as in Mesos. The registry is in ZooKeeper, whose own majority stores it, so the number is only checked.").check(checks::at_least_one),
    flag("master_contender", Kind::Text, "Module that takes part in the election.").status(MODULE),
    flag("master_detector", Kind::Text, "Module that finds the leader.").status(MODULE),
];

const REGISTRY: &[Flag] = &[
    flag("work_dir", Kind::Text, "Directory of the registry. Not needed with --registry=in_memory.").unset("/var/lib/mesos"),
    flag("registry", Kind::Choice(&["replicated_log", "in_memory", "log_storage"]), "Where the registry is: on disk in --work_dir (under Mesos's name for it), or in memory, where a restart forgets it.").default("replicated_log"),
    flag("registry_fetch_timeout", Kind::Duration, "How long reading the registry may take.").default("1mins"),
    flag("registry_store_timeout", Kind::Duration, "How long storing a change of the registry may take.").default("20secs"),
    flag("registry_gc_interval", Kind::Duration, "How often old entries of the registry are removed.").default("15mins").check(checks::positive),
    flag("registry_max_agent_age", Kind::Duration, "How long an unreachable or gone agent stays in the registry.").default("2weeks"),
    flag("registry_max_agent_count", Kind::Int, "How many unreachable and gone agents stay in the registry.").default("102400").check(checks::not_negative),
    flag("registry_strict", Kind::Bool, "Must be false, as in Mesos.").default("false").check(checks::must_be_false),
    flag("log_auto_initialize", Kind::Bool, "Whether an empty replicated log initialises itself. The store here always does.").default("true").not_built(),
    flag("recovery_agent_removal_limit", Kind::Percent, "Largest part of the agents that may be removed after a failover.").default("100%").aliases(&["recovery_slave_removal_limit"]),
];

const AGENTS: &[Flag] = &[
    flag(
        "agent_ping_timeout",
        Kind::Duration,
        "How long an agent may take to answer a ping.",
    )
    .default("15secs")
    .aliases(&["slave_ping_timeout"])
    .check(checks::ping),
    flag(
        "max_agent_ping_timeouts",
        Kind::Int,
        "Pings in a row without answer that make an agent unreachable.",
    )
    .default("5")
    .aliases(&["max_slave_ping_timeouts"])
    .check(checks::at_least_one),
    flag(
        "agent_reregister_timeout",
        Kind::Duration,
        "How long agents may take to come back after a master's restart; at least ten minutes.",
    )
    .default("10mins")
    .aliases(&["slave_reregister_timeout"])
    .check(checks::at_least_ten_minutes),
    flag(
        "agent_removal_rate_limit",
        Kind::Text,
        "Most agents that become unreachable in a time, such as 1/10mins.",
    )
    .unset("no limit")
    .aliases(&["slave_removal_rate_limit"])
    .check(checks::rate),
    flag(
        "whitelist",
        Kind::Path,
        "File with the host names of the agents that are offered.",
    ),
    flag(
        "require_agent_domain",
        Kind::Bool,
        "Whether agents without a domain are turned away.",
    )
    .default("false"),
    flag(
        "max_executors_per_agent",
        Kind::Int,
        "Most executors on one agent.",
    )
    .aliases(&["max_executors_per_slave"])
    .restricts(),
];

const FRAMEWORKS: &[Flag] = &[
    flag("allocation_interval", Kind::Duration, "How often the same unchanged resources may go back to a framework that declined them. Freed ones do not wait for it.").default("1secs").check(checks::positive),
    flag("allocator", Kind::Text, "Allocator.").default("hierarchical").not_built(),
    flag("allocator_agent_recovery_factor", Kind::Float, "Part of the agents that must be back after a failover before offers go on where there are quotas.").default("0.8").check(checks::fraction),
    flag("allocator_recovery_timeout", Kind::Duration, "Longest wait for those agents.").default("10mins"),
    flag("fair_sharing_excluded_resource_names", Kind::List, "Resources that do not count for fair shares."),
    flag("filter_gpu_resources", Kind::Bool, "Whether agents with GPUs are offered only to frameworks with the capability GPU_RESOURCES.").default("true"),
    flag("framework_sorter", Kind::Choice(&["drf", "random"]), "Order of the frameworks of a role.").default("drf"),
    flag("role_sorter", Kind::Choice(&["drf", "random"]), "Order of the roles.").default("drf").aliases(&["user_sorter"]),
    flag("min_allocatable_resources", Kind::Text, "Least of an offer: alternatives separated by |, each NAME:AMOUNT;...").default("cpus:0.01|mem:32").check(checks::allocatable),
    flag("offer_timeout", Kind::Duration, "When an offer that is not answered is rescinded.").unset("never").check(checks::positive),
    flag("offer_constraints_re2_max_mem", Kind::Bytes, "Memory of one regular expression of an offer constraint.").default("4KB").not_built(),
    flag("offer_constraints_re2_max_program_size", Kind::Int, "Size of one compiled regular expression of an offer constraint.").default("100").not_built(),
    flag("roles", Kind::List, "The only roles that frameworks may have, besides *.").unset("any").check(checks::roles),
    flag("weights", Kind::Text, "Weights of roles, such as dev=2,prod=5, for a registry that has none.").check(checks::weights),
    flag("root_submissions", Kind::Bool, "Whether frameworks may run as root.").default("true"),
    flag("max_completed_frameworks", Kind::Int, "Completed frameworks that are kept to be shown.").default("50").check(checks::not_negative),
    flag("max_completed_tasks_per_framework", Kind::Int, "Completed tasks of a framework that are kept to be shown.").default("1000").check(checks::not_negative),
    flag("max_unreachable_tasks_per_framework", Kind::Int, "Unreachable tasks of a framework that are kept.").default("1000").check(checks::not_negative),
    flag("max_operator_event_stream_subscribers", Kind::Int, "Operator event streams at the same time; beyond it the oldest is closed.").default("1000").check(checks::at_least_one),
    flag("publish_per_framework_metrics", Kind::Bool, "Whether metrics count per framework.").default("true").not_built(),
];

const SECURITY: &[Flag] = &[
    flag("acls", Kind::Json, "Who may do what.").restricts(),
    flag(
        "authenticate_agents",
        Kind::Bool,
        "Admits only agents that authenticate.",
    )
    .default("false")
    .aliases(&["authenticate_slaves"])
    .restricts(),
    flag(
        "authenticate_frameworks",
        Kind::Bool,
        "Admits only driver frameworks that authenticate.",
    )
    .default("false")
    .aliases(&["authenticate"])
    .restricts(),
    flag(
        "authenticate_http_frameworks",
        Kind::Bool,
        "Admits only HTTP frameworks that authenticate.",
    )
    .default("false")
    .restricts(),
    flag(
        "authenticate_http_readonly",
        Kind::Bool,
        "Asks for authentication on reading endpoints.",
    )
    .default("false")
    .restricts(),
    flag(
        "authenticate_http_readwrite",
        Kind::Bool,
        "Asks for authentication on changing endpoints.",
    )
    .default("false")
    .aliases(&["authenticate_http"])
    .restricts(),
    flag(
        "authentication_v0_timeout",
        Kind::Duration,
        "How long an authentication may take.",
    )
    .default("15secs")
    .not_built(),
    flag(
        "authenticators",
        Kind::Text,
        "How agents and driver frameworks authenticate.",
    )
    .default("crammd5")
    .restricts(),
    flag(
        "authorizers",
        Kind::Text,
        "Who decides on authorization: local uses --acls.",
    )
    .default("local")
    .restricts(),
    flag(
        "credentials",
        Kind::Path,
        "File with the principals and secrets of agents, frameworks and HTTP clients.",
    )
    .restricts(),
    flag(
        "http_authenticators",
        Kind::List,
        "How HTTP clients authenticate.",
    )
    .default("basic")
    .restricts(),
    flag(
        "http_framework_authenticators",
        Kind::List,
        "How HTTP frameworks authenticate.",
    )
    .restricts(),
    flag(
        "rate_limits",
        Kind::Json,
        "Messages per second that frameworks may send.",
    )
    .restricts(),
    flag(
        "firewall_rules",
        Kind::Json,
        "Endpoints that answer 403: {\"disabled_endpoints\":{\"paths\":[\"/files/browse\"]}}.",
    )
    .check(checks::firewall),
];
