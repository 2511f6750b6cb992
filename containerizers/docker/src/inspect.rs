//! What the engine says about a container, and what of it goes into task statuses.

use std::collections::BTreeMap;

use mesos_containerizer_api::ContainerStatus;
use mesos_wire::v1::{self, network_info};
use serde::Deserialize;

/// The part of an inspect answer that is used here. Unknown and missing fields are fine.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Inspect {
    pub id: String,
    pub name: String,
    pub state: State,
    pub config: Config,
    pub host_config: HostConfig,
    pub network_settings: NetworkSettings,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct State {
    pub status: String,
    pub running: bool,
    pub paused: bool,
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    pub pid: u32,
    pub exit_code: i32,
    pub error: String,
    pub finished_at: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Config {
    pub labels: Option<BTreeMap<String, String>>,
    pub stop_signal: Option<String>,
    pub tty: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct HostConfig {
    pub network_mode: String,
    pub memory: i64,
    pub memory_reservation: i64,
    pub cpu_shares: i64,
    pub cpu_quota: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct NetworkSettings {
    pub networks: Option<BTreeMap<String, Option<Endpoint>>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Endpoint {
    #[serde(rename = "IPAddress")]
    pub ip_address: Option<String>,
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: Option<String>,
}

impl Inspect {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// It has been made, but never started.
    pub(crate) fn is_created(&self) -> bool {
        self.state.status == "created"
    }

    /// It runs now, perhaps paused.
    pub(crate) fn is_running(&self) -> bool {
        self.state.running || self.state.status == "restarting"
    }

    /// Pid of its first process.
    pub(crate) fn pid(&self) -> Option<u32> {
        (self.state.pid != 0).then_some(self.state.pid)
    }

    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.config.labels.as_ref()?.get(name).map(String::as_str)
    }

    /// Pid and addresses, as `TaskStatus.container_status` shows them. On the host's network there
    /// are no addresses of its own. Labels, names and port mappings are those that the task asked
    /// for. Source: `DockerExecutorProcess::launchTask` of Apache Mesos.
    pub(crate) fn status(&self, container: Option<&v1::ContainerInfo>) -> ContainerStatus {
        let networks = self.network_settings.networks.as_ref();
        let mode = match self.host_config.network_mode.as_str() {
            "default" => "bridge",
            mode => mode,
        };
        let endpoint = networks.and_then(|networks| {
            networks
                .get(mode)
                .or_else(|| networks.values().next())
                .and_then(Option::as_ref)
        });
        let mut addresses = Vec::new();
        if let Some(endpoint) = endpoint {
            let ipv4 = (network_info::Protocol::IPv4, &endpoint.ip_address);
            let ipv6 = (network_info::Protocol::IPv6, &endpoint.global_ipv6_address);
            for (protocol, address) in [ipv4, ipv6] {
                if let Some(address) = address.as_ref().filter(|address| !address.is_empty()) {
                    addresses.push(network_info::IpAddress {
                        protocol: Some(protocol as i32),
                        ip_address: Some(address.clone()),
                    });
                }
            }
        }
        let mut network_infos = Vec::new();
        if !addresses.is_empty() {
            let mut info = match container.map(|container| container.network_infos.as_slice()) {
                Some([info]) => info.clone(),
                _ => v1::NetworkInfo::default(),
            };
            info.ip_addresses = addresses;
            network_infos.push(info);
        }
        ContainerStatus {
            pid: self.pid(),
            network_infos,
            cgroup_info: None,
        }
    }
}

/// What `docker inspect` prints for one container: an array, indented by four spaces.
/// Source: `json.Indent` of Go, as the Docker CLI calls it.
pub(crate) fn printed(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    out.extend_from_slice(b"[\n    ");
    let mut depth = 1_usize;
    let (mut in_string, mut escaped, mut opened) = (false, false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', 4 * depth));
    };
    for &byte in json.trim_ascii() {
        if in_string {
            out.push(byte);
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        if byte.is_ascii_whitespace() {
            continue;
        }
        if opened && !matches!(byte, b'}' | b']') {
            depth += 1;
            line(&mut out, depth);
            opened = false;
        }
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                opened = true;
            }
            b'}' | b']' => {
                // An empty object or array stays on its line.
                if !opened {
                    depth = depth.saturating_sub(1);
                    line(&mut out, depth);
                }
                opened = false;
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            b'"' => {
                in_string = true;
                out.push(byte);
            }
            _ => out.push(byte),
        }
    }
    out.extend_from_slice(b"\n]\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docker inspect` of a container that Apache Mesos made.
    const RECORDED: &[u8] = include_bytes!("../tests/data/inspect.json");

    #[test]
    fn addresses_of_a_bridge_go_into_the_status() {
        let inspect = Inspect::parse(RECORDED).unwrap();
        assert!(inspect.is_running());
        let status = inspect.status(None);
        assert_eq!(status.pid, Some(inspect.state.pid));
        assert_eq!(status.network_infos.len(), 1);
        let address = &status.network_infos[0].ip_addresses[0];
        assert_eq!(address.ip_address.as_deref(), Some("172.17.0.2"));
        assert_eq!(address.protocol(), network_info::Protocol::IPv4);
    }

    #[test]
    fn a_user_network_keeps_what_the_task_asked_for() {
        let inspect = br#"{"HostConfig":{"NetworkMode":"mynet"},"NetworkSettings":{"Networks":
            {"mynet":{"IPAddress":"10.1.0.2","GlobalIPv6Address":"fd00::2"}}}}"#;
        let asked = v1::ContainerInfo {
            network_infos: vec![v1::NetworkInfo {
                name: Some("mynet".into()),
                ..v1::NetworkInfo::default()
            }],
            ..v1::ContainerInfo::default()
        };
        let status = Inspect::parse(inspect).unwrap().status(Some(&asked));
        assert_eq!(status.network_infos[0].name.as_deref(), Some("mynet"));
        assert_eq!(status.network_infos[0].ip_addresses.len(), 2);
    }

    #[test]
    fn the_hosts_network_has_no_address_of_its_own() {
        let inspect = br#"{"HostConfig":{"NetworkMode":"host"},"NetworkSettings":{"Networks":
            {"host":{"IPAddress":"","GlobalIPv6Address":""}}}}"#;
        assert!(
            Inspect::parse(inspect)
                .unwrap()
                .status(None)
                .network_infos
                .is_empty()
        );
    }

    #[test]
    fn running_data_is_what_docker_inspect_prints() {
        let compact = br#"{"Id":"a","L":[],"M":{},"N":[1,"x:,{\"}"],"O":{"p":null}}"#;
        let expected = "[\n    {\n        \"Id\": \"a\",\n        \"L\": [],\n        \"M\": {},\n        \
                        \"N\": [\n            1,\n            \"x:,{\\\"}\"\n        ],\n        \
                        \"O\": {\n            \"p\": null\n        }\n    }\n]\n";
        assert_eq!(String::from_utf8(printed(compact)).unwrap(), expected);
    }
}
