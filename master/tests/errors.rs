//! Every refused or odd request that was recorded from a Mesos 1.11.0 gets the same answer here.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod common;

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use common::{Agent, Client, TestMaster};
use mesos_master::MasterConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The framework and the stream of the recording that calls are made for.
const RECORDED_FRAMEWORK: &str = "172cd0aa-1b83-4417-a033-3bb0d2c3b746-0007";
const RECORDED_STREAM: &str = "6912beaa-6cd7-4cc5-8315-eb670eed7485";

struct Answer {
    status: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("headers end")
        + 4;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Answer {
        status,
        headers,
        body: bytes[end..].to_vec(),
    }
}

/// The records of a chunked stream, each with its length in front.
fn records(body: &[u8]) -> Vec<String> {
    let mut rest = body;
    let mut records = Vec::new();
    while let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if length == 0 || rest.len() < end + 2 + length {
            break;
        }
        records.push(String::from_utf8_lossy(&rest[end + 2..end + 2 + length]).into_owned());
        rest = &rest[(end + 4 + length).min(rest.len())..];
    }
    records
}

async fn send(address: std::net::SocketAddr, request: &[u8], stream: bool) -> Answer {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    let enough = |bytes: &[u8]| {
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            return false;
        };
        let answer = parse(bytes);
        if stream {
            let records = records(&answer.body);
            return records.len() >= 2 || answer.body.ends_with(b"0\r\n\r\n");
        }
        let length = answer
            .headers
            .get("content-length")
            .and_then(|length| length.parse::<usize>().ok());
        length.is_some_and(|length| bytes.len() >= end + 4 + length)
    };
    while !enough(&bytes) {
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(10), connection.read(&mut buffer))
            .await
            .unwrap_or_else(|_| {
                panic!(
                    "an answer in time, so far: {}",
                    String::from_utf8_lossy(&bytes)
                )
            })
            .unwrap();
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&buffer[..read]);
    }
    parse(&bytes)
}

/// The names of an event's fields, with their places; ids and numbers vary.
fn shape(record: &str) -> Vec<String> {
    fn walk(value: &serde_json::Value, path: &str, out: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    walk(value, &format!("{path}.{name}"), out);
                }
            }
            serde_json::Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    walk(item, &format!("{path}[{index}]"), out);
                }
            }
            _ => {}
        }
        out.push(path.to_owned());
    }
    let json = record.split_once('\n').expect("a length in front").1;
    let mut out = Vec::new();
    walk(
        &serde_json::from_str(json).expect("an event is JSON"),
        "",
        &mut out,
    );
    out.sort();
    out
}

#[tokio::test]
async fn recorded_requests_get_the_recorded_answers() {
    let master = TestMaster::start(MasterConfig::default()).await;
    let _agent = Agent::register(&master).await.welcomed().await;
    let client = Client::subscribe(&master, r#""failover_timeout":60"#).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/errors");
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "req"))
        .collect();
    names.sort();
    assert!(names.len() >= 30, "the recordings are there");
    let mut wrong = Vec::new();
    for path in names {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let recorded = parse(&fs::read(path.with_extension("res")).unwrap());
        let request = fs::read(&path).unwrap();
        let request = replace(&request, RECORDED_FRAMEWORK, &client.id);
        let request = replace(&request, RECORDED_STREAM, &client.stream_id);
        let stream = recorded.headers.contains_key("transfer-encoding");
        let answer = send(master.running.address, &request, stream).await;
        let mut differs = |what: &str, theirs: String, ours: String| {
            if theirs != ours {
                wrong.push(format!(
                    "{name}: {what}\n  recorded {theirs}\n  found    {ours}"
                ));
            }
        };
        differs("status", recorded.status.clone(), answer.status.clone());
        let header = |answer: &Answer| {
            answer
                .headers
                .get("content-type")
                .cloned()
                .unwrap_or_default()
        };
        differs("content type", header(&recorded), header(&answer));
        if stream {
            assert!(answer.headers.contains_key("mesos-stream-id"), "{name}");
            let (theirs, ours) = (records(&recorded.body), records(&answer.body));
            for (theirs, ours) in theirs.iter().zip(&ours).take(2) {
                differs("event", shape(theirs).join("\n"), shape(ours).join("\n"));
            }
            if theirs[0].contains("ERROR") {
                differs("error", theirs[0].clone(), ours[0].clone());
            }
        } else {
            // Ours may say more at the end: where it was found, what is allowed.
            let text = |answer: &Answer| String::from_utf8_lossy(&answer.body).into_owned();
            let theirs = text(&recorded).replace(RECORDED_FRAMEWORK, &client.id);
            let mut ours = text(&answer);
            if !theirs.is_empty() && ours.starts_with(&theirs) {
                ours.truncate(theirs.len());
            }
            differs("body", theirs, ours);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    master.stop().await;
}

fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    // Same length, or the recorded Content-Length would be wrong.
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let (from, to) = (from.as_bytes(), to.as_bytes());
    for at in 0..bytes.len().saturating_sub(from.len()) + 1 {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    bytes
}

#[tokio::test]
async fn another_method_is_refused_with_what_is_allowed() {
    let master = TestMaster::start(MasterConfig::default()).await;
    for path in ["/api/v1/scheduler", "/master/api/v1/scheduler"] {
        let response = reqwest::get(master.url(path)).await.unwrap();
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "POST");
    }
    master.stop().await;
}

/// Every call that was recorded in a long session is one that we read and find valid.
#[test]
fn recorded_calls_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/calls");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let body = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let call: mesos_wire::v1::scheduler::Call =
            mesos_wire::decode(mesos_wire::Encoding::Json, &bytes[body..])
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        mesos_master::validation::call::validate(&call, None)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        count += 1;
    }
    assert!(count >= 35, "{count} recordings");
}
