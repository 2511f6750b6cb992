//! Refused and odd requests, byte by byte as a real Mesos 1.11.0 got them: ours answers the same.
//!
//! `data/errors/NAME.req` is what was sent, `NAME.res` what came back.

use std::fs;
use std::path::Path;
use std::time::Duration;

use mesos_test_support::http::{self, Next, Response};
use mesos_test_support::{Scheduler, TestCluster};
use serde_json::Value;

/// Ids in the recording; ours take their place.
const FRAMEWORK: &str = "172cd0aa-1b83-4417-a033-3bb0d2c3b746-0007";
const STREAM: &str = "6912beaa-6cd7-4cc5-8315-eb670eed7485";

/// Where we answer otherwise, on purpose, and what is asserted instead (`docs/differences.md`).
const DIFFERENT: &[(&str, u16)] = &[
    // Mesos closes the connection without a word.
    ("master-http-bad-request-line", 0),
];

fn data(name: &str, extension: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/errors");
    fs::read(folder.join(format!("{name}.{extension}"))).unwrap()
}

fn names() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/errors");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()?
                .strip_suffix(".req")
                .map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}

fn is_for_agent(name: &str) -> bool {
    name.starts_with("agent-") || name.starts_with("op-agent-")
}

fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest
        .windows(from.len())
        .position(|window| window == from.as_bytes())
    {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to.as_bytes());
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// The request with our ids, and the length that its body then has.
fn request(name: &str, scheduler: &Scheduler) -> Vec<u8> {
    let bytes = replace(&data(name, "req"), FRAMEWORK, scheduler.id());
    let bytes = replace(&bytes, STREAM, scheduler.stream_id());
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return bytes;
    };
    let (head, body) = bytes.split_at(end + 4);
    let head: Vec<String> = String::from_utf8_lossy(head)
        .split("\r\n")
        .map(|line| {
            if line.to_lowercase().starts_with("content-length:") {
                format!("Content-Length: {}", body.len())
            } else {
                line.to_owned()
            }
        })
        .collect();
    [head.join("\r\n").as_bytes(), body].concat()
}

/// What was recorded: status, content type, body.
fn recorded(name: &str) -> (u16, Option<String>, String) {
    let text = String::from_utf8_lossy(&data(name, "res")).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let kind = head
        .lines()
        .find_map(|line| {
            line.split_once(": ")
                .filter(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        })
        .map(|(_, value)| value.trim().to_owned());
    (status, kind, body.to_owned())
}

fn is_stream(name: &str) -> bool {
    String::from_utf8_lossy(&data(name, "res")).contains("Transfer-Encoding: chunked")
}

/// Keys of an object, sorted, and of the objects in it.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), shape(value)))
            .collect(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::String(_) => "".into(),
        other => other.clone(),
    }
}

fn without_numbers(mut shape: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Number(_) => *value = 0.into(),
            Value::Object(fields) => fields.values_mut().for_each(walk),
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut shape);
    shape
}

/// The first record of a recorded stream.
fn first_record(body: &str) -> Value {
    let chunk = body.split_once("\r\n").unwrap().1;
    let (length, record) = chunk.split_once('\n').unwrap();
    serde_json::from_str(&record[..length.parse().unwrap()]).unwrap()
}

fn check_stream(name: &str, cluster: &TestCluster, bytes: &[u8]) -> Result<(), String> {
    let (status, kind, body) = recorded(name);
    let stream = http::raw_stream(cluster.master(), bytes).map_err(|error| error.to_string())?;
    if stream.status != status || stream.header("content-type") != kind.as_deref() {
        return Err(format!("{} {:?} came", stream.status, stream.headers));
    }
    if stream.header("mesos-stream-id").is_none() {
        return Err("no Mesos-Stream-Id came".to_owned());
    }
    let expected = first_record(&body);
    let mut records = http::Records::new(stream);
    let Next::Got(first) = records.next_json(Duration::from_secs(20)) else {
        return Err("no event came".to_owned());
    };
    if first["type"] == "ERROR" {
        if first != expected {
            return Err(format!("{first} came"));
        }
        return match records.next_json(Duration::from_secs(20)) {
            Next::Closed => Ok(()),
            other => Err(format!("the stream should end after ERROR: {other:?}")),
        };
    }
    if without_numbers(shape(&first)) != without_numbers(shape(&expected)) {
        return Err(format!(
            "{first} came, expected was the shape of {expected}"
        ));
    }
    match records.next_json(Duration::from_secs(20)) {
        Next::Got(second) if second["type"] == "HEARTBEAT" => Ok(()),
        other => Err(format!("a HEARTBEAT should follow at once: {other:?}")),
    }
}

fn check_answer(name: &str, response: &Response, scheduler: &Scheduler) -> Result<(), String> {
    let (status, kind, body) = recorded(name);
    let body = body
        .replace(FRAMEWORK, scheduler.id())
        .replace(STREAM, scheduler.stream_id());
    let came = (
        response.status,
        response.header("content-type").map(str::to_owned),
        response.text(),
    );
    // We also say where in the message it was, ` (at kill.task_id)`: docs/differences.md.
    let located = came
        .2
        .split_once(" (at ")
        .is_some_and(|(text, _)| text == body);
    let same_but_text = (came.0, &came.1) == (status, &kind);
    if same_but_text && (came.2 == body || located) {
        Ok(())
    } else {
        Err(format!(
            "{came:?} came, expected was {:?}",
            (status, kind, body)
        ))
    }
}

/// Replays every request that `belongs`; what differs, in words.
fn replay(cluster: &TestCluster, scheduler: &Scheduler, belongs: impl Fn(&str) -> bool) {
    let names: Vec<String> = names().into_iter().filter(|name| belongs(name)).collect();
    assert!(names.len() > 10, "{names:?}");
    let mut wrong = Vec::new();
    for name in &names {
        let bytes = request(name, scheduler);
        let address = if is_for_agent(name) {
            cluster.agent()
        } else {
            cluster.master()
        };
        if let Some((_, expected)) = DIFFERENT.iter().find(|(different, _)| different == name) {
            let status = http::raw(address, &bytes)
                .unwrap()
                .map_or(0, |response| response.status);
            let fine = if *expected == 0 {
                status >= 400
            } else {
                status == *expected
            };
            if !fine {
                wrong.push(format!(
                    "{name}: {status} came, expected was our own {expected}"
                ));
            }
            continue;
        }
        let result = if is_stream(name) {
            check_stream(name, cluster, &bytes)
        } else {
            match http::raw(address, &bytes) {
                Ok(Some(response)) => check_answer(name, &response, scheduler),
                Ok(None) => Err("the connection was closed without an answer".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        };
        if let Err(error) = result {
            wrong.push(format!("{name}: {error}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        names.len(),
        wrong.join("\n")
    );
}

#[test]
fn what_a_mesos_master_refuses_is_refused_in_the_same_words() {
    let cluster = TestCluster::builder().start();
    let scheduler = Scheduler::subscribe(cluster.master(), "errors");
    replay(&cluster, &scheduler, |name| !is_for_agent(name));
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn what_a_mesos_agent_refuses_is_refused_in_the_same_words() {
    let cluster = TestCluster::start();
    let scheduler = Scheduler::subscribe(cluster.master(), "errors");
    replay(&cluster, &scheduler, is_for_agent);
    scheduler.teardown();
    cluster.finish();
}
