//! A master on a real port answers wrong and odd requests as Apache Mesos did when they were recorded.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use mesos_http::logging::LogLevel;
use mesos_master::{MasterConfig, Running, start};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

/// Headers that must be the same; the others vary or belong to the connection.
const COMPARED: [&str; 4] = ["content-type", "content-length", "allow", "location"];

async fn master(stop: &CancellationToken) -> Running {
    let config = MasterConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        hostname: Some("localhost".to_owned()),
        ..MasterConfig::default()
    };
    start(config, LogLevel::new(0, |_| {}), stop.clone())
        .await
        .unwrap()
}

#[derive(Debug, PartialEq)]
struct Answer {
    status: String,
    headers: Vec<(String, String)>,
    body: String,
}

/// One answer whose length is said.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&bytes[..head]).unwrap();
    let mut lines = text.split("\r\n");
    let status = lines.next()?.to_owned();
    let mut headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .filter(|(name, _)| COMPARED.contains(&name.as_str()))
        .collect();
    headers.sort();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")?
        .1
        .parse::<usize>()
        .unwrap();
    let body = bytes.get(head + 4..head + 4 + length)?;
    Some(Answer {
        status,
        headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    })
}

async fn exchange(address: SocketAddr, request: &[u8]) -> Answer {
    let exchanged = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut received = Vec::new();
        loop {
            if let Some(answer) = parse(&received) {
                return answer;
            }
            let read = stream.read_buf(&mut received).await.unwrap();
            assert!(
                read > 0,
                "the connection ended early: {}",
                String::from_utf8_lossy(&received)
            );
        }
    };
    tokio::time::timeout(PATIENCE, exchanged).await.unwrap()
}

#[tokio::test]
async fn answers_are_those_recorded() {
    let stop = CancellationToken::new();
    let running = master(&stop).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/errors");
    let mut requests: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "req"))
        .collect();
    requests.sort();
    assert!(
        requests.len() > 25,
        "the recordings are there: {requests:?}"
    );
    let mut different = Vec::new();
    for path in requests {
        let expected = parse(&fs::read(path.with_extension("res")).unwrap()).unwrap();
        let answer = exchange(running.address, &fs::read(&path).unwrap()).await;
        if answer != expected {
            different.push(format!("{}\n  {answer:?}\n  {expected:?}", path.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    stop.cancel();
    running.wait().await.unwrap();
}

/// Sends a call and gives status line and body.
async fn call(address: SocketAddr, body: &str) -> (String, String) {
    let request = format!(
        "POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(address, request.as_bytes()).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn the_log_can_be_made_verbose_and_goes_back() {
    let stop = CancellationToken::new();
    let running = master(&stop).await;
    let level = async || {
        call(running.address, r#"{"type":"GET_LOGGING_LEVEL"}"#)
            .await
            .1
    };
    let at = |level: u32| {
        format!(r#"{{"type":"GET_LOGGING_LEVEL","get_logging_level":{{"level":{level}}}}}"#)
    };
    assert_eq!(level().await, at(0));
    let set = r#"{"type":"SET_LOGGING_LEVEL","set_logging_level":{"level":2,"duration":{"nanoseconds":60000000000}}}"#;
    assert_eq!(
        call(running.address, set).await,
        ("HTTP/1.1 200 OK".to_owned(), String::new())
    );
    assert_eq!(level().await, at(2));
    let back = r#"{"type":"SET_LOGGING_LEVEL","set_logging_level":{"level":0,"duration":{"nanoseconds":0}}}"#;
    call(running.address, back).await;
    assert_eq!(level().await, at(0));
    let negative = r#"{"type":"SET_LOGGING_LEVEL","set_logging_level":{"level":1,"duration":{"nanoseconds":-1}}}"#;
    assert_eq!(
        call(running.address, negative).await.0,
        "HTTP/1.1 400 Bad Request"
    );
    stop.cancel();
    running.wait().await.unwrap();
}
