//! Every flag of the Mesos 1.11 agent. Defaults are Mesos's own, except where the help text says otherwise.

use crate::{
    checks,
    table::{Flag, Kind, Section, Status, Table},
};

const fn flag(name: &'static str, kind: Kind, help: &'static str) -> Flag {
    Flag::new(name, kind, help)
}

/// The flags of the agent.
pub static TABLE: Table = Table {
    daemon: "agent",
    old_names: &["slave"],
    shortcuts: &[
        ("MASTER", "master"),
        ("IP", "ip"),
        ("LOGS", "log_dir"),
        ("ISOLATION", "isolation"),
    ],
    zk: "master",
    sections: &[
        Section {
            title: "General",
            flags: GENERAL,
        },
        Section {
            title: "Master and network",
            flags: NETWORK,
        },
        Section {
            title: "HTTP and its security",
            flags: HTTP,
        },
        Section {
            title: "Resources and roles",
            flags: RESOURCES,
        },
        Section {
            title: "Directories and recovery",
            flags: DIRECTORIES,
        },
        Section {
            title: "Executors",
            flags: EXECUTORS,
        },
        Section {
            title: "Containerizers and isolation",
            flags: CONTAINERIZERS,
        },
        Section {
            title: "cgroups and Linux",
            flags: LINUX,
        },
        Section {
            title: "Disk, garbage collection, fetcher",
            flags: DISK,
        },
        Section {
            title: "Docker containerizer",
            flags: DOCKER,
        },
        Section {
            title: "Container networks",
            flags: CONTAINER_NETWORKS,
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
];

const NETWORK: &[Flag] = &[
    flag("master", Kind::Masters, "The master to register with: HOST:PORT, zk://HOST1:PORT1,HOST2:PORT2/PATH, or a file:// that holds one of them and is read again for each new connection.")
        .unset("from /etc/mesos/zk, else 127.0.0.1:5050"),
    flag("master_detector", Kind::Text, "Module that finds the master, in place of --master.")
        .status(Status::Refused("modules are not supported, and without its detector the agent would find no master")),
    flag("zk_session_timeout", Kind::Duration, "ZooKeeper session timeout of master detection.").default("10secs").check(checks::session_timeout),
    flag("ip", Kind::Ip, "Address to listen on. Excludes --ip_discovery_command.").unset("all interfaces"),
    flag("ip_discovery_command", Kind::Text, "Shell command that prints the address to listen on."),
    flag("ip6", Kind::Text, "IPv6 address that containers on the host network are told.").not_built(),
    flag("ip6_discovery_command", Kind::Text, "Shell command that prints the address of --ip6.").not_built(),
    flag("port", Kind::Int, "Port to listen on.").default("5051").check(checks::port),
    flag("advertise_ip", Kind::Ip, "Address that others are told to reach this agent at.").unset("the address it listens on"),
    flag("advertise_port", Kind::Int, "Port that others are told to reach this agent at.").unset("the port it listens on").check(checks::port),
    flag("hostname", Kind::Text, "Host name that the agent reports.").unset("a reverse lookup of the address"),
    flag("hostname_lookup", Kind::Bool, "Without --hostname: looks the name of the address up; if false, the address itself is the name.").default("true"),
    flag("domain", Kind::Json, "Fault domain: {\"fault_domain\":{\"region\":{\"name\":...},\"zone\":{\"name\":...}}}.").check(checks::domain),
    flag("registration_backoff_factor", Kind::Duration, "Longest random wait before the first try to register; it doubles up to one minute.")
        .default("1secs").check(checks::at_most_a_minute),
    flag("authenticatee", Kind::Text, "How the agent authenticates with the master.").default("crammd5").not_built(),
    flag("authentication_backoff_factor", Kind::Duration, "Longest random wait before authentication is tried again.").default("1secs").not_built(),
    flag("authentication_timeout_min", Kind::Duration, "Shortest wait for an answer to authentication.").default("5secs").not_built(),
    flag("authentication_timeout_max", Kind::Duration, "Longest wait for an answer to authentication.").default("1mins").not_built(),
    flag("credential", Kind::Path, "File with principal and secret that the agent authenticates with.").restricts(),
    flag("agent_features", Kind::Json, "Capabilities that the agent announces, when not all.").not_built(),
];

const HTTP: &[Flag] = &[
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
    .restricts(),
    flag(
        "authenticate_http_executors",
        Kind::Bool,
        "Asks executors for a token.",
    )
    .default("false")
    .restricts(),
    flag(
        "http_authenticators",
        Kind::List,
        "How HTTP clients authenticate.",
    )
    .default("basic")
    .optional()
    .restricts(),
    flag(
        "http_credentials",
        Kind::Path,
        "File with the principals and secrets of HTTP clients.",
    )
    .restricts(),
    flag(
        "jwt_secret_key",
        Kind::Path,
        "File with the key that executors' tokens are signed with.",
    )
    .aliases(&["executor_secret_key"])
    .restricts(),
    flag(
        "authorizer",
        Kind::Text,
        "Who decides on authorization: local uses --acls.",
    )
    .default("local")
    .restricts(),
    flag("acls", Kind::Json, "Who may do what.").restricts(),
    flag(
        "firewall_rules",
        Kind::Json,
        "Endpoints that answer 403: {\"disabled_endpoints\":{\"paths\":[\"/files/browse\"]}}.",
    )
    .check(checks::firewall),
    flag(
        "http_heartbeat_interval",
        Kind::Duration,
        "Heartbeats on streams of container output and input.",
    )
    .default("30secs"),
];

const RESOURCES: &[Flag] = &[
    flag("resources", Kind::Resources, "What the agent offers: name(role):value;..., or a JSON array of Resource. Names that are left out are detected.")
        .unset("detected: cpus, mem, disk, ports:[31000-32000]"),
    flag("attributes", Kind::Attributes, "What describes the agent: name:value;..."),
    flag("default_role", Kind::Text, "Role of resources that name none.").default("*").check(checks::role),
    flag("resource_provider_config_dir", Kind::Path, "Directory with one configuration of a local resource provider per file.").not_built(),
    flag("csi_plugin_config_dir", Kind::Path, "Directory with one configuration of a CSI plugin per file.").not_built(),
    flag("disk_profile_adaptor", Kind::Text, "Module that gives storage its profiles.").not_built(),
    flag("resource_estimator", Kind::Text, "Module that finds resources to oversubscribe.").not_built(),
    flag("qos_controller", Kind::Text, "Module that protects tasks from oversubscribed ones.").not_built(),
    flag("oversubscribed_resources_interval", Kind::Duration, "How often the estimate of oversubscribable resources is sent.").default("15secs").not_built(),
    flag("qos_correction_interval_min", Kind::Duration, "Shortest time between two corrections for quality of service.").default("0ns").not_built(),
];

const DIRECTORIES: &[Flag] = &[
    flag("work_dir", Kind::Text, "Directory of sandboxes and checkpoints; must outlive a reboot.").unset("/var/lib/mesos"),
    flag("runtime_dir", Kind::Text, "Directory of what the agent must remember until a reboot.").unset("/var/run/mesos, if it can be written, else mesos/runtime in the directory for temporary files"),
    flag("launcher_dir", Kind::Text, "Directory of the helper programs.").unset("the directory of the agent's program, then /usr/libexec/mesos"),
    flag("frameworks_home", Kind::Text, "Directory that relative URIs of tasks start from.").default(""),
    flag("hadoop_home", Kind::Text, "Directory of Hadoop, for hdfs URIs.").not_built(),
    flag("recover", Kind::Choice(&["reconnect", "cleanup"]), "What becomes of containers of an earlier run: taken back, or killed, after which the agent exits.").default("reconnect"),
    flag("recovery_timeout", Kind::Duration, "How long executors wait for the agent to come back.").default("15mins"),
    flag("strict", Kind::Bool, "Whether an error in the checkpoints stops the agent; if false, what cannot be read is given up.").default("true"),
    flag("reconfiguration_policy", Kind::Choice(&["equal", "additive"]), "Which changes of resources and attributes the agent takes over with its old id.").default("equal"),
    flag("max_completed_executors_per_framework", Kind::Int, "Executors that have ended and are kept to be shown.").default("150").check(checks::not_negative),
];

const EXECUTORS: &[Flag] = &[
    flag("executor_registration_timeout", Kind::Duration, "How long a launched executor may take to register.").default("1mins"),
    flag("executor_reregistration_timeout", Kind::Duration, "How long the agent waits after its restart for executors to come back.").default("2secs").check(checks::at_most_15_seconds),
    flag("executor_reregistration_retry_interval", Kind::Duration, "How often driver executors are asked again to come back.").not_built(),
    flag("executor_shutdown_grace_period", Kind::Duration, "How long an executor may take to shut down before it is killed.").default("5secs"),
    flag("executor_environment_variables", Kind::Json, "Environment of executors and tasks: {\"NAME\":\"value\"}.").secret().check(checks::environment),
    flag("http_command_executor", Kind::Bool, "Whether command tasks use the v1 executor API. They need no executor process here, so it changes nothing.").default("false").not_built(),
    flag("http_executor_domain_sockets", Kind::Bool, "Whether executors reach the agent by a unix socket.").default("false").not_built(),
    flag("domain_socket_location", Kind::Text, "The unix socket of executors.").unset("agent.sock in --runtime_dir").not_built(),
    flag("default_container_info", Kind::Json, "ContainerInfo of executors and tasks that bring none.").check(checks::container_info),
    flag("switch_user", Kind::Bool, "Whether tasks run as the user they name; if false, as the agent's user.").default("true"),
    flag("volume_gid_range", Kind::Text, "Group ids for volumes that several users share, such as [10000-20000].").not_built(),
];

const CONTAINERIZERS: &[Flag] = &[
    flag("containerizers", Kind::List, "Containerizers, asked in this order: mesos, docker.").default("mesos").check(checks::containerizers),
    flag("isolation", Kind::List, "Isolators of the mesos containerizer, by name.").default("posix/cpu,posix/mem"),
    flag("launcher", Kind::Choice(&["linux", "posix"]), "How the mesos containerizer starts processes.").unset("linux for root where cgroups are mounted, else posix"),
    flag("image_providers", Kind::List, "Image formats of the mesos containerizer: APPC, DOCKER.").not_built(),
    flag("image_provisioner_backend", Kind::Text, "How image layers become a root file system: copy, bind, overlay, aufs.").not_built(),
    flag("image_gc_config", Kind::Json, "When unused image layers are removed.").not_built(),
    flag("appc_simple_discovery_uri_prefix", Kind::Text, "Where Appc images are looked for.").default("http://").not_built(),
    flag("appc_store_dir", Kind::Text, "Store of Appc images.").default("/tmp/mesos/store/appc").not_built(),
    flag("docker_store_dir", Kind::Text, "Store of Docker images of the mesos containerizer.").default("/tmp/mesos/store/docker").not_built(),
    flag("docker_registry", Kind::Text, "Registry, or directory of saved images, of the mesos containerizer.").default("https://registry-1.docker.io").not_built(),
    flag("docker_config", Kind::Json, "Default content of docker's config.json, for pulls.").secret(),
    flag("docker_ignore_runtime", Kind::Bool, "Whether the mesos containerizer ignores an image's entry point, environment and directory.").default("false").not_built(),
    flag("sandbox_directory", Kind::Text, "Where a container with its own root file system sees its sandbox.").default("/mnt/mesos/sandbox").check(checks::absolute),
    flag("container_logger", Kind::Text, "Module that takes the output of containers.").unset("files in the sandbox").not_built(),
    flag("nvidia_gpu_devices", Kind::List, "Indexes of the GPUs to offer.").not_built(),
    flag("default_container_dns", Kind::Json, "DNS of containers on their own networks.").not_built(),
    flag("secret_resolver", Kind::Text, "Module that resolves secrets.").not_built(),
    flag("hooks", Kind::List, "Modules that are called on events.").not_built(),
    flag("modules", Kind::Json, "Modules to load.").not_built(),
    flag("modules_dir", Kind::Path, "Directory with manifests of modules to load.").not_built(),
];

const LINUX: &[Flag] = &[
    flag("cgroups_hierarchy", Kind::Text, "Where cgroups are mounted.").default("/sys/fs/cgroup").check(checks::absolute),
    flag("cgroups_root", Kind::Text, "Name of the cgroup that all of this agent's are in. Agents on one host need different ones.").default("mesos").check(checks::cgroup),
    flag("cgroups_enable_cfs", Kind::Bool, "Whether a container's cpus are a hard limit too.").default("false"),
    flag("cgroups_limit_swap", Kind::Bool, "Whether the memory limit counts swap (cgroup v1 only).").default("false"),
    flag("cgroups_destroy_timeout", Kind::Duration, "How long the processes of a cgroup may take to end when it is destroyed.").default("1mins").not_built(),
    flag("cgroups_cpu_enable_pids_and_tids_count", Kind::Bool, "Whether statistics count processes and threads.").default("false").not_built(),
    flag("cgroups_net_cls_primary_handle", Kind::Text, "Primary handle of net_cls, such as 0xAAAA.").not_built(),
    flag("cgroups_net_cls_secondary_handles", Kind::Text, "Range of secondary handles of net_cls, such as 0x0001,0xFFFF.").not_built(),
    flag("allowed_devices", Kind::Json, "Devices that containers may use.").restricts(),
    flag("agent_subsystems", Kind::List, "cgroup controllers that the agent puts itself into.").aliases(&["slave_subsystems"]).not_built(),
    flag("perf_events", Kind::Text, "Events that cgroups/perf_event counts.").not_built(),
    flag("perf_interval", Kind::Duration, "How often performance events are sampled.").default("1mins").not_built(),
    flag("perf_duration", Kind::Duration, "How long one sample of performance events takes.").default("10secs").not_built(),
    flag("revocable_cpu_low_priority", Kind::Bool, "Whether revocable cpus get a small weight.").default("true").not_built(),
    flag("systemd_enable_support", Kind::Bool, "Whether containers are moved out of the agent's systemd unit. Here a container outlives the agent in any case.").default("true").not_built(),
    flag("systemd_runtime_directory", Kind::Text, "Where systemd keeps its run-time units.").default("/run/systemd/system").not_built(),
    flag("effective_capabilities", Kind::Json, "Linux capabilities that tasks have unless they ask for others.").aliases(&["allowed_capabilities"]).restricts(),
    flag("bounding_capabilities", Kind::Json, "Linux capabilities that tasks may ask for.").restricts(),
    flag("seccomp_config_dir", Kind::Path, "Directory of seccomp profiles.").restricts(),
    flag("seccomp_profile_name", Kind::Text, "Seccomp profile of every container.").restricts(),
    flag("default_container_shm_size", Kind::Bytes, "Size of /dev/shm of containers that name none.").not_built(),
    flag("disallow_sharing_agent_ipc_namespace", Kind::Bool, "Whether containers must not share the agent's IPC namespace.").default("false").restricts(),
    flag("disallow_sharing_agent_pid_namespace", Kind::Bool, "Whether containers must not share the agent's pid namespace.").default("false").restricts(),
    flag("host_path_volume_force_creation", Kind::Text, "Directories, separated by colons, in which host paths of volumes are made when missing.").not_built(),
];

const DISK: &[Flag] = &[
    flag(
        "gc_delay",
        Kind::Duration,
        "Greatest age of the sandbox of an executor that has ended.",
    )
    .default("1weeks"),
    flag(
        "gc_disk_headroom",
        Kind::Float,
        "Part of the disk that should stay free; the fuller it is, the sooner sandboxes go.",
    )
    .default("0.1")
    .check(checks::fraction),
    flag(
        "disk_watch_interval",
        Kind::Duration,
        "How often the disk is looked at for garbage collection.",
    )
    .default("1mins")
    .check(checks::positive),
    flag(
        "gc_non_executor_container_sandboxes",
        Kind::Bool,
        "Whether sandboxes of nested and stand-alone containers are collected too.",
    )
    .default("false")
    .not_built(),
    flag(
        "container_disk_watch_interval",
        Kind::Duration,
        "How often disk/du looks at the disk use of a container.",
    )
    .default("15secs")
    .check(checks::positive),
    flag(
        "enforce_container_disk_quota",
        Kind::Bool,
        "Whether a container that uses more disk than it has is killed.",
    )
    .default("false"),
    flag("xfs_project_range", Kind::Text, "Project ids of disk/xfs.")
        .optional()
        .default("[5000-10000]")
        .not_built(),
    flag(
        "xfs_kill_containers",
        Kind::Bool,
        "Whether disk/xfs kills containers over their quota.",
    )
    .optional()
    .default("false")
    .restricts(),
    flag(
        "xfs_quota_headroom",
        Kind::Bytes,
        "What disk/xfs grants beyond the quota before it kills.",
    )
    .optional()
    .default("10MB")
    .not_built(),
    flag(
        "fetcher_cache_size",
        Kind::Bytes,
        "Size of the cache of fetched files.",
    )
    .default("2GB"),
    flag(
        "fetcher_cache_dir",
        Kind::Text,
        "Cache of fetched files; emptied at start.",
    )
    .default("/tmp/mesos/fetch"),
    flag(
        "fetcher_stall_timeout",
        Kind::Duration,
        "How long a download may be slower than one byte per second.",
    )
    .default("1mins"),
];

const DOCKER: &[Flag] = &[
    flag(
        "docker",
        Kind::Text,
        "Docker's client program. It is not used here: the engine is reached by --docker_socket.",
    )
    .default("docker")
    .not_built(),
    flag("docker_socket", Kind::Text, "The engine's socket.")
        .default("/var/run/docker.sock")
        .check(checks::socket),
    flag(
        "docker_remove_delay",
        Kind::Duration,
        "How long a container that has ended is kept.",
    )
    .default("6hrs"),
    flag(
        "docker_kill_orphans",
        Kind::Bool,
        "Whether containers of this agent that it no longer knows are killed at start.",
    )
    .default("true"),
    flag(
        "docker_mesos_image",
        Kind::Text,
        "Image that the agent itself runs in.",
    )
    .not_built(),
    flag(
        "docker_stop_timeout",
        Kind::Duration,
        "Grace that the engine gives a container the agent stops.",
    )
    .default("0ns"),
    flag(
        "docker_volume_checkpoint_dir",
        Kind::Text,
        "Checkpoints of docker/volume.",
    )
    .default("/var/run/mesos/isolators/docker/volume")
    .not_built(),
    flag(
        "docker_volume_chown",
        Kind::Bool,
        "Whether docker/volume gives mount points to the task's user.",
    )
    .default("false")
    .not_built(),
];

const CONTAINER_NETWORKS: &[Flag] = &[
    flag(
        "network_cni_plugins_dir",
        Kind::Text,
        "Directories of CNI plugins, separated by colons.",
    )
    .not_built(),
    flag(
        "network_cni_config_dir",
        Kind::Path,
        "Directory of CNI configurations.",
    )
    .not_built(),
    flag(
        "network_cni_root_dir_persist",
        Kind::Bool,
        "Whether the state of CNI networks outlives a reboot.",
    )
    .default("false")
    .not_built(),
    flag(
        "network_cni_metrics",
        Kind::Bool,
        "Whether CNI calls are counted.",
    )
    .default("true")
    .not_built(),
    flag(
        "container_ports_watch_interval",
        Kind::Duration,
        "How often network/ports looks for listening ports.",
    )
    .optional()
    .default("30secs")
    .not_built(),
    flag(
        "check_agent_port_range_only",
        Kind::Bool,
        "Whether network/ports looks only at ports that the agent offers.",
    )
    .optional()
    .default("false")
    .not_built(),
    flag(
        "enforce_container_ports",
        Kind::Bool,
        "Whether network/ports kills a container that listens on a port it does not have.",
    )
    .optional()
    .default("false")
    .restricts(),
    flag(
        "container_ports_isolated_range",
        Kind::Text,
        "Ports that network/ports looks at.",
    )
    .restricts(),
    flag(
        "ephemeral_ports_per_container",
        Kind::Int,
        "Ephemeral ports of a container under network/port_mapping; a power of two.",
    )
    .optional()
    .default("1024")
    .not_built(),
    flag(
        "eth0_name",
        Kind::Text,
        "Public interface, for network/port_mapping.",
    )
    .not_built(),
    flag(
        "lo_name",
        Kind::Text,
        "Loopback interface, for network/port_mapping.",
    )
    .not_built(),
    flag(
        "egress_rate_limit_per_container",
        Kind::Bytes,
        "Bytes per second that a container may send.",
    )
    .restricts(),
    flag(
        "egress_ceil_limit",
        Kind::Bytes,
        "Bytes per second that a container may send when there is room.",
    )
    .restricts(),
    flag(
        "egress_burst",
        Kind::Bytes,
        "Burst of what a container may send.",
    )
    .restricts(),
    flag(
        "egress_rate_per_cpu",
        Kind::Text,
        "Bytes per second and cpu that a container may send, or auto.",
    )
    .restricts(),
    flag(
        "minimum_egress_rate_limit",
        Kind::Bytes,
        "Least limit that --egress_rate_per_cpu gives.",
    )
    .not_built(),
    flag(
        "maximum_egress_rate_limit",
        Kind::Bytes,
        "Greatest limit that --egress_rate_per_cpu gives.",
    )
    .restricts(),
    flag(
        "ingress_rate_limit_per_container",
        Kind::Bytes,
        "Bytes per second that a container may receive.",
    )
    .restricts(),
    flag(
        "ingress_ceil_limit",
        Kind::Bytes,
        "Bytes per second that a container may receive when there is room.",
    )
    .restricts(),
    flag(
        "ingress_burst",
        Kind::Bytes,
        "Burst of what a container may receive.",
    )
    .restricts(),
    flag(
        "ingress_rate_per_cpu",
        Kind::Text,
        "Bytes per second and cpu that a container may receive, or auto.",
    )
    .restricts(),
    flag(
        "minimum_ingress_rate_limit",
        Kind::Bytes,
        "Least limit that --ingress_rate_per_cpu gives.",
    )
    .not_built(),
    flag(
        "maximum_ingress_rate_limit",
        Kind::Bytes,
        "Greatest limit that --ingress_rate_per_cpu gives.",
    )
    .restricts(),
    flag(
        "ingress_isolate_existing_containers",
        Kind::Bool,
        "Whether ingress limits hold for containers that run already.",
    )
    .optional()
    .default("true")
    .not_built(),
    flag(
        "egress_unique_flow_per_container",
        Kind::Bool,
        "Whether each container's traffic has its own flow.",
    )
    .optional()
    .default("false")
    .not_built(),
    flag(
        "egress_flow_classifier_parent",
        Kind::Text,
        "Where the flow classifier hangs.",
    )
    .optional()
    .default("root")
    .not_built(),
    flag(
        "network_link_speed",
        Kind::Bytes,
        "Speed of the link, in bytes per second.",
    )
    .not_built(),
    flag(
        "network_enable_socket_statistics_summary",
        Kind::Bool,
        "Whether statistics sum up sockets.",
    )
    .optional()
    .default("false")
    .not_built(),
    flag(
        "network_enable_socket_statistics_details",
        Kind::Bool,
        "Whether statistics list sockets.",
    )
    .optional()
    .default("false")
    .not_built(),
    flag(
        "network_enable_snmp_statistics",
        Kind::Bool,
        "Whether statistics hold the kernel's network counters.",
    )
    .optional()
    .default("false")
    .not_built(),
];
