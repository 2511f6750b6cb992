//! The reading endpoints on a real socket, over a state that a test has made.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mesos_agent::{
    operator::{ReadSide, routes},
    state::{AgentState, Snapshots},
};
use mesos_gc::{Gc, GcConfig};
use mesos_http::{AllowAll, Metrics, Router, Server, files::Files, logging::LogLevel};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::fake::Fake;

const PATIENCE: Duration = Duration::from_secs(20);

/// Where it pretends to be reached.
pub const ADDRESS: &str = "127.0.0.1:5251";

/// A running server; ends when dropped.
pub struct Running {
    pub address: SocketAddr,
    pub log: PathBuf,
    _dir: tempfile::TempDir,
    _stop: DropGuard,
}

/// Serves `state`, with the flags given and a log file that says `hello`.
pub async fn serve(state: AgentState, fake: Fake, flags: BTreeMap<String, String>) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("agent.log");
    std::fs::write(&log, "hello").unwrap();
    let read = ReadSide {
        snapshots: Snapshots::new(state),
        containerizer: Arc::new(fake),
        gc: Gc::start(GcConfig {
            work_dir: dir.path().to_owned(),
            gc_delay: Duration::from_secs(7 * 24 * 3600),
            disk_headroom: 0.1,
            disk_watch_interval: Duration::from_secs(60),
        }),
        flags: Arc::new(flags),
        address: ADDRESS.parse().unwrap(),
        log_file: Some(log.clone()),
        log_level: LogLevel::new(0, |_| {}),
        authorizer: Arc::new(AllowAll),
        metrics: Metrics::new(),
        parts: Vec::new(),
        files: Files::new(),
    };
    let stop = CancellationToken::new();
    let mut router = Router::new(()).prefix("/slave(1)");
    // It ends with the runtime at the latest.
    let _follower = routes(&mut router, read, stop.clone());
    let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let address = server.local_addr();
    tokio::spawn(server.serve(router.finish(), stop.clone()));
    Running {
        address,
        log,
        _dir: dir,
        _stop: stop.drop_guard(),
    }
}

/// A reply: status line, headers without `Date`, body.
#[derive(Debug, PartialEq)]
pub struct Reply {
    pub status: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Reply {
    /// Parses a whole reply; one more byte than its length tells is an error.
    pub fn parse(bytes: &[u8]) -> Self {
        let end = head_end(bytes).expect("a reply has a head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().to_owned();
        let pairs = lines.filter_map(|line| line.split_once(": "));
        let mut headers: BTreeMap<String, String> = pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        headers.remove("Date");
        let body = bytes[end + 4..].to_vec();
        assert_eq!(headers.get("Content-Length"), Some(&body.len().to_string()));
        Self {
            status,
            headers,
            body,
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.status, "HTTP/1.1 200 OK", "{}", self.text());
        assert_eq!(self.headers["Content-Type"], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n")
}

/// Sends bytes as they are and reads one reply by its length.
pub async fn replay(address: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut reply = Vec::new();
    loop {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut reply))
            .await
            .expect("the server answers")
            .unwrap();
        assert_ne!(read, 0, "closed early: {}", String::from_utf8_lossy(&reply));
        let Some(end) = head_end(&reply) else {
            continue;
        };
        let head = String::from_utf8_lossy(&reply[..end]).to_lowercase();
        let length = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next())
            .expect("a length");
        if reply.len() >= end + 4 + length.parse::<usize>().unwrap() {
            return Reply::parse(&reply);
        }
    }
}

/// GET.
pub async fn get(address: SocketAddr, path: &str) -> Reply {
    replay(
        address,
        format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
    )
    .await
}

/// A JSON call to `/api/v1`, with further headers, each ended by `\r\n`.
pub async fn call_with(address: SocketAddr, headers: &str, body: &str) -> Reply {
    let length = body.len();
    let request = format!(
        "POST /api/v1 HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    replay(address, request.as_bytes()).await
}

/// A JSON call to `/api/v1`.
pub async fn call(address: SocketAddr, body: &str) -> Reply {
    call_with(address, "Content-Type: application/json\r\n", body).await
}

fn data(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recorded");
    let path = dir.join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A request and its reply as a Mesos 1.11.0 agent gave it.
pub fn recorded(name: &str) -> (Vec<u8>, Reply) {
    (
        data(&format!("{name}.req")),
        Reply::parse(&data(&format!("{name}.res"))),
    )
}

/// Names of the recorded metrics.
pub fn recorded_metrics() -> Vec<String> {
    let text = String::from_utf8(data("agent-metrics.keys.txt")).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Sorts every list whose order means nothing, so that two bodies can be compared.
pub fn sorted(mut value: Value) -> Value {
    fn sort(value: &mut Value, key: &str) {
        match value {
            Value::Array(items) => {
                items.iter_mut().for_each(|item| sort(item, ""));
                if key != "statuses" {
                    items.sort_by_cached_key(Value::to_string);
                }
            }
            Value::Object(fields) => fields.iter_mut().for_each(|(key, value)| sort(value, key)),
            _ => {}
        }
    }
    sort(&mut value, "");
    value
}

/// The places at which two values differ, the first few.
pub fn differences(expected: &Value, found: &Value) -> Vec<String> {
    fn walk(path: &str, expected: &Value, found: &Value, out: &mut Vec<String>) {
        match (expected, found) {
            (Value::Object(a), Value::Object(b)) => {
                let keys: HashMap<&String, ()> =
                    a.keys().chain(b.keys()).map(|k| (k, ())).collect();
                for key in keys.into_keys() {
                    let path = format!("{path}.{key}");
                    match (a.get(key), b.get(key)) {
                        (Some(a), Some(b)) => walk(&path, a, b, out),
                        (Some(a), None) => out.push(format!("{path} is missing: {a}")),
                        (None, b) => out.push(format!("{path} is too much: {b:?}")),
                    }
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (index, (a, b)) in a.iter().zip(b).enumerate() {
                    walk(&format!("{path}[{index}]"), a, b, out);
                }
            }
            (a, b) if a == b => {}
            (a, b) => out.push(format!("{path}: expected {a}, found {b}")),
        }
    }
    let mut out = Vec::new();
    walk("", expected, found, &mut out);
    out.truncate(20);
    out
}
