//! What a container shall be, as the body of the engine's create call.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig, PortBinding};
use mesos_containerizer_api::ContainerConfig;
use mesos_wire::v1::container_info::{DockerInfo, docker_info::Network};

use crate::{limits, names, options::DockerOptions, parameters, volumes};

/// A container that cannot be asked for; the text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RequestError(String);

impl RequestError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// A create call, not yet sent.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateRequest {
    /// The container's name.
    pub name: String,
    /// The image with its tag or digest.
    pub image: String,
    /// Whether to pull even if the engine has the image.
    pub force_pull: bool,
    /// `host`, `bridge`, `none` or the name of a network.
    pub network: String,
    /// The body.
    pub body: ContainerCreateBody,
}

/// Builds the create call.
///
/// # Errors
/// Whatever the task asks for that Docker or Mesos does not allow.
pub fn create_request(
    config: &ContainerConfig,
    options: &DockerOptions,
) -> Result<CreateRequest, RequestError> {
    let container = config
        .container
        .as_ref()
        .ok_or_else(|| RequestError::new("`container` is missing"))?;
    let docker = container.docker.as_ref().ok_or_else(|| {
        RequestError::new("`container.docker` is missing; it names the image to run")
    })?;
    let image = with_tag(&docker.image)?;
    let network = network(config, docker)?;
    let name = names::name(&config.identity.agent, &config.id);

    let mut host = HostConfig {
        network_mode: Some(network.clone()),
        ..HostConfig::default()
    };
    if docker.privileged() {
        host.privileged = Some(true);
    }
    let limits = limits::engine_limits(
        &config.resources,
        &config.limits,
        options.enable_cfs,
        options.host_memory,
    );
    host.cpu_shares = limits.cpu_shares;
    host.cpu_quota = limits.cpu_quota;
    host.memory = limits.memory;
    host.memory_reservation = limits.memory_reservation;
    host.oom_score_adj = limits.oom_score_adj;
    #[expect(deprecated, reason = "frameworks older than 1.0 still send it")]
    if let Some(driver) = &docker.volume_driver {
        host.volume_driver = Some(driver.clone());
    }
    volumes::add_persistent(
        &mut host,
        &config.resources,
        &options.work_dir,
        &options.sandbox_directory,
    )?;
    let anonymous = volumes::add(
        &mut host,
        &container.volumes,
        &config.sandbox,
        &options.sandbox_directory,
    )?;

    let mut body = ContainerCreateBody {
        image: Some(image.clone()),
        env: Some(environment(config, options, &name)?),
        labels: Some(names::labels(&options.owner, &config.identity, &config.id)),
        volumes: (!anonymous.is_empty()).then_some(anonymous),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..ContainerCreateBody::default()
    };
    if let Some(hostname) = &container.hostname {
        if network == "host" {
            return Err(RequestError::new(
                "`container.hostname` cannot be had with network HOST; leave it out, or use \
                 BRIDGE or a user network",
            ));
        }
        body.hostname = Some(hostname.clone());
    }
    ports(&mut body, &mut host, config, docker, &network)?;
    command(&mut body, config)?;

    let mut target = parameters::Target {
        body: &mut body,
        host: &mut host,
        network: &network,
    };
    for parameter in &docker.parameters {
        parameters::apply(&mut target, &parameter.key, &parameter.value)?;
    }
    dns(&mut host, options, &network);
    body.host_config = Some(host);
    Ok(CreateRequest {
        name,
        image,
        force_pull: docker.force_pull_image(),
        network,
        body,
    })
}

/// The image's reference with a tag: `latest` where neither tag nor digest is given.
fn with_tag(image: &str) -> Result<String, RequestError> {
    if image.trim().is_empty() {
        return Err(RequestError::new(
            "`container.docker.image` is empty; it names the image to run",
        ));
    }
    if image.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(RequestError::new(format!(
            "`container.docker.image` is `{}`, which has white space in it",
            image.escape_debug()
        )));
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || image.contains('@') {
        Ok(image.to_owned())
    } else {
        Ok(format!("{image}:latest"))
    }
}

/// The network's name for the engine.
fn network(config: &ContainerConfig, docker: &DockerInfo) -> Result<String, RequestError> {
    let parameters = docker
        .parameters
        .iter()
        .map(|p| (p.key.as_str(), p.value.as_str()));
    if let Some(network) = parameters::network(parameters) {
        return Ok(network.to_owned());
    }
    Ok(match docker.network() {
        Network::Host => "host".to_owned(),
        Network::Bridge => "bridge".to_owned(),
        Network::None => "none".to_owned(),
        Network::User => {
            let infos = config
                .container
                .as_ref()
                .map_or(&[][..], |c| &c.network_infos);
            let [info] = infos else {
                return Err(RequestError::new(format!(
                    "network USER needs exactly one entry in `container.network_infos`, but \
                     there are {}",
                    infos.len()
                )));
            };
            match info.name.as_deref() {
                Some(name) if !name.is_empty() => name.to_owned(),
                _ => {
                    return Err(RequestError::new(
                        "network USER needs the network's name in \
                         `container.network_infos[0].name`",
                    ));
                }
            }
        }
    })
}

fn environment(
    config: &ContainerConfig,
    options: &DockerOptions,
    name: &str,
) -> Result<Vec<String>, RequestError> {
    let mut all: std::collections::BTreeMap<&str, &str> = config
        .environment
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    all.insert("MESOS_SANDBOX", &options.sandbox_directory);
    all.insert("MESOS_CONTAINER_NAME", name);
    for (name, value) in &all {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(RequestError::new(format!(
                "the environment variable `{}` has no proper name or value",
                name.escape_debug()
            )));
        }
    }
    Ok(all
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect())
}

/// Shell commands replace the image's entrypoint, others are arguments to it.
fn command(body: &mut ContainerCreateBody, config: &ContainerConfig) -> Result<(), RequestError> {
    let command = &config.command;
    if command.shell() {
        // Without a value the image's own command runs, as with `docker run IMAGE`.
        if let Some(value) = &command.value {
            body.entrypoint = Some(vec!["/bin/sh".to_owned()]);
            body.cmd = Some(vec!["-c".to_owned(), value.clone()]);
        } else if !command.arguments.is_empty() {
            return Err(RequestError::new(
                "`command.arguments` are given but `command.shell` is true; set it to false",
            ));
        }
        return Ok(());
    }
    let words: Vec<String> = command
        .value
        .iter()
        .chain(&command.arguments)
        .cloned()
        .collect();
    if !words.is_empty() {
        body.cmd = Some(words);
    }
    Ok(())
}

fn ports(
    body: &mut ContainerCreateBody,
    host: &mut HostConfig,
    config: &ContainerConfig,
    docker: &DockerInfo,
    network: &str,
) -> Result<(), RequestError> {
    let infos = config
        .container
        .iter()
        .flat_map(|container| &container.network_infos);
    let mappings = docker
        .port_mappings
        .iter()
        .map(|m| (m.host_port, m.container_port, m.protocol.as_deref()))
        .chain(infos.flat_map(|info| {
            info.port_mappings
                .iter()
                .map(|m| (m.host_port, m.container_port, m.protocol.as_deref()))
        }));
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    let mut exposed = Vec::new();
    for (host_port, container_port, protocol) in mappings {
        if network == "host" || network == "none" {
            return Err(RequestError::new(format!(
                "port mappings need a network of the container's own, but it is `{network}`; use \
                 BRIDGE or USER"
            )));
        }
        for (what, port) in [("host_port", host_port), ("container_port", container_port)] {
            if port == 0 || port > 65535 {
                return Err(RequestError::new(format!(
                    "{what} {port} of a port mapping is not a port; allowed are 1 to 65535, for \
                     host_port those of the task's `ports` resource"
                )));
            }
        }
        let protocol = protocol.unwrap_or("tcp").to_ascii_lowercase();
        if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
            return Err(RequestError::new(format!(
                "protocol `{protocol}` of a port mapping is not known; allowed are tcp, udp, sctp"
            )));
        }
        let key = format!("{container_port}/{protocol}");
        let binding = PortBinding {
            host_ip: None,
            host_port: Some(host_port.to_string()),
        };
        let list = bindings
            .entry(key.clone())
            .or_default()
            .get_or_insert_default();
        // The same mapping may stand in `docker` and in `network_infos`.
        if !list.contains(&binding) {
            list.push(binding);
        }
        if !exposed.contains(&key) {
            exposed.push(key);
        }
    }
    if !exposed.is_empty() {
        body.exposed_ports = Some(exposed);
        host.port_bindings = Some(bindings);
    }
    Ok(())
}

/// Name servers of the operator, where the task gives none of its own.
fn dns(host: &mut HostConfig, options: &DockerOptions, network: &str) {
    let given = host.dns.is_some() || host.dns_search.is_some() || host.dns_options.is_some();
    if given || network == "host" {
        return;
    }
    let exact = options
        .default_dns
        .iter()
        .find(|rule| rule.network.as_deref() == Some(network));
    let Some(rule) = exact.or_else(|| options.default_dns.iter().find(|r| r.network.is_none()))
    else {
        return;
    };
    let list = |items: &[String]| (!items.is_empty()).then(|| items.to_vec());
    host.dns = list(&rule.nameservers);
    host.dns_search = list(&rule.search);
    host.dns_options = list(&rule.options);
}
