//! `DockerInfo.parameters`: long options of `docker run` that people use, put onto the API.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointIpamConfig, EndpointSettings, HealthConfig,
    HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, NetworkingConfig,
    ResourcesUlimits,
};

use crate::{names::LABEL_PREFIX, request::RequestError};

/// What parameters may change.
pub(crate) struct Target<'a> {
    pub body: &'a mut ContainerCreateBody,
    pub host: &'a mut HostConfig,
    /// Network that the container joins, for what is set per endpoint.
    pub network: &'a str,
}

type Apply = fn(&mut Target<'_>, &str) -> Result<(), String>;

/// Every key with what it does. Names and meaning as in `docker run --help`.
const KEYS: &[(&[&str], Apply)] = &[
    (&["add-host"], |t, v| {
        pair(v, ':').and_then(|_| push(&mut t.host.extra_hosts, v))
    }),
    (&["cap-add"], |t, v| push(&mut t.host.cap_add, v)),
    (&["cap-drop"], |t, v| push(&mut t.host.cap_drop, v)),
    (&["cgroup-parent"], |t, v| set(&mut t.host.cgroup_parent, v)),
    (&["cgroupns"], |t, v| {
        t.host.cgroupns_mode = Some(match v {
            "host" => HostConfigCgroupnsModeEnum::HOST,
            "private" => HostConfigCgroupnsModeEnum::PRIVATE,
            _ => return Err("neither `host` nor `private`".into()),
        });
        Ok(())
    }),
    (&["cpu-period"], |t, v| {
        number(v).map(|n| t.host.cpu_period = Some(n))
    }),
    (&["cpu-quota"], |t, v| {
        number(v).map(|n| t.host.cpu_quota = Some(n))
    }),
    (&["cpu-shares", "c"], |t, v| {
        number(v).map(|n| t.host.cpu_shares = Some(n))
    }),
    (&["cpus"], |t, v| {
        let cpus: f64 = v.parse().map_err(|_| "not a number".to_owned())?;
        if !(cpus > 0.0 && cpus < 1e6) {
            return Err("not a number of CPUs".into());
        }
        t.host.nano_cpus = Some((cpus * 1e9) as i64);
        // The engine refuses both at a time; the later option wins, as on the command line.
        t.host.cpu_quota = None;
        t.host.cpu_period = None;
        Ok(())
    }),
    (&["cpuset-cpus"], |t, v| set(&mut t.host.cpuset_cpus, v)),
    (&["cpuset-mems"], |t, v| set(&mut t.host.cpuset_mems, v)),
    (&["device"], |t, v| {
        t.host.devices.get_or_insert_default().push(device(v)?);
        Ok(())
    }),
    (&["device-cgroup-rule"], |t, v| {
        push(&mut t.host.device_cgroup_rules, v)
    }),
    (&["dns"], |t, v| push(&mut t.host.dns, v)),
    (&["dns-opt", "dns-option"], |t, v| {
        push(&mut t.host.dns_options, v)
    }),
    (&["dns-search"], |t, v| push(&mut t.host.dns_search, v)),
    (&["domainname"], |t, v| set(&mut t.body.domainname, v)),
    (&["entrypoint"], |t, v| {
        t.body.entrypoint = Some(vec![v.to_owned()]);
        Ok(())
    }),
    (&["env", "e"], |t, v| {
        let (name, _) = pair(v, '=')?;
        let prefix = format!("{name}=");
        let env = t.body.env.get_or_insert_default();
        env.retain(|old| !old.starts_with(&prefix));
        env.push(v.to_owned());
        Ok(())
    }),
    (&["expose"], |t, v| {
        let port = if v.contains('/') {
            v.to_owned()
        } else {
            format!("{v}/tcp")
        };
        t.body.exposed_ports.get_or_insert_default().push(port);
        Ok(())
    }),
    (&["group-add"], |t, v| push(&mut t.host.group_add, v)),
    (&["hostname", "h"], |t, v| set(&mut t.body.hostname, v)),
    (&["init"], |t, v| flag(v).map(|on| t.host.init = Some(on))),
    (&["ip"], |t, v| {
        endpoint(t)
            .ipam_config
            .get_or_insert_with(EndpointIpamConfig::default)
            .ipv4_address = Some(v.to_owned());
        Ok(())
    }),
    (&["ip6"], |t, v| {
        endpoint(t)
            .ipam_config
            .get_or_insert_with(EndpointIpamConfig::default)
            .ipv6_address = Some(v.to_owned());
        Ok(())
    }),
    (&["ipc"], |t, v| set(&mut t.host.ipc_mode, v)),
    (&["label", "l"], |t, v| {
        let (name, value) = v.split_once('=').unwrap_or((v, ""));
        if name.starts_with(LABEL_PREFIX) {
            return Err(format!(
                "labels that start with `{LABEL_PREFIX}` are the agent's"
            ));
        }
        t.body
            .labels
            .get_or_insert_default()
            .insert(name.to_owned(), value.to_owned());
        Ok(())
    }),
    (&["link"], |t, v| push(&mut t.host.links, v)),
    (&["log-driver"], |t, v| {
        t.host
            .log_config
            .get_or_insert_with(HostConfigLogConfig::default)
            .typ = Some(v.to_owned());
        Ok(())
    }),
    (&["log-opt"], |t, v| {
        let (name, value) = pair(v, '=')?;
        t.host
            .log_config
            .get_or_insert_with(HostConfigLogConfig::default)
            .config
            .get_or_insert_default()
            .insert(name.to_owned(), value.to_owned());
        Ok(())
    }),
    (&["mac-address"], |t, v| {
        endpoint(t).mac_address = Some(v.to_owned());
        Ok(())
    }),
    (&["memory", "m"], |t, v| {
        bytes(v).map(|n| t.host.memory = Some(n))
    }),
    (&["memory-reservation"], |t, v| {
        bytes(v).map(|n| t.host.memory_reservation = Some(n))
    }),
    (&["memory-swap"], |t, v| {
        bytes(v).map(|n| t.host.memory_swap = Some(n))
    }),
    (&["memory-swappiness"], |t, v| {
        number(v).map(|n| t.host.memory_swappiness = Some(n))
    }),
    // Read before the others, see `network`.
    (&["net", "network"], |_, _| Ok(())),
    (&["net-alias", "network-alias"], |t, v| {
        endpoint(t)
            .aliases
            .get_or_insert_default()
            .push(v.to_owned());
        Ok(())
    }),
    (&["no-healthcheck"], |t, v| {
        if flag(v)? {
            t.body.healthcheck = Some(HealthConfig {
                test: Some(vec!["NONE".into()]),
                ..HealthConfig::default()
            });
        }
        Ok(())
    }),
    (&["oom-kill-disable"], |t, v| {
        flag(v).map(|on| t.host.oom_kill_disable = Some(on))
    }),
    (&["oom-score-adj"], |t, v| {
        number(v).map(|n| t.host.oom_score_adj = Some(n))
    }),
    (&["pid"], |t, v| set(&mut t.host.pid_mode, v)),
    (&["pids-limit"], |t, v| {
        number(v).map(|n| t.host.pids_limit = Some(n))
    }),
    (&["privileged"], |t, v| {
        flag(v).map(|on| t.host.privileged = Some(on))
    }),
    (&["read-only"], |t, v| {
        flag(v).map(|on| t.host.readonly_rootfs = Some(on))
    }),
    (&["runtime"], |t, v| set(&mut t.host.runtime, v)),
    (&["security-opt"], |t, v| push(&mut t.host.security_opt, v)),
    (&["shm-size"], |t, v| {
        bytes(v).map(|n| t.host.shm_size = Some(n))
    }),
    (&["stop-signal"], |t, v| set(&mut t.body.stop_signal, v)),
    (&["stop-timeout"], |t, v| {
        number(v).map(|n| t.body.stop_timeout = Some(n))
    }),
    (&["storage-opt"], |t, v| {
        insert(&mut t.host.storage_opt, v, '=')
    }),
    (&["sysctl"], |t, v| insert(&mut t.host.sysctls, v, '=')),
    (&["tmpfs"], |t, v| {
        let (path, options) = v.split_once(':').unwrap_or((v, ""));
        t.host
            .tmpfs
            .get_or_insert_default()
            .insert(path.to_owned(), options.to_owned());
        Ok(())
    }),
    (&["tty", "t"], |t, v| {
        flag(v).map(|on| t.body.tty = Some(on))
    }),
    (&["ulimit"], |t, v| {
        t.host.ulimits.get_or_insert_default().push(ulimit(v)?);
        Ok(())
    }),
    (&["user", "u"], |t, v| set(&mut t.body.user, v)),
    (&["userns"], |t, v| set(&mut t.host.userns_mode, v)),
    (&["uts"], |t, v| set(&mut t.host.uts_mode, v)),
    (&["volume", "v"], |t, v| {
        if v.contains(':') {
            push(&mut t.host.binds, v)
        } else {
            push(&mut t.body.volumes, v)
        }
    }),
    (&["volume-driver"], |t, v| set(&mut t.host.volume_driver, v)),
    (&["volumes-from"], |t, v| push(&mut t.host.volumes_from, v)),
    (&["workdir", "w"], |t, v| set(&mut t.body.working_dir, v)),
];

/// Keys that are known and refused, with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("name", "the agent names its containers, to find them again"),
    (
        "rm",
        "the agent removes containers itself, after --docker_remove_delay",
    ),
    (
        "restart",
        "an engine that restarts a task behind the agent's back would hide its end; let the framework do it",
    ),
    ("detach", "containers always run detached"),
    ("d", "containers always run detached"),
    (
        "publish",
        "use port_mappings, so that the host port comes out of the offer",
    ),
    (
        "p",
        "use port_mappings, so that the host port comes out of the offer",
    ),
    (
        "publish-all",
        "use port_mappings, so that host ports come out of the offer",
    ),
    (
        "P",
        "use port_mappings, so that host ports come out of the offer",
    ),
    (
        "env-file",
        "a file of the client is not there; use environment, or `env`",
    ),
    (
        "label-file",
        "a file of the client is not there; use `label`",
    ),
    ("cidfile", "a file of the client is not there"),
];

/// Applies one parameter.
///
/// # Errors
/// An unknown key, one that is refused, or a value that the option cannot have.
pub(crate) fn apply(target: &mut Target<'_>, key: &str, value: &str) -> Result<(), RequestError> {
    let plain = key.trim_start_matches('-');
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == plain) {
        return Err(RequestError::new(format!(
            "the docker parameter `{key}` is refused: {reason}"
        )));
    }
    let Some((_, apply)) = KEYS.iter().find(|(names, _)| names.contains(&plain)) else {
        let allowed: Vec<&str> = KEYS
            .iter()
            .flat_map(|(names, _)| names.iter().copied())
            .filter(|name| name.len() > 1)
            .collect();
        return Err(RequestError::new(format!(
            "the docker parameter `{key}` is not known; allowed are {}",
            allowed.join(", ")
        )));
    };
    apply(target, value).map_err(|reason| {
        RequestError::new(format!(
            "the docker parameter `{key}` cannot be `{value}`: {reason}"
        ))
    })
}

/// The network that a parameter asks for; it wins over `DockerInfo.network`.
pub(crate) fn network<'a>(
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Option<&'a str> {
    parameters
        .into_iter()
        .filter(|(key, _)| matches!(key.trim_start_matches('-'), "net" | "network"))
        .last()
        .map(|(_, value)| value)
}

fn push(list: &mut Option<Vec<String>>, value: &str) -> Result<(), String> {
    list.get_or_insert_default().push(value.to_owned());
    Ok(())
}

fn set(field: &mut Option<String>, value: &str) -> Result<(), String> {
    *field = Some(value.to_owned());
    Ok(())
}

fn insert(
    map: &mut Option<HashMap<String, String>>,
    value: &str,
    separator: char,
) -> Result<(), String> {
    let (name, value) = pair(value, separator)?;
    map.get_or_insert_default()
        .insert(name.to_owned(), value.to_owned());
    Ok(())
}

fn pair(value: &str, separator: char) -> Result<(&str, &str), String> {
    match value.split_once(separator) {
        Some((name, rest)) if !name.is_empty() => Ok((name, rest)),
        _ => Err(format!("not of the form NAME{separator}VALUE")),
    }
}

fn number(value: &str) -> Result<i64, String> {
    value
        .trim()
        .parse()
        .map_err(|_| "not a whole number".to_owned())
}

fn flag(value: &str) -> Result<bool, String> {
    match value {
        "" | "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(true),
        "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(false),
        _ => Err("neither `true` nor `false`".to_owned()),
    }
}

/// Bytes with Docker's units: `b`, `k`, `m`, `g`, `t`, powers of 1024. -1 stays itself.
fn bytes(value: &str) -> Result<i64, String> {
    let lower = value.trim().to_ascii_lowercase();
    if lower == "-1" {
        return Ok(-1);
    }
    let lower = lower
        .strip_suffix("ib")
        .or_else(|| lower.strip_suffix('b'))
        .unwrap_or(&lower);
    let (digits, factor) = match lower.char_indices().next_back() {
        Some((at, 'k')) => (&lower[..at], 1_i64 << 10),
        Some((at, 'm')) => (&lower[..at], 1 << 20),
        Some((at, 'g')) => (&lower[..at], 1 << 30),
        Some((at, 't')) => (&lower[..at], 1 << 40),
        _ => (lower, 1),
    };
    let number: f64 = digits
        .trim()
        .parse()
        .map_err(|_| "not a number of bytes".to_owned())?;
    let bytes = number * factor as f64;
    if !(0.0..9e18).contains(&bytes) {
        return Err("not a number of bytes".to_owned());
    }
    Ok(bytes as i64)
}

/// `HOST[:CONTAINER[:PERMISSIONS]]`.
fn device(value: &str) -> Result<DeviceMapping, String> {
    let mut parts = value.split(':');
    let host = parts.next().unwrap_or_default();
    let second = parts.next();
    let third = parts.next();
    if host.is_empty() || parts.next().is_some() {
        return Err("not of the form HOST[:CONTAINER[:PERMISSIONS]]".to_owned());
    }
    let is_mode = |text: &str| !text.is_empty() && text.chars().all(|c| "rwm".contains(c));
    let (inside, mode) = match (second, third) {
        (None, _) => (host, "rwm"),
        (Some(mode), None) if is_mode(mode) => (host, mode),
        (Some(inside), None) => (inside, "rwm"),
        (Some(inside), Some(mode)) if is_mode(mode) => (inside, mode),
        _ => return Err("permissions are letters out of `rwm`".to_owned()),
    };
    Ok(DeviceMapping {
        path_on_host: Some(host.to_owned()),
        path_in_container: Some(inside.to_owned()),
        cgroup_permissions: Some(mode.to_owned()),
    })
}

/// `NAME=SOFT[:HARD]`.
fn ulimit(value: &str) -> Result<ResourcesUlimits, String> {
    let (name, limits) = pair(value, '=')?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    Ok(ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(number(soft)?),
        hard: Some(number(hard)?),
    })
}

fn endpoint<'a>(target: &'a mut Target<'_>) -> &'a mut EndpointSettings {
    target
        .body
        .networking_config
        .get_or_insert_with(NetworkingConfig::default)
        .endpoints_config
        .get_or_insert_default()
        .entry(target.network.to_owned())
        .or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, value: &str) -> Result<serde_json::Value, String> {
        let mut body = ContainerCreateBody::default();
        let mut host = HostConfig::default();
        let mut target = Target {
            body: &mut body,
            host: &mut host,
            network: "mynet",
        };
        apply(&mut target, key, value).map_err(|error| error.to_string())?;
        body.host_config = Some(host);
        Ok(serde_json::to_value(body).unwrap())
    }

    #[test]
    fn options_land_where_the_command_line_puts_them() {
        for (key, value, pointer, expected) in [
            ("label", "x=y", "/Labels", r#"{"x":"y"}"#),
            ("--label", "x", "/Labels", r#"{"x":""}"#),
            ("env", "A=b=c", "/Env", r#"["A=b=c"]"#),
            ("v", "/a:/b:ro", "/HostConfig/Binds", r#"["/a:/b:ro"]"#),
            ("volume", "/cache", "/Volumes", r#"{"/cache":{}}"#),
            ("user", "1000:1000", "/User", r#""1000:1000""#),
            ("workdir", "/srv", "/WorkingDir", r#""/srv""#),
            (
                "add-host",
                "db:10.0.0.1",
                "/HostConfig/ExtraHosts",
                r#"["db:10.0.0.1"]"#,
            ),
            (
                "cap-add",
                "NET_ADMIN",
                "/HostConfig/CapAdd",
                r#"["NET_ADMIN"]"#,
            ),
            ("dns", "1.1.1.1", "/HostConfig/Dns", r#"["1.1.1.1"]"#),
            ("memory", "64m", "/HostConfig/Memory", "67108864"),
            ("memory-swap", "-1", "/HostConfig/MemorySwap", "-1"),
            ("shm-size", "1g", "/HostConfig/ShmSize", "1073741824"),
            ("cpus", "1.5", "/HostConfig/NanoCpus", "1500000000"),
            ("init", "true", "/HostConfig/Init", "true"),
            ("privileged", "true", "/HostConfig/Privileged", "true"),
            (
                "sysctl",
                "net.core.somaxconn=9",
                "/HostConfig/Sysctls",
                r#"{"net.core.somaxconn":"9"}"#,
            ),
            (
                "tmpfs",
                "/run:size=64m",
                "/HostConfig/Tmpfs",
                r#"{"/run":"size=64m"}"#,
            ),
            (
                "log-opt",
                "max-size=1m",
                "/HostConfig/LogConfig/Config",
                r#"{"max-size":"1m"}"#,
            ),
            (
                "ulimit",
                "nofile=10:20",
                "/HostConfig/Ulimits",
                r#"[{"Name":"nofile","Soft":10,"Hard":20}]"#,
            ),
            (
                "device",
                "/dev/fuse",
                "/HostConfig/Devices",
                r#"[{"PathOnHost":"/dev/fuse","PathInContainer":"/dev/fuse","CgroupPermissions":"rwm"}]"#,
            ),
            (
                "network-alias",
                "web",
                "/NetworkingConfig/EndpointsConfig/mynet/Aliases",
                r#"["web"]"#,
            ),
        ] {
            let body = check(key, value).unwrap();
            let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
            assert_eq!(
                body.pointer(pointer),
                Some(&expected),
                "{key}={value}: {body}"
            );
        }
    }

    #[test]
    fn unknown_and_refused_keys_say_what_to_do() {
        let unknown = check("frobnicate", "1").unwrap_err();
        assert!(
            unknown.contains("allowed are add-host, cap-add"),
            "{unknown}"
        );
        for key in ["name", "rm", "restart", "publish", "--name"] {
            let refused = check(key, "x").unwrap_err();
            assert!(refused.contains("is refused: "), "{refused}");
        }
        let label = check("label", "org.mesos-rs.agent_id=x").unwrap_err();
        assert!(label.contains("are the agent's"), "{label}");
        for (key, value) in [
            ("memory", "lots"),
            ("init", "maybe"),
            ("ulimit", "nofile"),
            ("env", "NAME"),
            ("device", "a:b:c:d"),
        ] {
            assert!(
                check(key, value).unwrap_err().contains("cannot be"),
                "{key}"
            );
        }
    }

    #[test]
    fn no_key_is_both_known_and_refused() {
        for (refused, _) in REFUSED {
            assert!(
                KEYS.iter().all(|(names, _)| !names.contains(refused)),
                "{refused}"
            );
        }
    }
}
