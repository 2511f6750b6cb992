//! A server on a real socket: recorded exchanges byte by byte, streams, compression, limits.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    io::{Read, Write},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use mesos_http::{
    Body, Dialect, Limits, Method, RecordSender, Request, Response, Router, Server, StatusCode,
    files::{self, Files, FilesError},
    logging, negotiate, parse_call, record_stream, respond, system, version,
};
use mesos_wire::v1;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
};
use tokio_util::sync::{CancellationToken, DropGuard};

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone)]
struct Demo {
    files: Files,
    /// Gets the writing end of each stream that a client opens.
    streams: mpsc::UnboundedSender<RecordSender>,
}

struct Running {
    address: SocketAddr,
    streams: mpsc::UnboundedReceiver<RecordSender>,
    files: Files,
    _stop: DropGuard,
}

async fn operator(demo: Demo, request: Request, dialect: Dialect) -> Response {
    let call: v1::agent::Call = match parse_call(dialect, &request) {
        Ok((_, call)) => call,
        Err(response) => return response,
    };
    let encoding = match negotiate(dialect, &request) {
        Ok(encoding) => encoding,
        Err(response) => return response,
    };
    let mut answer = v1::agent::Response::default();
    let filled: Result<(), FilesError> = async {
        if let Some(list) = &call.list_files {
            answer.set_type(v1::agent::response::Type::ListFiles);
            let file_infos = demo.files.list_v1(&list.path, None).await?;
            answer.list_files = Some(v1::agent::response::ListFiles { file_infos });
        } else if let Some(read) = &call.read_file {
            answer.set_type(v1::agent::response::Type::ReadFile);
            let (size, data) = demo
                .files
                .read_v1(&read.path, read.offset, read.length, None)
                .await?;
            answer.read_file = Some(v1::agent::response::ReadFile {
                size,
                data: data.to_vec(),
            });
        } else {
            answer.set_type(v1::agent::response::Type::GetHealth);
            answer.get_health = Some(v1::agent::response::GetHealth { healthy: true });
        }
        Ok(())
    }
    .await;
    match filled {
        Ok(()) => respond(encoding, &answer),
        Err(error) => error.into_response(),
    }
}

async fn scheduler(_: Demo, request: Request) -> Response {
    let call: v1::scheduler::Call = match parse_call(Dialect::Scheduler, &request) {
        Ok((_, call)) => call,
        Err(response) => return response,
    };
    if call.subscribe.is_some()
        && let Err(response) = negotiate(Dialect::Scheduler, &request)
    {
        return response;
    }
    Response::accepted()
}

async fn start(dialect: Dialect, limits: Limits, body_limit: usize) -> Running {
    let (streams, receiver) = mpsc::unbounded_channel();
    let files = Files::new();
    let demo = Demo {
        files: files.clone(),
        streams,
    };
    let mut router = Router::new(demo)
        .prefix("/master")
        .prefix("/slave(1)")
        .body_limit(body_limit);
    router.post("/api/v1", move |demo, request| {
        operator(demo, request, dialect)
    });
    router.post("/api/v1/scheduler", scheduler);
    router.post("/api/v1/executor", |_, request: Request| async move {
        match parse_call::<v1::executor::Call>(Dialect::Executor, &request) {
            Ok(_) => Response::accepted(),
            Err(response) => response,
        }
    });
    router.post("/teardown", |_, _| async { Response::ok() });
    router.post("/machine/up", |_, _| async { Response::ok() });
    router.methods("/weights", &[Method::GET, Method::PUT], |_, _| async {
        Response::ok()
    });
    router
        .get("/redirect", |_, _| async {
            Response::redirect("//localhost:5250")
        })
        .exact();
    router
        .get("/state", |_, _| async {
            Response::json(&vec!["x".repeat(100); 20])
        })
        .alias("/state.json");
    router.get("/small", |_, _| async {
        Response::json(&serde_json::json!({ "n": 1.0 }))
    });
    router.get("/quota", |_, request: Request| async move {
        Response::bytes("text/plain", request.rest.clone())
    });
    router.post("/echo", |_, request: Request| async move {
        Response::bytes("text/plain", request.body)
    });
    router.get("/panic", |_, request: Request| async move {
        Response::json(&request.query("x").expect("there is no x"))
    });
    router.get("/stream", |demo: Demo, _| async move {
        let (sender, body) = record_stream(1000, 1 << 20);
        sender.try_send(b"{\"type\":\"SUBSCRIBED\"}").unwrap();
        demo.streams.send(sender).unwrap();
        Response::stream("application/json", body)
    });
    version::route(&mut router);
    system::route(&mut router, &["master"]);
    system::route_health(&mut router);
    system::route_containerizer_debug(&mut router, Vec::new);
    logging::route(&mut router, &logging::LogLevel::new(0, |_| {}));
    files::route(&mut router, &files);
    let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap()
        .limits(limits);
    let address = server.local_addr();
    let stop = CancellationToken::new();
    tokio::spawn(server.serve(router.finish(), stop.clone()));
    Running {
        address,
        streams: receiver,
        files,
        _stop: stop.drop_guard(),
    }
}

async fn demo() -> Running {
    start(Dialect::Master, Limits::default(), 1 << 20).await
}

#[derive(Debug, PartialEq)]
struct Reply {
    status: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    /// Parses a whole reply whose length is told; `Date` goes, headers are sorted.
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("a reply has a head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().to_owned();
        let mut headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .filter(|(name, _)| *name != "Date")
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        headers.sort();
        Self {
            status,
            headers,
            body: bytes[end + 4..].to_vec(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends bytes and reads until the server closes; the request should ask for that.
async fn raw(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut reply = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply))
        .await
        .expect("the server answers")
        .unwrap();
    reply
}

/// `head` is request line and headers without the last empty line.
async fn ask(address: SocketAddr, head: &str, body: &[u8]) -> Reply {
    let request = [head.as_bytes(), b"\r\nConnection: close\r\n\r\n", body].concat();
    let mut reply = Reply::parse(&raw(address, &request).await);
    reply.headers.retain(|(name, _)| name != "Connection");
    reply
}

async fn get(address: SocketAddr, path: &str) -> Reply {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x"), b"").await
}

/// Sends one recorded request as it is and reads one reply by its `Content-Length`.
async fn replay(address: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut reply = Vec::new();
    loop {
        let mut buffer = [0; 65536];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer))
            .await
            .expect("the server answers")
            .unwrap();
        assert_ne!(
            read,
            0,
            "the server closed early after {}",
            String::from_utf8_lossy(&reply)
        );
        reply.extend_from_slice(&buffer[..read]);
        if reply.windows(4).any(|window| window == b"\r\n\r\n") {
            let parsed = Reply::parse(&reply);
            let length: usize = parsed
                .header("Content-Length")
                .expect("a length")
                .parse()
                .unwrap();
            if parsed.body.len() >= length {
                return parsed;
            }
        }
    }
}

/// The directory that the recorded requests browse, with what the records say of it.
fn sandbox(files: &Files, golden: &Path) -> tempfile::TempDir {
    const RECORDED: &str = "/var/lib/mesos/agent1/slaves/172cd0aa-1b83-4417-a033-3bb0d2c3b746-S0/frameworks/172cd0aa-1b83-4417-a033-3bb0d2c3b746-0013/executors/long/runs/latest";
    let dir = tempfile::tempdir().unwrap();
    let stderr = Reply::parse(&fs::read(golden.join("agent-files-download.res")).unwrap()).body;
    let read = Reply::parse(&fs::read(golden.join("agent-read_file.res")).unwrap()).body;
    let read: v1::agent::Response = mesos_wire::decode(mesos_wire::Encoding::Json, &read).unwrap();
    let mut stdout = read.read_file.unwrap().data;
    stdout.resize(1010, b'.');
    for (name, content) in [("stdout", stdout), ("stderr", stderr)] {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(1_795_224_455);
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(time)
            .unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    files.attach(RECORDED, dir.path(), None);
    dir
}

#[tokio::test]
async fn recorded_exchanges_come_out_byte_by_byte() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let owner = nix::unistd::User::from_uid(nix::unistd::geteuid())
        .unwrap()
        .unwrap();
    let group = nix::unistd::Group::from_gid(nix::unistd::getegid())
        .unwrap()
        .unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(&golden).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "req") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let agent = name.contains("agent");
        let dialect = if agent {
            Dialect::Agent
        } else {
            Dialect::Master
        };
        let server = start(dialect, Limits::default(), 1 << 20).await;
        let _sandbox = agent.then(|| sandbox(&server.files, &golden));
        let got = replay(server.address, &fs::read(&path).unwrap()).await;
        let mut want = Reply::parse(&fs::read(path.with_extension("res")).unwrap());
        if name.contains("files-browse.") || name.contains("agent-list_files.") {
            let text = want.text();
            let text = text.replace("\"uid\":\"root\"", &format!("\"uid\":\"{}\"", owner.name));
            want.body = text
                .replace("\"gid\":\"root\"", &format!("\"gid\":\"{}\"", group.name))
                .into_bytes();
        }
        assert_eq!(got.text(), want.text(), "{name}");
        assert_eq!(
            (&got.status, &got.headers),
            (&want.status, &want.headers),
            "{name}"
        );
        seen += 1;
    }
    assert!(seen >= 50, "only {seen} records");
}

#[tokio::test]
async fn paths_match_by_prefix_with_and_without_the_daemons_name() {
    let demo = demo().await;
    for path in [
        "/state",
        "/state/",
        "//state",
        "/master/state",
        "/master/state/x/y",
        "/slave%281%29/state",
        "/slave(1)/state",
        "/state.json",
        "/master/state.json",
    ] {
        assert_eq!(
            get(demo.address, path).await.status,
            "HTTP/1.1 200 OK",
            "{path}"
        );
    }
    for path in [
        "/",
        "/master",
        "/stat",
        "/states",
        "/redirect/x",
        "/state/../state",
        "/state/%2e%2e/x",
        "/master/version",
        "/state.json/x",
    ] {
        let reply = get(demo.address, path).await;
        assert_eq!(
            (reply.status.as_str(), reply.text().as_str()),
            ("HTTP/1.1 404 Not Found", "404 Not Found."),
            "{path}"
        );
    }
    assert_eq!(
        get(demo.address, "/redirect").await.header("Location"),
        Some("//localhost:5250")
    );
    assert_eq!(
        get(demo.address, "/quota/dev%20x/y").await.text(),
        "dev x/y"
    );
    assert_eq!(
        get(demo.address, "/state/%zz").await.status,
        "HTTP/1.1 400 Bad Request"
    );
    let call = "{\"type\":\"GET_HEALTH\"}";
    let head = format!(
        "POST /api/v1/operator HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}",
        call.len()
    );
    assert!(
        ask(demo.address, &head, call.as_bytes())
            .await
            .text()
            .contains("healthy")
    );
}

#[tokio::test]
async fn methods_are_free_on_reading_endpoints_and_listed_in_refusals() {
    let demo = demo().await;
    for method in ["GET", "POST", "DELETE", "OPTIONS", "PUT"] {
        let reply = ask(
            demo.address,
            &format!("{method} /small HTTP/1.1\r\nHost: x\r\nContent-Length: 0"),
            b"",
        )
        .await;
        assert_eq!(
            (reply.status.as_str(), reply.text().as_str()),
            ("HTTP/1.1 200 OK", "{\"n\":1.0}"),
            "{method}"
        );
    }
    let head = ask(demo.address, "HEAD /small HTTP/1.1\r\nHost: x", b"").await;
    assert_eq!(
        (head.header("Content-Length"), head.text().as_str()),
        (Some("9"), "")
    );
    let reply = ask(demo.address, "DELETE /weights HTTP/1.1\r\nHost: x", b"").await;
    assert_eq!(reply.header("Allow"), Some("GET, PUT"));
    assert_eq!(
        reply.text(),
        "405 Method Not Allowed. Expecting one of { 'GET', 'PUT' }, but received 'DELETE'."
    );
    let reply = ask(demo.address, "BLAH /small HTTP/1.1\r\nHost: x", b"").await;
    assert_eq!(reply.text(), "501 Not Implemented.");
}

#[tokio::test]
async fn long_answers_are_zipped_only_for_who_asks() {
    let demo = demo().await;
    let plain = get(demo.address, "/state").await;
    assert_eq!(plain.header("Content-Encoding"), None);
    let zipped = ask(
        demo.address,
        "GET /state HTTP/1.1\r\nHost: x\r\nAccept-Encoding: deflate, gzip",
        b"",
    )
    .await;
    assert_eq!(zipped.header("Content-Encoding"), Some("gzip"));
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(zipped.body.as_slice())
        .read_to_end(&mut text)
        .unwrap();
    assert_eq!(text, plain.body);
    let small = ask(
        demo.address,
        "GET /small HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip",
        b"",
    )
    .await;
    assert_eq!(small.header("Content-Encoding"), None);
}

#[tokio::test]
async fn jsonp_wraps_json_in_a_plain_name() {
    let demo = demo().await;
    let reply = get(demo.address, "/small?jsonp=angular.callbacks._0").await;
    assert_eq!(reply.header("Content-Type"), Some("text/javascript"));
    assert_eq!(reply.text(), "angular.callbacks._0({\"n\":1.0})");
    let reply = get(demo.address, "/small?jsonp=alert(1)//").await;
    assert_eq!(reply.status, "HTTP/1.1 400 Bad Request");
}

#[tokio::test]
async fn bodies_may_be_chunked_or_zipped_and_are_bounded() {
    let demo = start(Dialect::Master, Limits::default(), 1000).await;
    let chunked = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let reply = ask(
        demo.address,
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked",
        chunked,
    )
    .await;
    assert_eq!(reply.text(), "abcde");
    let zip = |length: usize| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&vec![b'x'; length]).unwrap();
        encoder.finish().unwrap()
    };
    for (length, status) in [
        (1000, "HTTP/1.1 200 OK"),
        (1001, "HTTP/1.1 413 Payload Too Large"),
    ] {
        let body = zip(length);
        let head = format!(
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: {}",
            body.len()
        );
        assert_eq!(ask(demo.address, &head, &body).await.status, status);
        let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {length}");
        assert_eq!(
            ask(demo.address, &head, &vec![b'x'; length]).await.status,
            status
        );
        let body = [
            format!("{length:x}\r\n").as_bytes(),
            &vec![b'x'; length],
            b"\r\n0\r\n\r\n",
        ]
        .concat();
        let head = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked";
        assert_eq!(ask(demo.address, head, &body).await.status, status);
    }
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Encoding: br\r\nContent-Length: 1";
    assert_eq!(
        ask(demo.address, head, b"x").await.status,
        "HTTP/1.1 415 Unsupported Media Type"
    );
}

/// Reads exactly one chunk: its size line, its data, its end.
async fn chunk(stream: &mut TcpStream) -> Vec<u8> {
    async fn line(stream: &mut TcpStream) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }
    tokio::time::timeout(PATIENCE, async {
        let size = usize::from_str_radix(&line(stream).await, 16).unwrap();
        let mut data = vec![0; size];
        stream.read_exact(&mut data).await.unwrap();
        assert_eq!(line(stream).await, "");
        data
    })
    .await
    .expect("a chunk comes")
}

async fn subscribe(address: SocketAddr) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /stream HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(
            tokio::time::timeout(PATIENCE, stream.read_u8())
                .await
                .unwrap()
                .unwrap(),
        );
    }
    (stream, String::from_utf8(head).unwrap())
}

#[tokio::test]
async fn one_record_is_one_chunk_at_once_though_the_connection_is_to_close() {
    let mut demo = demo().await;
    let (mut stream, head) = subscribe(demo.address).await;
    assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
    assert!(!head.contains("Content-Encoding"), "{head}");
    assert_eq!(chunk(&mut stream).await, b"21\n{\"type\":\"SUBSCRIBED\"}");
    let sender = demo.streams.recv().await.unwrap();
    sender.try_send(b"a").unwrap();
    assert_eq!(chunk(&mut stream).await, b"1\na");
    // Records queued together are still chunks of their own, and a big one is not cut.
    let big = vec![b'x'; 300_000];
    for record in [b"b".as_slice(), b"c", &big, b"d"] {
        sender.try_send(record).unwrap();
    }
    assert_eq!(chunk(&mut stream).await, b"1\nb");
    assert_eq!(chunk(&mut stream).await, b"1\nc");
    assert_eq!(chunk(&mut stream).await.len(), "300000\n".len() + 300_000);
    assert_eq!(chunk(&mut stream).await, b"1\nd");
    drop(sender);
    assert_eq!(chunk(&mut stream).await, b"");
}

#[tokio::test]
async fn a_client_that_closes_is_noticed_without_writing_to_it() {
    let mut demo = demo().await;
    let (stream, _) = subscribe(demo.address).await;
    let sender = demo.streams.recv().await.unwrap();
    assert!(!sender.is_closed());
    drop(stream);
    tokio::time::timeout(PATIENCE, sender.closed())
        .await
        .expect("the close is noticed");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_told_by_a_full_queue() {
    let mut demo = demo().await;
    let (_stream, _) = subscribe(demo.address).await;
    let sender = demo.streams.recv().await.unwrap();
    let record = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    tokio::time::timeout(PATIENCE, async {
        loop {
            match sender.try_send(&record) {
                Ok(()) => sent += 1,
                Err(mesos_http::SendError::Full)
                    if sender.stalled_for() > Duration::from_millis(200) =>
                {
                    break;
                }
                Err(mesos_http::SendError::Full) => {
                    tokio::time::sleep(Duration::from_millis(5)).await
                }
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
    .expect("the queue fills");
    assert!(
        sent < 1000,
        "{sent} records of 64 KiB were taken from a client that does not read"
    );
}

#[tokio::test]
async fn one_port_speaks_http_1_and_h2c() {
    let demo = demo().await;
    assert_eq!(get(demo.address, "/health").await.status, "HTTP/1.1 200 OK");
    let stream = TcpStream::connect(demo.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake::<_, _, axum::body::Body>(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get("http://x/small")
        .body(axum::body::Body::empty())
        .unwrap();
    let reply = sender.send_request(request).await.unwrap();
    assert_eq!(
        (reply.version(), reply.status()),
        (http::Version::HTTP_2, StatusCode::OK)
    );
    drop(sender);
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn grpc_goes_to_its_own_router_and_nothing_else_does() {
    let grpc = axum::Router::new().route("/x.Y/Z", axum::routing::post(|| async { "grpc" }));
    let mut router = Router::new(());
    router.post("/x.Y/Z", |(), _| async {
        Response::bytes("text/plain", "http")
    });
    let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap()
        .grpc(grpc);
    let address = server.local_addr();
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    tokio::spawn(server.serve(router.finish(), stop));
    for (kind, body) in [
        ("application/grpc", "grpc"),
        ("application/grpc+proto", "grpc"),
        ("text/plain", "http"),
    ] {
        let head =
            format!("POST /x.Y/Z HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Type: {kind}");
        assert_eq!(ask(address, &head, b"").await.text(), body, "{kind}");
    }
}

#[tokio::test]
async fn the_stop_ends_streams_and_frees_the_port() {
    let (streams, mut opened) = mpsc::unbounded_channel();
    let mut router = Router::new(streams);
    router.get(
        "/stream",
        |streams: mpsc::UnboundedSender<RecordSender>, _| async move {
            let (sender, body) = record_stream(10, 1000);
            streams.send(sender).unwrap();
            Response::stream("application/json", body)
        },
    );
    let limits = Limits {
        drain: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap()
        .limits(limits);
    let address = server.local_addr();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.serve(router.finish(), stop.clone()));
    let (_idle, (_stream, _)) = (
        TcpStream::connect(address).await.unwrap(),
        subscribe(address).await,
    );
    let sender = opened.recv().await.unwrap();
    stop.cancel();
    tokio::time::timeout(PATIENCE, serving)
        .await
        .expect("the server ends")
        .unwrap();
    assert!(sender.is_closed());
    Server::bind(address).await.expect("the port is free again");
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    let demo = demo().await;
    let two = b"GET /panic HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let text = String::from_utf8(raw(demo.address, two).await).unwrap();
    assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
    assert!(
        text.contains("500 Internal Server Error.HTTP/1.1 200 OK"),
        "{text}"
    );
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_cut_off() {
    let limits = Limits {
        idle: Duration::from_millis(50),
        ..Limits::default()
    };
    let demo = start(Dialect::Master, limits, 1000).await;
    assert_eq!(raw(demo.address, b"").await, b"");
    // The beginnings of an HTTP/2 preface and of a request.
    for half in [b"PRI".as_slice(), b"GET /health HTTP/1.1\r\nHost"] {
        assert!(!raw(demo.address, half).await.starts_with(b"HTTP/1.1 200"));
    }
    assert_eq!(get(demo.address, "/health").await.status, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let demo = start(Dialect::Master, limits, 1000).await;
    let (first, _) = subscribe(demo.address).await;
    let second = tokio::spawn({
        let address = demo.address;
        async move { get(address, "/health").await.status }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!second.is_finished());
    drop(first);
    assert_eq!(
        tokio::time::timeout(PATIENCE, second)
            .await
            .unwrap()
            .unwrap(),
        "HTTP/1.1 200 OK"
    );
}

#[tokio::test]
async fn the_gate_comes_before_method_and_body_and_closed_endpoints_say_so() {
    let mut router = Router::new(())
        .prefix("/master")
        .gate(|head| {
            (head.matched == "/teardown").then(|| {
                Response::redirect(&format!("//leader:5050/master{}", head.path_and_query()))
            })
        })
        .disable(["/small".to_owned()]);
    router.post("/teardown", |(), _| async { Response::ok() });
    router.get("/small", |(), _| async { Response::ok() });
    let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let address = server.local_addr();
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    tokio::spawn(server.serve(router.finish(), stop));
    let reply = get(address, "/teardown?x=1").await;
    assert_eq!(reply.status, "HTTP/1.1 307 Temporary Redirect");
    assert_eq!(
        reply.header("Location"),
        Some("//leader:5050/master/teardown?x=1")
    );
    let reply = get(address, "/small").await;
    assert_eq!(
        (reply.status.as_str(), reply.text().as_str()),
        ("HTTP/1.1 403 Forbidden", "Endpoint '/small' is disabled")
    );
    assert_eq!(
        get(address, "/master/small").await.status,
        "HTTP/1.1 200 OK"
    );
}

#[test]
fn a_body_is_plain_data() {
    assert!(matches!(Response::json(&1).body, Body::Full(bytes) if bytes == "1"));
}
