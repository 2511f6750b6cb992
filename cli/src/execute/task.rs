//! The task that the arguments of `mesos execute` describe.

use std::fs;

use mesos_wire::v1::{
    CommandInfo, ContainerInfo, Environment, NetworkInfo, Resource, TaskInfo, Volume,
    command_info::Uri,
    container_info::{self, DockerInfo, MesosInfo, docker_info},
    environment::Variable,
    network_info,
};

use super::args::{Containerizer, ExecuteArgs};

/// A port of the container and the one of the host that leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PortMapping {
    host: u32,
    container: u32,
    protocol: Option<&'static str>,
}

/// The task, without id, agent and resources.
///
/// # Errors
/// Which argument cannot be, and what is allowed.
pub fn template(args: &ExecuteArgs) -> Result<TaskInfo, String> {
    let ports = args
        .port_mappings
        .as_deref()
        .map(port_mappings)
        .transpose()?
        .unwrap_or_default();
    Ok(TaskInfo {
        name: args.name.clone(),
        command: Some(command(args)?),
        container: container(args, &ports)?,
        ..Default::default()
    })
}

/// The resources of the task: `--resources`, and `ports` for `--port_mappings` unless given.
///
/// # Errors
/// Which argument cannot be, and what is allowed.
pub fn resources(args: &ExecuteArgs) -> Result<Vec<Resource>, String> {
    let mut text = args.resources.trim_end_matches(';').to_owned();
    let names_ports = text
        .split(';')
        .any(|part| part.trim_start().starts_with("ports"));
    let mappings = args
        .port_mappings
        .as_deref()
        .map(port_mappings)
        .transpose()?;
    let hosts: Vec<u32> = mappings
        .iter()
        .flatten()
        .map(|m| m.host)
        .filter(|h| *h != 0)
        .collect();
    if !names_ports && !hosts.is_empty() && !text.trim_start().starts_with('[') {
        let ranges: Vec<_> = hosts.iter().map(|h| format!("{h}-{h}")).collect();
        text.push_str(&format!(";ports:[{}]", ranges.join(",")));
    }
    let parsed = mesos_types::parse_resources(&text, "*")
        .map_err(|e| format!("--resources=`{}`: {e}", args.resources))?;
    Ok(parsed.to_wire(mesos_types::Format::PostRefinement))
}

fn command(args: &ExecuteArgs) -> Result<CommandInfo, String> {
    let shell = args.uses_shell();
    if shell && !args.arguments.is_empty() {
        return Err("arguments after `--` need --no-shell".to_owned());
    }
    if args.command.is_none() && args.docker_image.is_none() {
        return Err(
            "--command is needed, or --docker_image for the image's own command".to_owned(),
        );
    }
    let mut arguments = Vec::new();
    if let (false, Some(command)) = (shell, &args.command) {
        arguments.push(command.clone());
        arguments.extend(args.arguments.iter().cloned());
    }
    Ok(CommandInfo {
        shell: Some(shell && args.command.is_some()),
        value: args.command.clone(),
        arguments,
        user: args.user.clone(),
        environment: args.env.as_deref().map(environment).transpose()?,
        uris: args
            .uris
            .as_deref()
            .map(uris)
            .transpose()?
            .unwrap_or_default(),
    })
}

fn container(args: &ExecuteArgs, ports: &[PortMapping]) -> Result<Option<ContainerInfo>, String> {
    let volumes = args
        .volumes
        .as_deref()
        .map(volumes)
        .transpose()?
        .unwrap_or_default();
    let default = if args.docker_image.is_some() {
        Containerizer::Docker
    } else {
        Containerizer::Mesos
    };
    match (args.containerizer.unwrap_or(default), &args.docker_image) {
        (Containerizer::Docker, None) => {
            Err("--containerizer=docker needs --docker_image".to_owned())
        }
        (Containerizer::Docker, Some(image)) => docker(args, image, ports, volumes).map(Some),
        (Containerizer::Mesos, image) => mesos(args, image.as_deref(), ports, volumes),
    }
}

fn docker(
    args: &ExecuteArgs,
    image: &str,
    ports: &[PortMapping],
    volumes: Vec<Volume>,
) -> Result<ContainerInfo, String> {
    use docker_info::Network;
    let default = if ports.is_empty() { "host" } else { "bridge" };
    let name = args.networks.as_deref().unwrap_or(default);
    let network = match name {
        "host" => Network::Host,
        "bridge" => Network::Bridge,
        "none" => Network::None,
        _ => Network::User,
    };
    if !ports.is_empty() && matches!(network, Network::Host | Network::None) {
        return Err(format!(
            "--port_mappings needs --networks=bridge or a named one, not {name}"
        ));
    }
    let port_mappings = ports
        .iter()
        .map(|p| docker_info::PortMapping {
            host_port: p.host,
            container_port: p.container,
            protocol: p.protocol.map(str::to_owned),
        })
        .collect();
    let named = NetworkInfo {
        name: Some(name.to_owned()),
        ..Default::default()
    };
    Ok(ContainerInfo {
        r#type: container_info::Type::Docker.into(),
        volumes,
        docker: Some(DockerInfo {
            image: image.to_owned(),
            network: Some(network.into()),
            port_mappings,
            force_pull_image: args.force_pull_image.then_some(true),
            ..Default::default()
        }),
        network_infos: if network == Network::User {
            vec![named]
        } else {
            Vec::new()
        },
        ..Default::default()
    })
}

fn mesos(
    args: &ExecuteArgs,
    image: Option<&str>,
    ports: &[PortMapping],
    volumes: Vec<Volume>,
) -> Result<Option<ContainerInfo>, String> {
    let network = args.networks.as_deref().filter(|n| *n != "host");
    if let Some(refused @ ("bridge" | "none")) = network {
        return Err(format!(
            "--networks={refused} is a network of docker; the mesos containerizer knows host and named ones"
        ));
    }
    if network.is_none() && !ports.is_empty() {
        return Err("--port_mappings needs a network of its own: --containerizer=docker, or --networks=NAME".to_owned());
    }
    if image.is_none() && network.is_none() && volumes.is_empty() {
        return Ok(None);
    }
    let image = image.map(|name| mesos_wire::v1::Image {
        r#type: mesos_wire::v1::image::Type::Docker.into(),
        docker: Some(mesos_wire::v1::image::Docker {
            name: name.to_owned(),
            ..Default::default()
        }),
        cached: args.force_pull_image.then_some(false),
        ..Default::default()
    });
    let port_mappings = ports
        .iter()
        .map(|p| network_info::PortMapping {
            host_port: p.host,
            container_port: p.container,
            protocol: p.protocol.map(str::to_owned),
        })
        .collect();
    let network = network.map(|name| NetworkInfo {
        name: Some(name.to_owned()),
        port_mappings,
        ..Default::default()
    });
    Ok(Some(ContainerInfo {
        r#type: container_info::Type::Mesos.into(),
        volumes,
        mesos: image.map(|image| MesosInfo { image: Some(image) }),
        network_infos: network.into_iter().collect(),
        ..Default::default()
    }))
}

fn port_mappings(text: &str) -> Result<Vec<PortMapping>, String> {
    text.split(',')
        .map(|part| port_mapping(part.trim()))
        .collect()
}

fn port_mapping(text: &str) -> Result<PortMapping, String> {
    let refused = |why: &str| {
        format!(
            "--port_mappings: `{text}`: {why}; allowed: HOST:CONTAINER, HOST:CONTAINER/tcp, HOST:CONTAINER/udp"
        )
    };
    let (pair, protocol) = match text.split_once('/') {
        None => (text, None),
        Some((pair, "tcp")) => (pair, Some("tcp")),
        Some((pair, "udp")) => (pair, Some("udp")),
        Some((_, other)) => return Err(refused(&format!("`{other}` is no protocol"))),
    };
    let (host, container) = pair.split_once(':').ok_or_else(|| refused("no `:`"))?;
    let port = |text: &str| {
        text.parse::<u16>()
            .map(u32::from)
            .map_err(|_| refused(&format!("`{text}` is no port")))
    };
    Ok(PortMapping {
        host: port(host)?,
        container: port(container)?,
        protocol,
    })
}

fn environment(text: &str) -> Result<Environment, String> {
    let text = from_file(text, "--env")?;
    let pairs: Vec<(String, String)> = if text.trim_start().starts_with('{') {
        let map: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&text).map_err(|e| format!("--env is not a JSON object: {e}"))?;
        map.into_iter()
            .map(|(name, value)| match value {
                serde_json::Value::String(value) => Ok((name, value)),
                other => Err(format!("--env: `{name}` is {other}; allowed: a string")),
            })
            .collect::<Result<_, _>>()?
    } else {
        text.split(',')
            .filter(|part| !part.trim().is_empty())
            .map(|part| {
                part.split_once('=')
                    .map(|(name, value)| (name.trim().to_owned(), value.to_owned()))
                    .ok_or_else(|| format!("--env: `{part}` is neither NAME=VALUE nor JSON"))
            })
            .collect::<Result<_, _>>()?
    };
    let variables = pairs
        .into_iter()
        .map(|(name, value)| Variable {
            name,
            value: Some(value),
            ..Default::default()
        })
        .collect();
    Ok(Environment { variables })
}

fn volumes(text: &str) -> Result<Vec<Volume>, String> {
    let text = from_file(text, "--volumes")?;
    if text.trim_start().starts_with('[') {
        return messages(&text, "--volumes");
    }
    text.split(',').map(|part| volume(part.trim())).collect()
}

fn volume(text: &str) -> Result<Volume, String> {
    let mut parts = text.split(':');
    let (host, container, mode) = (parts.next(), parts.next(), parts.next());
    let mode = match mode {
        None | Some("rw") => mesos_wire::v1::volume::Mode::Rw,
        Some("ro") => mesos_wire::v1::volume::Mode::Ro,
        Some(other) => {
            return Err(format!(
                "--volumes: `{text}`: mode `{other}`; allowed: ro, rw"
            ));
        }
    };
    match (host, container, parts.next()) {
        (Some(host), Some(container), None) if !host.is_empty() && !container.is_empty() => {
            Ok(Volume {
                mode: mode.into(),
                container_path: container.to_owned(),
                host_path: Some(host.to_owned()),
                ..Default::default()
            })
        }
        _ => Err(format!(
            "--volumes: `{text}`; allowed: HOST_PATH:CONTAINER_PATH[:ro|:rw], or JSON array of Volume"
        )),
    }
}

fn uris(text: &str) -> Result<Vec<Uri>, String> {
    let text = from_file(text, "--uris")?;
    if text.trim_start().starts_with('[') {
        return messages(&text, "--uris");
    }
    let uri = |part: &str| Uri {
        value: part.trim().to_owned(),
        ..Default::default()
    };
    Ok(text
        .split(',')
        .filter(|part| !part.trim().is_empty())
        .map(uri)
        .collect())
}

fn messages<M: mesos_wire::WireMessage>(text: &str, flag: &str) -> Result<Vec<M>, String> {
    let values: Vec<serde_json::Value> =
        serde_json::from_str(text).map_err(|e| format!("{flag} is not a JSON array: {e}"))?;
    values
        .into_iter()
        .map(|value| mesos_wire::json::from_value(value).map_err(|e| format!("{flag}: {e}")))
        .collect()
}

/// `file:///PATH` stands for the content of that file. For `--uris` only a file that is a JSON
/// array does, because `file://` is a kind of URI too.
fn from_file(text: &str, flag: &str) -> Result<String, String> {
    let Some(path) = text.strip_prefix("file://") else {
        return Ok(text.to_owned());
    };
    if flag == "--uris" {
        return Ok(text.to_owned());
    }
    fs::read_to_string(path).map_err(|e| format!("{flag}: cannot read {path}: {e}"))
}

/// A scalar resource, for tests of the caller.
#[cfg(test)]
pub fn scalar(name: &str, amount: f64) -> Resource {
    use mesos_wire::v1::value;
    Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value: amount }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_mappings_name_what_is_wrong() {
        let good = port_mappings("31000:8080,31001:53/udp").unwrap();
        assert_eq!(
            good[0],
            PortMapping {
                host: 31000,
                container: 8080,
                protocol: None
            }
        );
        assert_eq!(
            good[1],
            PortMapping {
                host: 31001,
                container: 53,
                protocol: Some("udp")
            }
        );
        for (text, word) in [
            ("31000", "no `:`"),
            ("1:x", "`x`"),
            ("70000:1", "`70000`"),
            ("1:2/sctp", "`sctp`"),
        ] {
            let error = port_mappings(text).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn environment_is_json_or_pairs() {
        let names = |text| {
            let variables = environment(text).unwrap().variables;
            variables
                .into_iter()
                .map(|v| (v.name, v.value.unwrap()))
                .collect::<Vec<_>>()
        };
        let expected = vec![
            ("A".to_owned(), "1".to_owned()),
            ("B".to_owned(), "x=y".to_owned()),
        ];
        assert_eq!(names(r#"{"A": "1", "B": "x=y"}"#), expected);
        assert_eq!(names("A=1,B=x=y"), expected);
        assert!(environment(r#"{"A": 1}"#).unwrap_err().contains("`A`"));
    }

    #[test]
    fn volumes_are_triples_or_json() {
        let volume = &volumes("/data:data:ro").unwrap()[0];
        assert_eq!(
            (volume.host_path(), volume.container_path.as_str()),
            ("/data", "data")
        );
        let json = r#"[{"container_path":"/x","host_path":"/y","mode":"RW"}]"#;
        assert_eq!(volumes(json).unwrap()[0].host_path(), "/y");
        assert!(
            volumes("/data")
                .unwrap_err()
                .contains("HOST_PATH:CONTAINER_PATH")
        );
    }
}
