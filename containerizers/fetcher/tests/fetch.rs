//! The fetcher against an HTTP server and files of the test's own.

#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mesos_containerizer_api::{FetchRequest, Fetcher as _};
use mesos_fetcher::{FetcherOptions, UriFetcher};
use mesos_wire::v1::command_info::Uri;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// Answers by path.
#[derive(Clone)]
enum Page {
    Bytes(Vec<u8>),
    /// Without a Content-Length.
    Unannounced(Vec<u8>),
    Redirect(String),
    Status(u16),
    /// Says a length, sends less, and then nothing.
    Stalls,
    /// Says a length, sends less, and closes.
    Breaks,
}

struct Server {
    url: String,
    gets: Arc<AtomicUsize>,
}

async fn serve(pages: impl IntoIterator<Item = (&'static str, Page)>) -> Server {
    let pages: HashMap<&str, Page> = pages.into_iter().collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let gets = Arc::new(AtomicUsize::new(0));
    let (pages, counter) = (Arc::new(pages), Arc::clone(&gets));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (pages, counter) = (Arc::clone(&pages), Arc::clone(&counter));
            tokio::spawn(async move {
                let mut request = vec![0; 8192];
                let n = stream.read(&mut request).await.unwrap_or(0);
                let text = String::from_utf8_lossy(&request[..n]).into_owned();
                let mut words = text.split(' ');
                let (method, path) = (words.next().unwrap(), words.next().unwrap_or("/"));
                let head = method == "HEAD";
                if !head {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
                let page = pages.get(path).cloned().unwrap_or(Page::Status(404));
                let (first, body) = match &page {
                    Page::Bytes(body) => (
                        format!("200 OK\r\nContent-Length: {}", body.len()),
                        body.clone(),
                    ),
                    Page::Unannounced(body) => ("200 OK".to_owned(), body.clone()),
                    Page::Redirect(to) => (
                        format!("302 Found\r\nContent-Length: 0\r\nLocation: {to}"),
                        Vec::new(),
                    ),
                    Page::Status(code) => {
                        (format!("{code} Whatever\r\nContent-Length: 0"), Vec::new())
                    }
                    Page::Stalls | Page::Breaks => {
                        ("200 OK\r\nContent-Length: 100".to_owned(), b"some".to_vec())
                    }
                };
                let answer = format!("HTTP/1.1 {first}\r\nConnection: close\r\n\r\n");
                let _gone = stream.write_all(answer.as_bytes()).await;
                if !head {
                    let _gone = stream.write_all(&body).await;
                    if matches!(page, Page::Stalls) {
                        let _closed_by_the_client = stream.read(&mut request).await;
                    }
                }
            });
        }
    });
    Server { url, gets }
}

struct Place {
    dir: tempfile::TempDir,
    fetcher: UriFetcher,
    sandboxes: Mutex<usize>,
}

impl Place {
    fn with(change: impl FnOnce(&mut FetcherOptions)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = FetcherOptions {
            frameworks_home: None,
            stall_timeout: Duration::from_secs(10),
            cache_dir: dir.path().join("cache"),
            cache_size: 1000,
        };
        change(&mut options);
        Self {
            dir,
            fetcher: UriFetcher::new(options).unwrap(),
            sandboxes: Mutex::new(0),
        }
    }

    fn new() -> Self {
        Self::with(|_| {})
    }

    /// Fetches into a new sandbox.
    async fn fetch_as(&self, user: Option<&str>, uris: Vec<Uri>) -> Result<PathBuf, String> {
        let number = {
            let mut count = self.sandboxes.lock().unwrap();
            *count += 1;
            *count
        };
        let sandbox = self.dir.path().join(format!("sandbox{number}"));
        fs::create_dir(&sandbox).unwrap();
        let request = FetchRequest {
            container: "c".into(),
            uris,
            sandbox: sandbox.clone(),
            user: user.map(str::to_owned),
        };
        self.fetcher
            .fetch(request)
            .await
            .map(|()| sandbox)
            .map_err(|error| error.to_string())
    }

    async fn fetch(&self, uri: Uri) -> Result<PathBuf, String> {
        self.fetch_as(None, vec![uri]).await
    }
}

fn uri(value: impl Into<String>) -> Uri {
    Uri {
        value: value.into(),
        ..Uri::default()
    }
}

fn read(sandbox: &Path, name: &str) -> String {
    fs::read_to_string(sandbox.join(name)).unwrap()
}

fn packed(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut child = std::process::Command::new(program)
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed ({error}): run scripts/setup"));
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().stdout
}

fn tar_with(name: &str, text: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o755);
    builder
        .append_data(&mut header, name, text.as_bytes())
        .unwrap();
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn http_is_downloaded_redirected_and_named() {
    let server = serve([
        ("/a/file", Page::Bytes(b"hello".to_vec())),
        ("/old", Page::Redirect("/a/file".into())),
        ("/loop", Page::Redirect("/loop".into())),
        ("/stream?x=y", Page::Unannounced(b"unannounced".to_vec())),
    ])
    .await;
    let place = Place::new();
    let sandbox = place
        .fetch(uri(format!("{}/a/file", server.url)))
        .await
        .unwrap();
    assert_eq!(read(&sandbox, "file"), "hello");
    let sandbox = place
        .fetch(uri(format!("{}/old", server.url)))
        .await
        .unwrap();
    assert_eq!(read(&sandbox, "old"), "hello");
    let sandbox = place
        .fetch(uri(format!("{}/stream?x=y", server.url)))
        .await
        .unwrap();
    assert_eq!(read(&sandbox, "stream?x=y"), "unannounced");
    let named = Uri {
        output_file: Some("bin/tool".into()),
        executable: Some(true),
        ..uri(format!("{}/a/file", server.url))
    };
    let sandbox = place.fetch(named).await.unwrap();
    assert_eq!(read(&sandbox, "bin/tool"), "hello");
    assert_eq!(
        fs::metadata(sandbox.join("bin/tool")).unwrap().mode() & 0o111,
        0o111
    );
    let error = place
        .fetch(uri(format!("{}/loop", server.url)))
        .await
        .unwrap_err();
    assert!(error.contains("too many redirections"), "{error}");
    let metrics = place.fetcher.metrics();
    assert_eq!(metrics["containerizer/fetcher/task_fetches_succeeded"], 4.0);
    assert_eq!(metrics["containerizer/fetcher/task_fetches_failed"], 1.0);
}

#[tokio::test]
async fn failures_say_what_happened_and_leave_no_half_file() {
    let server = serve([
        ("/gone", Page::Status(404)),
        ("/breaks", Page::Breaks),
        ("/stalls", Page::Stalls),
    ])
    .await;
    let place = Place::with(|options| options.stall_timeout = Duration::from_millis(300));
    for (path, why) in [
        ("/gone", "404"),
        ("/breaks", ""),
        ("/stalls", "nothing came for 0.3 s"),
    ] {
        let error = place
            .fetch(uri(format!("{}{path}", server.url)))
            .await
            .unwrap_err();
        assert!(error.contains(path) && error.contains(why), "{error}");
    }
    for number in 1..=3 {
        let sandbox = place.dir.path().join(format!("sandbox{number}"));
        assert_eq!(fs::read_dir(sandbox).unwrap().count(), 0);
    }
    let refused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = refused.local_addr().unwrap();
    drop(refused);
    let error = place
        .fetch(uri(format!("http://{address}/a")))
        .await
        .unwrap_err();
    assert!(error.to_lowercase().contains("connect"), "{error}");
    let error = place.fetch(uri("hdfs://h/a")).await.unwrap_err();
    assert!(error.contains("allowed are http"), "{error}");
    for name in ["../a", "/a", "a/../../b"] {
        let escaping = Uri {
            output_file: Some(name.into()),
            ..uri("file:///etc/hostname")
        };
        let error = place.fetch(escaping).await.unwrap_err();
        assert!(error.contains("output_file"), "{error}");
    }
}

#[tokio::test]
async fn https_is_handed_to_curl() {
    // Nobody speaks TLS here; the words are curl's.
    let server = serve([("/to-tls", Page::Redirect("https://127.0.0.1:1/x".into()))]).await;
    let place = Place::new();
    for url in [
        "https://127.0.0.1:1/x".to_owned(),
        format!("{}/to-tls", server.url),
    ] {
        let error = place.fetch(uri(url)).await.unwrap_err();
        assert!(error.contains("curl"), "{error}");
    }
}

#[tokio::test]
async fn archives_are_unpacked_and_stay() {
    let tar = tar_with("dir/inside", "content");
    let mut zipped = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(0o755);
    zipped.start_file("dir/inside", options).unwrap();
    zipped.write_all(b"content").unwrap();
    let zipped = zipped.finish().unwrap().into_inner();
    let server = serve([
        ("/a.tar", Page::Bytes(tar.clone())),
        ("/a.tgz", Page::Bytes(gzip(&tar))),
        ("/a.tar.gz", Page::Bytes(gzip(&tar))),
        ("/a.tar.bz2", Page::Bytes(packed("bzip2", &tar))),
        ("/a.txz", Page::Bytes(packed("xz", &tar))),
        ("/a.zip", Page::Bytes(zipped)),
        ("/text.gz", Page::Bytes(gzip(b"plain"))),
        ("/bad.tar.gz", Page::Bytes(b"not gzip".to_vec())),
        ("/bad.txz", Page::Bytes(b"not xz".to_vec())),
    ])
    .await;
    let place = Place::new();
    for name in ["a.tar", "a.tgz", "a.tar.gz", "a.tar.bz2", "a.txz", "a.zip"] {
        let sandbox = place
            .fetch(uri(format!("{}/{name}", server.url)))
            .await
            .unwrap();
        assert_eq!(read(&sandbox, "dir/inside"), "content", "{name}");
        assert_eq!(
            fs::metadata(sandbox.join("dir/inside")).unwrap().mode() & 0o111,
            0o111
        );
        assert!(sandbox.join(name).exists(), "the archive is kept");
    }
    let sandbox = place
        .fetch(uri(format!("{}/text.gz", server.url)))
        .await
        .unwrap();
    assert_eq!(read(&sandbox, "text"), "plain");
    for (executable, extract) in [(true, true), (false, false)] {
        let as_it_is = Uri {
            executable: Some(executable),
            extract: Some(extract),
            ..uri(format!("{}/a.tar", server.url))
        };
        let sandbox = place.fetch(as_it_is).await.unwrap();
        assert!(!sandbox.join("dir").exists());
    }
    for name in ["bad.tar.gz", "bad.txz"] {
        let error = place
            .fetch(uri(format!("{}/{name}", server.url)))
            .await
            .unwrap_err();
        assert!(error.contains(&format!("cannot unpack {name}")), "{error}");
    }
}

#[tokio::test]
async fn files_are_copied_with_the_rights_of_the_user() {
    let place = Place::with(|options| options.frameworks_home = Some("/etc".into()));
    let source = place.dir.path().join("source");
    fs::write(&source, "text").unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o744)).unwrap();
    for value in [
        source.display().to_string(),
        format!("file://{}", source.display()),
    ] {
        let sandbox = place.fetch(uri(value)).await.unwrap();
        assert_eq!(read(&sandbox, "source"), "text");
        assert_eq!(
            fs::metadata(sandbox.join("source")).unwrap().mode() & 0o777,
            0o744
        );
    }
    let sandbox = place.fetch(uri("passwd")).await.unwrap();
    assert!(read(&sandbox, "passwd").contains("root"));
    let error = place
        .fetch(uri(place.dir.path().display().to_string()))
        .await
        .unwrap_err();
    assert!(error.contains("not a file"), "{error}");
    let error = place
        .fetch_as(Some("no-such-user"), vec![uri("/etc/passwd")])
        .await
        .unwrap_err();
    assert!(error.contains("no user `no-such-user`"), "{error}");

    // The rest needs root, as the agent has it when it runs tasks of several users.
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        let sandbox = place
            .fetch_as(Some("nobody"), vec![uri("/etc/passwd")])
            .await
            .unwrap();
        assert_ne!(fs::metadata(sandbox.join("passwd")).unwrap().uid(), 0);
        let error = place
            .fetch_as(Some("nobody"), vec![uri("/etc/shadow")])
            .await
            .unwrap_err();
        assert!(error.contains("Permission denied"), "{error}");
    }
}

#[tokio::test]
async fn the_cache_fetches_once_and_makes_room() {
    let server = serve([
        ("/one", Page::Bytes(vec![b'1'; 600])),
        ("/two", Page::Bytes(vec![b'2'; 600])),
        ("/huge", Page::Bytes(vec![b'h'; 2000])),
        ("/unsized", Page::Unannounced(b"u".to_vec())),
        ("/a.tgz", Page::Bytes(gzip(&tar_with("inside", "content")))),
    ])
    .await;
    let place = Place::new();
    let cached = |path: &str| Uri {
        cache: Some(true),
        ..uri(format!("{}{path}", server.url))
    };
    let used = || place.fetcher.metrics()["containerizer/fetcher/cache_size_used_bytes"];
    let gets = || server.gets.load(Ordering::SeqCst);

    let (first, second) = tokio::join!(place.fetch(cached("/one")), place.fetch(cached("/one")));
    for sandbox in [first.unwrap(), second.unwrap()] {
        assert_eq!(read(&sandbox, "one"), "1".repeat(600));
    }
    assert_eq!((gets(), used()), (1, 600.0));
    place.fetch(cached("/two")).await.unwrap();
    assert_eq!((gets(), used()), (2, 600.0), "the first one made room");
    place.fetch(cached("/two")).await.unwrap();
    assert_eq!(gets(), 2);
    place.fetch(cached("/one")).await.unwrap();
    assert_eq!(gets(), 3);
    // What cannot be cached is fetched all the same.
    for path in ["/huge", "/unsized"] {
        place.fetch(cached(path)).await.unwrap();
    }
    assert_eq!((gets(), used()), (5, 600.0));
    let sandbox = place.fetch(cached("/a.tgz")).await.unwrap();
    assert_eq!(read(&sandbox, "inside"), "content");
    assert!(
        !sandbox.join("a.tgz").exists(),
        "unpacked straight from the cache"
    );
    let files = walk(&place.dir.path().join("cache"));
    assert_eq!(
        files, 3,
        "evicted files are gone: two and the lock are left"
    );
    let error = place.fetch(cached("/missing")).await.unwrap_err();
    assert!(error.contains("404"), "{error}");
}

fn walk(dir: &Path) -> usize {
    fs::read_dir(dir)
        .unwrap()
        .flatten()
        .map(|entry| {
            if entry.path().is_dir() {
                walk(&entry.path())
            } else {
                1
            }
        })
        .sum()
}
