//! The same names and kinds of values as recorded from Apache Mesos.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Master, cluster, cluster::describe};

/// Objects whose names are data.
const MAPS: [&str; 12] = [
    "attributes",
    "flags",
    "resources",
    "used_resources",
    "offered_resources",
    "unreserved_resources",
    "reserved_resources",
    "reserved_resources_full",
    "allocated",
    "offered",
    "consumed",
    "limit",
];

/// Lists whose elements are of the same kind, whatever became of them.
const SAME: [(&str, &str); 2] = [
    ("completed_tasks", "tasks"),
    ("completed_frameworks", "frameworks"),
];

/// The body of a recorded answer.
fn recorded(bytes: &[u8]) -> Value {
    let head = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head and a body");
    serde_json::from_slice(&bytes[head + 4..]).expect("the recorded body is JSON")
}

#[derive(Debug, Default)]
struct Node {
    objects: usize,
    /// How often each name stands there, and with which kinds of values.
    names: BTreeMap<String, (usize, BTreeSet<&'static str>)>,
}

type Shape = BTreeMap<String, Node>;

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "double",
        Value::Number(_) => "integer",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

fn walk(value: &Value, path: &str, shape: &mut Shape) {
    match value {
        Value::Array(items) => items
            .iter()
            .for_each(|item| walk(item, &format!("{path}[]"), shape)),
        Value::Object(fields) => {
            let node = shape.entry(path.to_owned()).or_default();
            node.objects += 1;
            for (name, value) in fields {
                let (count, kinds) = node.names.entry(name.clone()).or_default();
                *count += 1;
                kinds.insert(kind(value));
            }
            for (name, value) in fields {
                if value.is_object() && MAPS.contains(&name.as_str()) {
                    continue;
                }
                let name = SAME
                    .iter()
                    .find(|(from, _)| from == name)
                    .map_or(name.as_str(), |(_, to)| to);
                walk(value, &format!("{path}.{name}"), shape);
            }
        }
        _ => {}
    }
}

fn shape(value: &Value) -> Shape {
    let mut shape = Shape::new();
    walk(value, "", &mut shape);
    shape
}

/// Names that only one side has, or with another kind of value. A name that is in every recorded object
/// must be in every one of ours; one of ours must be in some recorded object.
fn differences(recorded: &[Value], ours: &Value, aside: &[&str]) -> Vec<String> {
    let mut expected = Shape::new();
    for recorded in recorded {
        walk(recorded, "", &mut expected);
    }
    let mut found = Vec::new();
    for (path, node) in shape(ours) {
        let Some(known) = expected.get(&path) else {
            if !aside.contains(&path.as_str()) {
                found.push(format!("{path}: no such object was recorded"));
            }
            continue;
        };
        for (name, (_, kinds)) in &node.names {
            let full = format!("{path}.{name}");
            if aside.contains(&full.as_str()) {
                continue;
            }
            match known.names.get(name) {
                None => found.push(format!("{full}: not recorded")),
                Some((_, known)) if !kinds.is_subset(known) => {
                    found.push(format!("{full}: {kinds:?} instead of {known:?}"));
                }
                Some(_) => {}
            }
        }
        for (name, (count, _)) in &known.names {
            let full = format!("{path}.{name}");
            let always = *count == known.objects;
            let there = node.names.get(name).map_or(0, |(count, _)| *count);
            if always && there < node.objects && !aside.contains(&full.as_str()) {
                found.push(format!("{full}: in {there} of {} objects", node.objects));
            }
        }
    }
    found
}

macro_rules! golden {
    ($name:literal) => {
        recorded(include_bytes!(concat!("../../../tests/golden/", $name)))
    };
}

/// Paths that recorded answers do not have because nothing of the kind ran there.
const COMMAND: [&str; 5] = [
    ".frameworks[].executors[].command.shell",
    ".frameworks[].executors[].command.value",
    ".get_state.get_executors.executors[].executor_info.command",
    ".get_executors.executors[].executor_info.command",
    ".executor_info.command",
];

/// The v1 `AgentInfo` has no `checkpoint`; Mesos writes its internal message there.
const CHECKPOINT: [&str; 2] = [
    ".get_agents.agents[].agent_info.checkpoint",
    ".get_state.get_agents.agents[].agent_info.checkpoint",
];

/// A commit and a tag are known to some builds only.
const BUILD: [&str; 4] = [
    ".git_sha",
    ".git_tag",
    ".get_version.version_info.git_sha",
    ".get_version.version_info.git_tag",
];

#[tokio::test]
async fn older_endpoints_look_as_recorded() {
    let mut world = cluster();
    let seen = describe(&world);
    let master = Master::of(&mut world);
    let cases = [
        (
            "/state",
            vec![golden!("state.res"), golden!("frameworks-offered.res")],
        ),
        ("/state-summary", vec![golden!("state-summary.res")]),
        (
            "/slaves",
            vec![golden!("slaves.res"), golden!("slaves-back.res")],
        ),
        (
            "/frameworks",
            vec![golden!("frameworks.res"), golden!("frameworks-offered.res")],
        ),
        ("/tasks", vec![golden!("tasks.res")]),
        ("/roles", vec![golden!("roles.res")]),
    ];
    for (path, recorded) in cases {
        let ours = master.get(path).await.json();
        let mut aside = COMMAND.to_vec();
        aside.extend(BUILD);
        // Of the two recordings put together, only one is a whole state.
        aside.extend([
            ".version",
            ".unregistered_frameworks",
            ".roles[].quota.limit.cpus",
        ]);
        assert_eq!(
            differences(&recorded, &ours, &aside),
            Vec::<String>::new(),
            "{path}\n{seen}{ours:#}"
        );
    }
}

#[tokio::test]
async fn operator_answers_look_as_recorded() {
    let mut world = cluster();
    let master = Master::of(&mut world);
    let cases = [
        ("GET_STATE", golden!("get_state.res")),
        ("GET_AGENTS", golden!("get_agents.res")),
        ("GET_FRAMEWORKS", golden!("get_frameworks.res")),
        ("GET_TASKS", golden!("get_tasks.res")),
        ("GET_EXECUTORS", golden!("get_executors.res")),
        ("GET_ROLES", golden!("get_roles.res")),
        ("GET_VERSION", golden!("get_version.res")),
        ("GET_HEALTH", golden!("get_health.res")),
        ("GET_LOGGING_LEVEL", golden!("get_logging_level.res")),
        ("GET_OPERATIONS", golden!("get_operations.res")),
        ("GET_QUOTA", golden!("get_quota.res")),
        ("GET_WEIGHTS", golden!("get_weights.res")),
        (
            "GET_MAINTENANCE_STATUS",
            golden!("get_maintenance_status.res"),
        ),
        (
            "GET_MAINTENANCE_SCHEDULE",
            golden!("get_maintenance_schedule.res"),
        ),
    ];
    for (kind, recorded) in cases {
        let ours = master.call(kind).await.json();
        let mut aside = COMMAND.to_vec();
        aside.extend(CHECKPOINT);
        aside.extend(BUILD);
        assert_eq!(
            differences(&[recorded], &ours, &aside),
            Vec::<String>::new(),
            "{kind} {ours:#}"
        );
    }
}

#[tokio::test]
async fn answers_about_nothing_are_those_of_mesos_to_the_byte() {
    let mut world = cluster();
    let master = Master::of(&mut world);
    for (kind, recorded) in [
        ("GET_HEALTH", golden!("get_health.res")),
        ("GET_LOGGING_LEVEL", golden!("get_logging_level.res")),
        ("GET_OPERATIONS", golden!("get_operations.res")),
        ("GET_QUOTA", golden!("get_quota.res")),
        ("GET_WEIGHTS", golden!("get_weights.res")),
        (
            "GET_MAINTENANCE_STATUS",
            golden!("get_maintenance_status.res"),
        ),
        (
            "GET_MAINTENANCE_SCHEDULE",
            golden!("get_maintenance_schedule.res"),
        ),
    ] {
        assert_eq!(master.call(kind).await.json(), recorded, "{kind}");
    }
}

#[tokio::test]
async fn the_order_of_names_is_that_of_mesos() {
    let mut world = cluster();
    let master = Master::of(&mut world);
    let recorded =
        String::from_utf8_lossy(include_bytes!("../../../tests/golden/state.res")).into_owned();
    let ours = master.get("/state").await.text().to_owned();
    for (begin, names) in [
        (
            "\"slaves\":[{",
            &[
                "\"id\"",
                "\"hostname\"",
                "\"attributes\"",
                "\"pid\"",
                "\"used_resources\"",
                "\"active\"",
                "\"capabilities\"",
            ][..],
        ),
        (
            "\"frameworks\":[{",
            &[
                "\"id\"",
                "\"name\"",
                "\"webui_url\"",
                "\"recovered\"",
                "\"user\"",
                "\"roles\"",
                "\"tasks\"",
                "\"executors\"",
                "\"offer_constraints\"",
            ],
        ),
        (
            "\"tasks\":[{",
            &[
                "\"id\"",
                "\"executor_id\"",
                "\"slave_id\"",
                "\"state\"",
                "\"resources\"",
                "\"role\"",
                "\"statuses\"",
            ],
        ),
    ] {
        for text in [&recorded, &ours] {
            let mut at = text.find(begin).expect("the object is there");
            for name in names {
                at += text[at..]
                    .find(name)
                    .unwrap_or_else(|| panic!("{name} follows in {begin}"));
            }
        }
    }
}

#[tokio::test]
async fn what_tells_tasks_apart_is_there() {
    let mut world = cluster();
    let master = Master::of(&mut world);
    let state = master.get("/state").await.json();
    let framework = &state["frameworks"][0];
    let by_id = |list: &Value, id: &str| {
        let list = list.as_array().expect("a list of tasks").clone();
        list.into_iter()
            .find(|task| task["id"] == id)
            .unwrap_or_else(|| panic!("task {id}: {state:#}"))
    };
    let long = by_id(&framework["tasks"], "long");
    assert_eq!(
        (&long["executor_id"], &long["state"]),
        (&Value::from(""), &Value::from("TASK_RUNNING"))
    );
    assert_eq!(by_id(&framework["tasks"], "pa")["executor_id"], "pod");
    let fails = by_id(&framework["completed_tasks"], "fails");
    assert_eq!(
        (&fails["state"], &fails["statuses"][1]["healthy"]),
        (&Value::from("TASK_FAILED"), &Value::from(false))
    );
    assert_eq!(fails["health_check"]["interval_seconds"], 0.5);
    assert_eq!(framework["used_resources"]["cpus"], 0.3);
    assert_eq!(state["slaves"][0]["attributes"]["num"], 3.0);
    assert_eq!(state["slaves"][0]["pid"], "slave(1)@127.0.0.1:5052");
    assert_eq!(state["activated_slaves"].to_string(), "1.0");
    assert_eq!(state["frameworks"][1]["active"], false);
    assert_eq!(state["frameworks"][1]["unregistered_time"], 0.0);
    assert_eq!(state["frameworks"][1]["role"], "*");
    assert_ne!(state["completed_frameworks"][0]["unregistered_time"], 0.0);
    let summary = master.get("/state-summary").await.json();
    let agent = &summary["slaves"][0];
    assert_eq!(
        (&agent["TASK_RUNNING"], &agent["TASK_FAILED"]),
        (&Value::from(2), &Value::from(1))
    );
    assert_eq!(agent["framework_ids"], serde_json::json!([framework["id"]]));
}
