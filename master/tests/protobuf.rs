//! The scheduler API in protobuf: what was sent to a Mesos 1.11.0 is read, what it answered is what we answer.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod common;

use std::{path::Path, time::Duration};

use common::{Agent, TestMaster};
use mesos_master::MasterConfig;
use mesos_wire::{
    Encoding, decode, encode,
    v1::scheduler::{Call, Event, event::Type},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

fn read(name: &str) -> Vec<u8> {
    std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data/pb")
            .join(name),
    )
    .unwrap()
}

fn split(bytes: &[u8]) -> (String, &[u8]) {
    let end = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("headers end")
        + 4;
    (
        String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase(),
        &bytes[end..],
    )
}

/// The records of a chunked stream, without their lengths.
fn records(mut rest: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if length == 0 || rest.len() < end + 2 + length {
            break;
        }
        let chunk = &rest[end + 2..end + 2 + length];
        let prefix = chunk
            .iter()
            .position(|b| *b == b'\n')
            .expect("a length in front");
        let size: usize = std::str::from_utf8(&chunk[..prefix])
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(size, length - prefix - 1, "one record is one chunk");
        records.push(chunk[prefix + 1..].to_vec());
        rest = &rest[(end + 4 + length).min(rest.len())..];
    }
    records
}

/// Sends a recorded SUBSCRIBE and reads three events, or more until there is an offer.
async fn subscribe(master: &TestMaster, request: &[u8], encoding: Encoding) -> Vec<Event> {
    let mut connection = TcpStream::connect(master.running.address).await.unwrap();
    connection.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(10), connection.read(&mut buffer))
            .await
            .expect("events in time")
            .unwrap();
        assert_ne!(read, 0, "the stream is open");
        bytes.extend_from_slice(&buffer[..read]);
        if bytes.windows(4).any(|w| w == b"\r\n\r\n") {
            let (head, body) = split(&bytes);
            assert!(
                head.contains(&format!("content-type: {}", encoding.content_type())),
                "{head}"
            );
            let events: Vec<Event> = records(body)
                .iter()
                .map(|record| decode(encoding, record).unwrap())
                .collect();
            if events.iter().any(|event| event.r#type() == Type::Offers) {
                return events;
            }
        }
    }
}

#[tokio::test]
async fn recorded_subscriptions_get_their_events_in_the_encoding_asked_for() {
    for (name, encoding) in [
        ("session", Encoding::Protobuf),
        ("subscribe-json-in-pb-out", Encoding::Protobuf),
        ("subscribe-pb-in-json-out", Encoding::Json),
    ] {
        let master = TestMaster::start(MasterConfig::default()).await;
        let _agent = Agent::register(&master).await.welcomed().await;
        let ours = subscribe(&master, &read(&format!("{name}.req")), encoding).await;
        let recording = read(&format!("{name}.res"));
        let theirs: Vec<Event> = records(split(&recording).1)
            .iter()
            .map(|record| decode(encoding, record).unwrap())
            .collect();
        let kinds = |events: &[Event]| events.iter().take(3).map(Event::r#type).collect::<Vec<_>>();
        assert_eq!(kinds(&ours), kinds(&theirs), "{name}");
        let info = |events: &[Event]| {
            let subscribed = events[0].subscribed.clone().unwrap();
            (
                subscribed.heartbeat_interval_seconds,
                subscribed.master_info.unwrap().capabilities,
            )
        };
        assert_eq!(info(&ours), info(&theirs), "{name}");
        master.stop().await;
    }
}

#[test]
fn recorded_protobuf_calls_are_read_and_written_back_alike() {
    for name in ["accept-launch", "acknowledge-0", "teardown", "session"] {
        let bytes = read(&format!("{name}.req"));
        let body = split(&bytes).1;
        let call: Call =
            decode(Encoding::Protobuf, body).unwrap_or_else(|error| panic!("{name}: {error}"));
        mesos_master::validation::call::validate(&call, None)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let again: Call = decode(Encoding::Protobuf, &encode(Encoding::Protobuf, &call)).unwrap();
        assert_eq!(again, call, "{name}");
    }
}
