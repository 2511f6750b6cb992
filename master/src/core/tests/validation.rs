//! Every rule that a task must keep, as a table: what is changed about a valid task, and what is said.
use mesos_wire::v1::agent_info::capability::Type as AgentCapability;
use serde_json::{Value, json};

use super::world::{AWARE, World};

/// A task that is fine, with some fields replaced; `null` takes a field away.
fn task(agent: &str, changes: &Value) -> String {
    let mut task = json!({
        "name": "t", "task_id": {"value": "t"}, "agent_id": {"value": agent},
        "resources": [cpus(1.0), mem(32.0)],
        "command": {"value": "true"},
    });
    let fields = task.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("changes are an object") {
        if value.is_null() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
    task.to_string()
}

fn cpus(value: f64) -> Value {
    json!({"name": "cpus", "type": "SCALAR", "scalar": {"value": value}})
}

fn mem(value: f64) -> Value {
    json!({"name": "mem", "type": "SCALAR", "scalar": {"value": value}})
}

fn ports(begin: u64, end: u64) -> Value {
    json!({"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": begin, "end": end}]}})
}

fn executor(changes: &Value) -> Value {
    let mut executor = json!({
        "executor_id": {"value": "e"}, "command": {"value": "run"},
        "resources": [cpus(0.1), mem(32.0)],
    });
    let fields = executor.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("changes are an object") {
        if value.is_null() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
    executor
}

fn environment(variable: &Value) -> Value {
    json!({"command": {"value": "true", "environment": {"variables": [variable]}}})
}

fn volume(changes: &Value) -> Value {
    let mut volume = json!({"mode": "RW", "container_path": "/v"});
    let fields = volume.as_object_mut().expect("an object");
    fields.extend(changes.as_object().expect("changes are an object").clone());
    json!({"container": {"type": "MESOS", "volumes": [volume]}})
}

/// Launches each task in a world of its own; an empty text means that it is launched.
fn check(cases: &[(Value, &str)]) {
    let mut wrong = Vec::new();
    for (changes, expected) in cases {
        let found = outcome(changes);
        if !(found == *expected || (!expected.is_empty() && found.contains(expected))) {
            wrong.push(format!(
                "{changes}\n  expected {expected:?}\n  found    {found:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn outcome(changes: &Value) -> String {
    let mut world = World::new();
    world.capabilities.push(AgentCapability::TaskResourceLimits);
    let client = world.subscribe(AWARE);
    let agent = world.agent();
    let offer = world.offer(&client);
    world.accept(&client, &[&offer], &task(&agent.id, changes), 0.0);
    let events = world.events.remove(&client.stream).unwrap_or_default();
    let message = events
        .into_iter()
        .find_map(|event| Some(event.update?.status));
    message.map_or_else(String::new, |status| {
        assert_eq!(status.state().as_str_name(), "TASK_ERROR");
        assert_eq!(status.reason().as_str_name(), "REASON_TASK_INVALID");
        assert_eq!(status.uuid, None);
        status.message().to_owned()
    })
}

#[test]
fn ids_agents_and_times() {
    check(&[
        (json!({}), ""),
        (json!({"task_id": {"value": ""}}), "ID must not be empty"),
        (json!({"task_id": {"value": ".."}}), "'..' is disallowed"),
        (
            json!({"task_id": {"value": "a/b"}}),
            "'a/b' contains invalid characters",
        ),
        (
            json!({"task_id": {"value": "x".repeat(256)}}),
            "ID must not be greater than 255 characters",
        ),
        (
            json!({"data": "AAAA".repeat(6 << 20)}),
            "at most 16777216 are taken",
        ),
        (
            json!({"agent_id": {"value": "other"}}),
            "Task uses invalid agent other while agent M-S0 is expected",
        ),
        (
            json!({"kill_policy": {"grace_period": {"nanoseconds": -1}}}),
            "Task's 'kill_policy.grace_period' must be non-negative",
        ),
        (
            json!({"kill_policy": {"grace_period": {"nanoseconds": 0}}}),
            "",
        ),
        (
            json!({"max_completion_time": {"nanoseconds": -1}}),
            "Task's `max_completion_time` must be non-negative",
        ),
    ]);
}

#[test]
fn checks_and_health_checks() {
    let check_of = |value: Value| json!({"check": value});
    let health = |value: Value| json!({"health_check": value});
    check(&[
        (
            check_of(json!({})),
            "Task uses invalid check: CheckInfo must specify 'type'",
        ),
        (
            check_of(json!({"type": "UNKNOWN"})),
            "'UNKNOWN' is not a valid check type",
        ),
        (
            check_of(json!({"type": "COMMAND"})),
            "Expecting 'command' to be set for COMMAND check",
        ),
        (
            check_of(json!({"type": "COMMAND", "command": {"command": {}}})),
            "must contain 'shell command'",
        ),
        (
            check_of(json!({"type": "COMMAND", "command": {"command": {"shell": false}}})),
            "must contain 'executable path'",
        ),
        (
            check_of(json!({"type": "COMMAND", "command": {"command": {"value": "true"}}})),
            "",
        ),
        (
            check_of(json!({"type": "HTTP"})),
            "Expecting 'http' to be set for HTTP check",
        ),
        (
            check_of(json!({"type": "HTTP", "http": {"port": 1, "path": "x"}})),
            "must start with '/'",
        ),
        (
            check_of(json!({"type": "HTTP", "http": {"port": 70000}})),
            "Port 70000",
        ),
        (
            check_of(json!({"type": "TCP"})),
            "Expecting 'tcp' to be set for TCP check",
        ),
        (check_of(json!({"type": "TCP", "tcp": {"port": 1}})), ""),
        (
            check_of(json!({"type": "TCP", "tcp": {"port": 1}, "delay_seconds": -1})),
            "Expecting 'delay_seconds' to be non-negative",
        ),
        (
            check_of(json!({"type": "TCP", "tcp": {"port": 1}, "interval_seconds": -1})),
            "'interval_seconds'",
        ),
        (
            check_of(json!({"type": "TCP", "tcp": {"port": 1}, "timeout_seconds": -1})),
            "'timeout_seconds'",
        ),
        (
            health(json!({})),
            "Task uses invalid health check: HealthCheck must specify 'type'",
        ),
        // Older frameworks leave the type out.
        (health(json!({"command": {"value": "true"}})), ""),
        (health(json!({"http": {"port": 80}})), ""),
        (
            health(json!({"type": "COMMAND"})),
            "Expecting 'command' to be set for COMMAND health check",
        ),
        (
            health(json!({"type": "HTTP"})),
            "Expecting 'http' to be set for HTTP health check",
        ),
        (
            health(json!({"type": "TCP"})),
            "Expecting 'tcp' to be set for TCP health check",
        ),
        (
            health(json!({"type": "HTTP", "http": {"port": 80, "scheme": "ftp"}})),
            "Unsupported HTTP health check scheme: 'ftp'",
        ),
        (
            health(json!({"type": "HTTP", "http": {"port": 80, "scheme": "https", "path": "/"}})),
            "",
        ),
        (
            health(json!({"type": "HTTP", "http": {"port": 80, "path": "x"}})),
            "must start with '/'",
        ),
        (
            health(json!({"type": "TCP", "tcp": {"port": 1}, "grace_period_seconds": -1})),
            "Expecting 'grace_period_seconds' to be non-negative",
        ),
    ]);
}

#[test]
fn resources() {
    let with = |resources: Value| json!({"resources": resources});
    let disk = |disk: Value, more: Value| {
        let mut resource =
            json!({"name": "disk", "type": "SCALAR", "scalar": {"value": 1}, "disk": disk});
        let fields = resource.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        json!({"resources": [cpus(1.0), resource]})
    };
    let dev = json!({"reservations": [{"role": "dev", "type": "DYNAMIC"}]});
    let persistence =
        json!({"persistence": {"id": "p"}, "volume": {"mode": "RW", "container_path": "p"}});
    check(&[
        (with(json!([])), "Task uses no resources"),
        (json!({"resources": null}), "Task uses no resources"),
        (with(json!([cpus(0.0)])), "Task uses no resources"),
        (with(json!([cpus(-1.0)])), "Task uses invalid resources"),
        (
            with(json!([{"name": "cpus", "type": "SCALAR"}])),
            "Task uses invalid resources",
        ),
        (
            with(json!([cpus(1.0), ports(31005, 31001)])),
            "ends before it begins",
        ),
        (
            with(json!([cpus(1.0), ports(31000, 31005), ports(31005, 31009)])),
            "'ports' is given twice",
        ),
        (
            with(json!([cpus(1.0), ports(31000, 31005), ports(31006, 31009)])),
            "",
        ),
        (
            with(json!([{"name": "gpus", "type": "SCALAR", "scalar": {"value": 0.5}}])),
            "gpus must be whole",
        ),
        (
            disk(
                json!({"volume": {"mode": "RW", "container_path": "x"}}),
                json!({}),
            ),
            "Non-persistent volume not supported",
        ),
        (
            disk(persistence.clone(), json!({})),
            "cannot be created from unreserved resources",
        ),
        (
            disk(
                persistence.clone(),
                json!({"reservations": [{"role": "dev", "type": "STATIC"}], "revocable": {}}),
            ),
            "cannot be created from revocable resources",
        ),
        (
            disk(json!({"persistence": {"id": "p"}}), dev.clone()),
            "Expecting 'volume' to be set",
        ),
        (
            disk(
                json!({"persistence": {"id": "p"}, "volume": {"mode": "RW", "container_path": "p", "host_path": "/x"}}),
                dev.clone(),
            ),
            "Expecting 'host_path' to be unset",
        ),
        (
            disk(
                json!({"persistence": {"id": "a/b"}, "volume": {"mode": "RW", "container_path": "p"}}),
                dev.clone(),
            ),
            "persistence id",
        ),
        (
            with(json!([
                {"name": "disk", "type": "SCALAR", "scalar": {"value": 1}, "disk": persistence, "reservations": dev["reservations"]},
                {"name": "disk", "type": "SCALAR", "scalar": {"value": 2}, "disk": persistence, "reservations": dev["reservations"]}])),
            "Persistence ID 'p' is not unique",
        ),
        (
            with(
                json!([{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}, "revocable": {},
                "reservations": dev["reservations"]}]),
            ),
            "dynamically reserved resource cannot be revocable",
        ),
        (
            with(
                json!([cpus(1.0), {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}, "revocable": {}}]),
            ),
            "Cannot use both revocable and non-revocable 'cpus'",
        ),
        (
            with(
                json!([cpus(1.0), {"name": "mem", "type": "SCALAR", "scalar": {"value": 1}, "allocation_info": {"role": "x"}}]),
            ),
            "allocated to multiple roles",
        ),
        (
            with(
                json!([{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}, "allocation_info": {"role": "x"}}]),
            ),
            "is more than available",
        ),
        (
            with(Value::Array(vec![cpus(0.001); 1001])),
            "1001 entries of resources",
        ),
        (
            with(json!([cpus(100.0), mem(32.0)])),
            "Total resources cpus(allocated: *):100; mem(allocated: *):32 required by task and its executor \
             is more than available",
        ),
        (
            with(json!([cpus(1.0), ports(80, 80)])),
            "is more than available",
        ),
        (
            with(json!([cpus(4.0), mem(4096.0), ports(31000, 32000)])),
            "",
        ),
    ]);
}

#[test]
fn commands_and_containers() {
    let container = |value: Value| json!({"container": value});
    check(&[
        (
            json!({"command": null}),
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        ),
        (
            json!({"executor": executor(&json!({}))}),
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        ),
        (environment(&json!({"name": "A", "value": "1"})), ""),
        (
            environment(&json!({"name": "A"})),
            "of type 'VALUE' must have a value set",
        ),
        (
            environment(
                &json!({"name": "A", "value": "1", "secret": {"type": "VALUE", "value": {"data": ""}}}),
            ),
            "of type 'VALUE' must not have a secret set",
        ),
        (
            environment(&json!({"name": "A", "type": "UNKNOWN", "value": "1"})),
            "of type 'UNKNOWN' is not allowed",
        ),
        (
            environment(&json!({"name": "A", "type": "SECRET"})),
            "of type 'SECRET' must have a secret set",
        ),
        (
            environment(&json!({"name": "A", "type": "SECRET", "value": "1",
                "secret": {"type": "VALUE", "value": {"data": "YQ=="}}})),
            "of type 'SECRET' must not have a value set",
        ),
        (
            environment(
                &json!({"name": "A", "type": "SECRET", "secret": {"type": "VALUE", "value": {"data": "AA=="}}}),
            ),
            "null bytes",
        ),
        (
            environment(&json!({"name": "A", "type": "SECRET", "secret": {"type": "REFERENCE"}})),
            "must have the 'reference' field set",
        ),
        (
            environment(&json!({"name": "A", "type": "SECRET",
                "secret": {"type": "REFERENCE", "reference": {"name": "r"}, "value": {"data": "YQ=="}}})),
            "must not have the 'value' field set",
        ),
        (
            environment(&json!({"name": "A", "type": "SECRET", "secret": {"type": "VALUE"}})),
            "must have the 'value' field set",
        ),
        (
            environment(
                &json!({"name": "A", "type": "SECRET", "secret": {"type": "VALUE",
                "reference": {"name": "r"}, "value": {"data": "YQ=="}}}),
            ),
            "must not have the 'reference' field set",
        ),
        (
            environment(&json!({"name": "A", "type": "SECRET", "secret": {"type": "UNKNOWN"}})),
            "Secret of type UNKNOWN is not allowed",
        ),
        (
            environment(&json!({"name": "A=B", "value": "1"})),
            "cannot be the name of an environment variable",
        ),
        (
            container(json!({"type": "DOCKER"})),
            "DockerInfo 'docker' is not set",
        ),
        (
            container(json!({"type": "DOCKER", "docker": {"image": "i"}})),
            "",
        ),
        (
            container(
                json!({"type": "DOCKER", "docker": {"image": "i", "parameters": [{"key": "name", "value": "x"}]}}),
            ),
            "Parameter in DockerInfo must not be 'name'",
        ),
        (
            container(json!({"type": "MESOS", "linux_info": {"share_cgroups": false}})),
            "Only tasks in a task group may have 'share_cgroups' set to 'false'",
        ),
        (volume(&json!({"host_path": "/h"})), ""),
        (
            volume(&json!({})),
            "Exactly one of 'host_path', 'image' or 'source' must be set",
        ),
        (
            volume(
                &json!({"host_path": "/h", "source": {"type": "HOST_PATH", "host_path": {"path": "/h"}}}),
            ),
            "Exactly one of 'host_path', 'image' or 'source' must be set",
        ),
        (volume(&json!({"source": {}})), "'source.type' is not set"),
        (
            volume(&json!({"source": {"type": "UNKNOWN"}})),
            "'source.type' is unknown",
        ),
        (
            volume(&json!({"source": {"type": "DOCKER_VOLUME"}})),
            "'source.docker_volume' is not set",
        ),
        (
            volume(&json!({"source": {"type": "HOST_PATH"}})),
            "'source.host_path' is not set",
        ),
        (
            volume(&json!({"source": {"type": "SANDBOX_PATH"}})),
            "'source.sandbox_path' is not set",
        ),
        (
            volume(&json!({"source": {"type": "SANDBOX_PATH", "sandbox_path": {"path": "x"}}})),
            "must be SELF or PARENT",
        ),
        (
            volume(
                &json!({"source": {"type": "SANDBOX_PATH", "sandbox_path": {"type": "SELF", "path": "../x"}}}),
            ),
            "must not hold '..'",
        ),
        (
            volume(&json!({"source": {"type": "SECRET"}})),
            "'source.secret' is not set",
        ),
        (
            volume(&json!({"source": {"type": "CSI_VOLUME"}})),
            "'source.csi_volume' is not set",
        ),
    ]);
}

#[test]
fn limits() {
    let limits = |value: Value| json!({"limits": value});
    check(&[
        (
            limits(json!({"cpus": {"value": 2.0}, "mem": {"value": "Infinity"}})),
            "",
        ),
        (
            limits(json!({"disk": {"value": 2.0}})),
            "only 'cpus' and 'mem' can be limited",
        ),
        (
            limits(json!({"cpus": {"value": 0.5}})),
            "is below its request of 1",
        ),
        (
            json!({"resources": [cpus(1.0)], "limits": {"mem": {"value": 64}}}),
            "specifies a limit for 'mem' but requests no 'mem'",
        ),
    ]);
    let mut world = World::new();
    let (client, agent) = world.pair();
    let offer = world.offer(&client);
    world.accept(
        &client,
        &[&offer],
        &task(&agent.id, &limits(json!({"cpus": {"value": 2.0}}))),
        0.0,
    );
    assert!(world.take(&client)[0].contains("lacks the capability TASK_RESOURCE_LIMITS"));
}

#[test]
fn executors() {
    let with = |changes: Value| json!({"command": null, "executor": executor(&changes)});
    check(&[
        (with(json!({})), ""),
        (with(json!({"type": "CUSTOM"})), ""),
        (with(json!({"type": "DEFAULT"})), "must be 'CUSTOM'"),
        (
            with(json!({"command": null})),
            "'ExecutorInfo.command' must be set for 'CUSTOM' executor",
        ),
        (
            with(json!({"executor_id": {"value": "a/b"}})),
            "'a/b' contains invalid characters",
        ),
        (
            with(json!({"framework_id": {"value": "other"}})),
            "ExecutorInfo has an invalid FrameworkID",
        ),
        (with(json!({"framework_id": {"value": "M-0000"}})), ""),
        (
            with(json!({"shutdown_grace_period": {"nanoseconds": -1}})),
            "ExecutorInfo's 'shutdown_grace_period' must be non-negative",
        ),
        (
            with(json!({"resources": [cpus(-1.0)]})),
            "Executor uses invalid resources",
        ),
        (
            with(json!({"container": {"type": "DOCKER"}})),
            "Executor's `ContainerInfo` is invalid",
        ),
        (
            with(json!({"container": {"type": "MESOS", "linux_info": {"share_cgroups": true}}})),
            "cannot be set to 'true' on executor containers",
        ),
        (
            json!({"command": null, "resources": [cpus(1.0), ports(31000, 31001)],
                   "executor": executor(&json!({"resources": [cpus(0.1), ports(31001, 31002)]}))}),
            "Task and its executor use invalid resources",
        ),
        (
            json!({"command": null,
                   "executor": executor(&json!({"resources": [
                       {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}, "revocable": {}}]}))}),
            "Cannot use both revocable and non-revocable 'cpus'",
        ),
        (
            with(json!({"resources": [cpus(4.0)]})),
            "required by task and its executor is more than available",
        ),
        (
            with(
                json!({"resources": [{"name": "disk", "type": "SCALAR", "scalar": {"value": 1}, "shared": {}}]}),
            ),
            "Executor resources must not be shared",
        ),
    ]);
}

#[test]
fn an_id_is_taken_until_its_end_is_acknowledged() {
    let mut world = World::new();
    let (client, agent) = world.running(&["t"]);
    let launch = |world: &mut World| {
        world.call(&client, r#""type":"REVIVE""#);
        let offer = world.offer(&client);
        world.accept(&client, &[&offer], &task(&agent.id, &json!({})), 0.0);
        world.take(&client)
    };
    assert!(launch(&mut world)[0].contains("Task has duplicate ID: t"));
    world.update(
        &agent,
        &client,
        "t",
        mesos_wire::v1::TaskState::TaskFinished,
        5,
    );
    assert!(launch(&mut world)[0].contains("Task has duplicate ID: t"));
    world.acknowledge(&agent, &client, "t", 5);
    assert!(launch(&mut world).is_empty());
    // On an unreachable agent it is taken too.
    world.close_session(&agent);
    world.advance(std::time::Duration::from_secs(76));
    world.take(&client);
    let other = world.agent_at(6000);
    let offer = world.offer(&client);
    world.accept(&client, &[&offer], &task(&other.id, &json!({})), 0.0);
    let events = world.take(&client);
    assert!(
        events
            .iter()
            .any(|event| event.contains("ID of an unreachable task: t")),
        "{events:?}"
    );
}
