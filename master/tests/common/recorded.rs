//! Recorded sessions, and whether ours look like them.
use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

/// A file below `tests/data`.
fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A recorded event of a kind that `fits`.
pub fn recorded(session: &str, fits: impl Fn(&Value) -> bool) -> Value {
    file(&format!("sessions/{session}.events.jsonl"))
        .lines()
        .map(|line| serde_json::from_str::<Value>(line.split_once(' ').unwrap().1).unwrap())
        .find(fits)
        .expect("such an event was recorded")
}

/// The JSON body of a recorded message: what follows its headers.
pub fn recorded_body(name: &str) -> Value {
    let message = file(name);
    let (_, body) = message.split_once("\r\n\r\n").expect("headers and a body");
    serde_json::from_str(body).expect("the body is JSON")
}

/// The names of all fields in it.
pub fn fields(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, out: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => map
                .iter()
                .for_each(|(name, value)| walk(value, &format!("{path}.{name}"), out)),
            Value::Array(items) => items
                .iter()
                .for_each(|item| walk(item, &format!("{path}[]"), out)),
            _ => {}
        }
        out.insert(path.to_owned());
    }
    let mut out = BTreeSet::new();
    walk(value, "", &mut out);
    out
}

/// Ours has the fields of the recorded event that `fits`.
pub fn like(session: &str, ours: &Value, fits: impl Fn(&Value) -> bool) {
    let theirs = recorded(session, fits);
    assert_eq!(
        fields(&theirs),
        fields(ours),
        "recorded {theirs}\nfound {ours}"
    );
}
