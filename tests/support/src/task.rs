//! TaskInfo and its parts, as the JSON a scheduler sends.

use serde_json::{Value, json};

use crate::TestCluster;

/// A TaskInfo being put together; the id is the name too.
#[derive(Debug, Clone)]
pub struct Task {
    info: Value,
}

/// Resources of a task: scalars and port ranges, in role `*`.
pub fn resources(cpus: f64, mem: f64, ports: &[u16]) -> Value {
    let scalar = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}});
    let mut all = vec![scalar("cpus", cpus), scalar("mem", mem)];
    if !ports.is_empty() {
        let ranges: Vec<Value> = ports
            .iter()
            .map(|port| json!({"begin": port, "end": port}))
            .collect();
        all.push(json!({"name": "ports", "type": "RANGES", "ranges": {"range": ranges}}));
    }
    Value::from(all)
}

impl Task {
    /// A task without command, with 0.1 cpus and 32 MB. Launching sets its agent.
    pub fn new(id: &str) -> Self {
        let info =
            json!({"name": id, "task_id": {"value": id}, "resources": resources(0.1, 32.0, &[])});
        Self { info }
    }

    /// A command for `/bin/sh -c`.
    #[must_use]
    pub fn shell(mut self, command: &str) -> Self {
        self.info["command"]["value"] = command.into();
        self.info["command"]["shell"] = true.into();
        self
    }

    /// A program and its arguments, the first of which is the program's own name.
    #[must_use]
    pub fn program(mut self, path: &str, arguments: &[&str]) -> Self {
        self.info["command"] = json!({"value": path, "shell": false, "arguments": arguments});
        self
    }

    /// Runs the command as this user.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.info["command"]["user"] = user.into();
        self
    }

    /// Adds a URI to fetch.
    #[must_use]
    pub fn uri(mut self, uri: Value) -> Self {
        let command = &mut self.info["command"];
        if command["uris"].is_null() {
            command["uris"] = json!([]);
        }
        command["uris"]
            .as_array_mut()
            .expect("a list since the line above")
            .push(uri);
        self
    }

    /// Sets the resources.
    #[must_use]
    pub fn needs(mut self, cpus: f64, mem: f64, ports: &[u16]) -> Self {
        self.info["resources"] = resources(cpus, mem, ports);
        self
    }

    /// Runs in a container of that image in the docker containerizer, on the host's network.
    #[must_use]
    pub fn docker(mut self, image: &str) -> Self {
        self.info["container"] =
            json!({"type": "DOCKER", "docker": {"image": image, "network": "HOST"}});
        self
    }

    /// On Docker's bridge, with a host port mapped to one of the container's.
    #[must_use]
    pub fn bridge(mut self, host_port: u16, container_port: u16) -> Self {
        let docker = &mut self.info["container"]["docker"];
        docker["network"] = "BRIDGE".into();
        docker["port_mappings"] =
            json!([{"host_port": host_port, "container_port": container_port, "protocol": "tcp"}]);
        self
    }

    /// Sets any field of the TaskInfo: `field("kill_policy", ...)`.
    #[must_use]
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.info[name] = value;
        self
    }

    /// Sets any field of `container.docker`.
    #[must_use]
    pub fn docker_field(mut self, name: &str, value: Value) -> Self {
        self.info["container"]["docker"][name] = value;
        self
    }

    /// A web server that answers `200` on `port` of its own network, for as long as it runs.
    pub fn web_service(cluster: &TestCluster, id: &str, host_port: u16) -> Self {
        debug_assert!(host_port >= cluster.port(0));
        Self::new(id)
            .docker(crate::docker::python_image())
            .bridge(host_port, 8080)
            .shell("python3 -m http.server 8080")
            .needs(0.5, 64.0, &[host_port])
    }

    /// Its id.
    pub fn id(&self) -> &str {
        self.info["task_id"]["value"].as_str().unwrap_or_default()
    }

    /// The TaskInfo for an offer: with that offer's agent.
    pub fn on(mut self, offer: &Value) -> Value {
        self.info["agent_id"] = offer["agent_id"].clone();
        self.info
    }
}
