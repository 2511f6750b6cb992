//! An engine that records what it is asked and answers what the test says, or not at all.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Without the version.
    pub path: String,
    pub query: String,
    pub head: String,
    pub body: Value,
}

/// What the engine does about it.
#[derive(Debug, Clone)]
pub enum Reply {
    Json(u16, Value),
    /// This much of a stream, then silence.
    Begins(String),
    /// No answer, with the connection open.
    Stalls,
    /// No answer, with the connection closed.
    Closes,
}

impl Reply {
    pub fn ok(value: Value) -> Self {
        Self::Json(200, value)
    }

    pub fn refuse(status: u16, message: &str) -> Self {
        Self::Json(status, json!({"message": message}))
    }
}

type Answer = dyn Fn(&Asked, usize) -> Option<Reply> + Send + Sync;

pub struct FakeEngine {
    asked: Arc<Mutex<Vec<Asked>>>,
    server: JoinHandle<()>,
    socket: PathBuf,
}

impl FakeEngine {
    /// `answer` gets each request and how many of the same method and path came before; `None`
    /// is the engine's usual answer.
    pub fn start(
        socket: &Path,
        answer: impl Fn(&Asked, usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let answer: Arc<Answer> = Arc::new(answer);
        let list = Arc::clone(&asked);
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&list), Arc::clone(&answer)));
            }
        });
        Self {
            asked,
            server,
            socket: socket.to_owned(),
        }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Method and path of all that changes something.
    pub fn changes(&self) -> Vec<String> {
        self.asked()
            .into_iter()
            .filter(|asked| asked.method != "GET" && !asked.path.ends_with("/wait"))
            .map(|asked| format!("{} {}", asked.method, asked.path))
            .collect()
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.server.abort();
        let _gone = std::fs::remove_file(&self.socket);
    }
}

/// What a container of the fake looks like.
pub fn inspect(state: Value) -> Value {
    json!({
        "Id": "e".repeat(64),
        "Name": "/name",
        "State": state,
        "Config": {"Labels": {}, "StopSignal": "SIGQUIT"},
        "HostConfig": {"NetworkMode": "host", "Memory": 67_108_864, "CpuShares": 512},
        "NetworkSettings": {"Networks": {"host": {"IPAddress": ""}}}
    })
}

pub fn running() -> Value {
    inspect(json!({"Status": "running", "Running": true, "Pid": 4_000_000}))
}

pub fn exited(code: i32) -> Value {
    inspect(json!({
        "Status": "exited", "Running": false, "Pid": 0, "ExitCode": code,
        "FinishedAt": "2026-11-21T01:28:07.976709283Z"
    }))
}

fn usual(asked: &Asked) -> Reply {
    let path = asked.path.as_str();
    match asked.method.as_str() {
        "GET" if path == "/version" => {
            Reply::ok(json!({"ApiVersion": "1.41", "Version": "20.10.24"}))
        }
        "GET" if path == "/containers/json" => Reply::ok(json!([])),
        "GET" if path.ends_with("/logs") => Reply::refuse(404, "No such container"),
        "GET" => Reply::ok(running()),
        "POST" if path == "/containers/create" => {
            Reply::Json(201, json!({"Id": "e".repeat(64), "Warnings": []}))
        }
        "POST" if path.ends_with("/wait") => Reply::Stalls,
        "POST" if path == "/images/create" => Reply::ok(json!({"status": "Pulled"})),
        _ => Reply::Json(204, Value::Null),
    }
}

async fn serve(mut stream: UnixStream, list: Arc<Mutex<Vec<Asked>>>, answer: Arc<Answer>) {
    let Some(asked) = read(&mut stream).await else {
        return;
    };
    let before = {
        let mut list = list.lock().unwrap();
        let same = |old: &&Asked| old.method == asked.method && old.path == asked.path;
        let before = list.iter().filter(same).count();
        list.push(asked.clone());
        before
    };
    match answer(&asked, before).unwrap_or_else(|| usual(&asked)) {
        Reply::Closes => {}
        Reply::Stalls => stall(stream).await,
        Reply::Begins(text) => {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let chunk = format!("{head}{:x}\r\n{text}\r\n", text.len());
            let _gone = stream.write_all(chunk.as_bytes()).await;
            stall(stream).await;
        }
        Reply::Json(status, value) => {
            let body = if value.is_null() {
                String::new()
            } else {
                value.to_string()
            };
            let text = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                body.len()
            );
            let _gone = stream.write_all(text.as_bytes()).await;
        }
    }
}

/// Until the client goes.
async fn stall(mut stream: UnixStream) {
    let mut byte = [0];
    let _closed = stream.read(&mut byte).await;
}

async fn read(stream: &mut UnixStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut block = [0; 4096];
    let end = loop {
        let n = stream.read(&mut block).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&block[..n]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")
                .map(str::to_owned)
        })
        .map_or(0, |text| text.trim().parse::<usize>().unwrap());
    while bytes.len() < end + length {
        let n = stream.read(&mut block).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&block[..n]);
    }
    let mut words = head.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = match path.strip_prefix("/v1.") {
        Some(rest) => rest.find('/').map_or(path, |at| &rest[at..]),
        None => path,
    };
    let body = serde_json::from_slice(&bytes[end..]).unwrap_or(Value::Null);
    Some(Asked {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        head: head.clone(),
        body,
    })
}
