//! Arguments of `mesos execute`, spelt as Apache Mesos spells them.

use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use mesos_sdk::Source;
use mesos_types::units::parse_duration;

/// Which containerizer runs the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Containerizer {
    /// Docker Engine.
    Docker,
    /// Namespaces and cgroups.
    Mesos,
}

/// Arguments of `mesos execute`.
#[derive(Debug, Args)]
pub struct ExecuteArgs {
    /// Where masters are: HOST:PORT, zk://HOST1:PORT1,HOST2:PORT2/PATH, or file:///PATH of a file that says so.
    #[arg(long, env = "MESOS_MASTER", default_value = "127.0.0.1:5050")]
    pub master: Source,
    /// Name of the framework and the task, and the beginning of the task's id.
    #[arg(long)]
    pub name: String,
    /// What to run. May be left out with --docker_image: the image's own command is run then.
    #[arg(long)]
    pub command: Option<String>,
    /// Arguments of the command, with --no-shell.
    #[arg(last = true)]
    pub arguments: Vec<String>,
    /// Run the command by /bin/sh -c; the default.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", overrides_with = "no_shell",
          action = ArgAction::Set, require_equals = true)]
    pub shell: Option<bool>,
    /// Execute the command itself.
    #[arg(long = "no-shell", overrides_with = "shell")]
    pub no_shell: bool,
    /// Environment: JSON object of strings, or file:///PATH of one, or NAME=VALUE,...
    #[arg(long)]
    pub env: Option<String>,
    /// Resources of the task; ports of --port_mappings are added.
    #[arg(long, default_value = "cpus:1;mem:128")]
    pub resources: String,
    /// Image to run in.
    #[arg(long = "docker_image")]
    pub docker_image: Option<String>,
    /// Pull the image even if the agent has it.
    #[arg(long = "force_pull_image")]
    pub force_pull_image: bool,
    /// Which containerizer runs the task; docker with an image, else mesos.
    #[arg(long, value_enum)]
    pub containerizer: Option<Containerizer>,
    /// Network: host, bridge, none or the name of one; bridge with --port_mappings, else host.
    #[arg(long, visible_alias = "network")]
    pub networks: Option<String>,
    /// Ports of the container on the host: HOST:CONTAINER[/tcp|/udp],...
    #[arg(long = "port_mappings", value_name = "HOST:CONTAINER[/PROTOCOL],...")]
    pub port_mappings: Option<String>,
    /// Volumes: JSON array of Volume, or HOST_PATH:CONTAINER_PATH[:ro|:rw],...
    #[arg(long)]
    pub volumes: Option<String>,
    /// Files to fetch into the sandbox: URIs with a comma between, or JSON array of URI.
    #[arg(long)]
    pub uris: Option<String>,
    /// Kill the task when it has run for so long, such as 30secs.
    #[arg(long = "kill_after", value_parser = duration)]
    pub kill_after: Option<Duration>,
    /// Role whose resources are used.
    #[arg(long, default_value = "*")]
    pub role: String,
    /// User to run as on the agent; the caller's by default.
    #[arg(long)]
    pub user: Option<String>,
    /// Let the task survive restarts of the agent; the default.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", default_value = "true",
          action = ArgAction::Set, require_equals = true)]
    pub checkpoint: bool,
    /// How long the task lives on without this command, and this command without a master.
    #[arg(long = "failover_timeout", value_parser = duration, default_value = "1mins")]
    pub failover_timeout: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|e| e.to_string())
}

impl ExecuteArgs {
    /// Whether the command is run by a shell.
    pub fn uses_shell(&self) -> bool {
        !self.no_shell && self.shell.unwrap_or(true)
    }
}
