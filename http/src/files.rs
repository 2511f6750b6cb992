//! Files that the daemon lets clients see: virtual paths, the `/files` endpoints, LIST_FILES and READ_FILE.
//!
//! Nothing outside an attached directory is ever opened for a client: what was opened is compared with the
//! attached root by its path in `/proc/self/fd`, so a symlink swapped at the wrong moment gains nothing.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::{
        fd::AsRawFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use bytes::Bytes;
use http::{StatusCode, header};
use http_body_util::StreamBody;
use mesos_wire::v1;
use serde::Serialize;
use tokio::io::AsyncReadExt as _;

use crate::{
    auth::{Action, Object},
    request::Request,
    response::{Body, Response},
    router::Router,
};

/// Most bytes of one read: 16 pages. Source: Mesos, `FilesProcess::_read`.
pub const MAX_READ: u64 = 64 * 1024;
/// Most entries of one listing.
const MAX_ENTRIES: usize = 100_000;
/// Bytes read at once for a download.
const DOWNLOAD_CHUNK: usize = 64 * 1024;
/// Path that ACLs name for the list of attached paths.
const DEBUG: &str = "/files/debug";

/// Why a file is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// The request makes no sense for this path; the text says why, with a newline at its end.
    #[error("{0}")]
    Invalid(String),
    /// No such path, or it is not attached.
    #[error("no such file")]
    NotFound,
    /// The principal may not see it.
    #[error("not allowed")]
    Unauthorized,
    /// The system refused; the text has a newline at its end.
    #[error("{0}")]
    Io(String),
}

impl FilesError {
    /// The answer for a client.
    pub fn into_response(self) -> Response {
        match self {
            Self::Invalid(text) => Response::bad_request(text),
            Self::NotFound => Response::error(StatusCode::NOT_FOUND, ""),
            Self::Unauthorized => Response::forbidden(""),
            Self::Io(text) => Response::error(StatusCode::INTERNAL_SERVER_ERROR, text),
        }
    }

    fn io(action: &str, path: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NotFound,
            _ => Self::Io(format!("Failed to {action} '{path}': {error}.\n")),
        }
    }
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Group, by name if it has one.
    pub gid: String,
    /// As `ls` writes it: `-rw-r--r--`.
    pub mode: String,
    /// Last change, in seconds since 1970.
    pub mtime: f64,
    /// Hard links.
    pub nlink: u64,
    /// The virtual path of the listing, then the name.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Owner, by name if it has one.
    pub uid: String,
    #[serde(skip)]
    raw_mode: u32,
}

impl Entry {
    /// The same as a v1 message.
    pub fn to_v1(&self) -> v1::FileInfo {
        #[allow(clippy::cast_possible_truncation, reason = "whole seconds")]
        let seconds = self.mtime as i64;
        v1::FileInfo {
            path: self.path.clone(),
            nlink: i32::try_from(self.nlink).ok(),
            size: Some(self.size),
            mtime: Some(v1::TimeInfo {
                nanoseconds: seconds.saturating_mul(1_000_000_000),
            }),
            mode: Some(self.raw_mode),
            uid: Some(self.uid.clone()),
            gid: Some(self.gid.clone()),
        }
    }
}

/// Decides whether a principal may see an attached path.
pub type Guard = Arc<dyn Fn(Option<&str>) -> bool + Send + Sync>;

#[derive(Clone)]
struct Attached {
    real: PathBuf,
    guard: Option<Guard>,
}

/// The table of attached paths. Clones share it.
#[derive(Clone, Default)]
pub struct Files(Arc<RwLock<BTreeMap<String, Attached>>>);

impl Files {
    /// No path attached.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows `real`, a file or a directory with all that is in it, under the path `virtual_path`. It need not
    /// exist yet. A guard is asked on each access.
    pub fn attach(&self, virtual_path: &str, real: impl Into<PathBuf>, guard: Option<Guard>) {
        if let Ok(mut table) = self.0.write() {
            table.insert(
                normalize(virtual_path),
                Attached {
                    real: real.into(),
                    guard,
                },
            );
        }
    }

    /// Shows a path no longer.
    pub fn detach(&self, virtual_path: &str) {
        if let Ok(mut table) = self.0.write() {
            table.remove(&normalize(virtual_path));
        }
    }

    /// Attached paths and what is behind them.
    pub fn attached(&self) -> BTreeMap<String, String> {
        let pair = |(path, attached): (&String, &Attached)| {
            (format!("/{path}"), attached.real.display().to_string())
        };
        self.0
            .read()
            .map(|table| table.iter().map(pair).collect())
            .unwrap_or_default()
    }

    /// The attachment with the longest path that leads to `path`, and what remains of it.
    fn resolve(
        &self,
        path: &str,
        principal: Option<&str>,
    ) -> Result<(Attached, String), FilesError> {
        if path.contains('\0') || path.split('/').any(|token| token == "..") {
            return Err(FilesError::Invalid(format!(
                "Path '{path}' must not contain '..' or a zero byte.\n"
            )));
        }
        let path = normalize(path);
        let table = self
            .0
            .read()
            .map_err(|_| FilesError::Io("The table of files is lost.\n".to_owned()))?;
        let mut end = path.len();
        loop {
            if let Some(attached) = table.get(&path[..end]) {
                if attached
                    .guard
                    .as_ref()
                    .is_some_and(|guard| !guard(principal))
                {
                    return Err(FilesError::Unauthorized);
                }
                return Ok((
                    attached.clone(),
                    path[end..].trim_start_matches('/').to_owned(),
                ));
            }
            end = path[..end].rfind('/').ok_or(FilesError::NotFound)?;
        }
    }

    /// Lists a directory, sorted by path; a file gives an empty list. Blocks on the disk.
    pub fn list(&self, path: &str, principal: Option<&str>) -> Result<Vec<Entry>, FilesError> {
        let (attached, rest) = self.resolve(path, principal)?;
        let opened = Opened::new(path, &attached.real, &rest)?;
        if !opened.metadata.is_dir() {
            return Ok(Vec::new());
        }
        let directory = opened.through_fd();
        let failed = |error: io::Error| FilesError::io("list", path, &error);
        let mut names = HashMap::new();
        let mut entries = Vec::new();
        for entry in fs::read_dir(&directory).map_err(failed)?.take(MAX_ENTRIES) {
            let entry = entry.map_err(failed)?;
            let Some(metadata) = visible(&opened.root, &directory.join(entry.file_name())) else {
                continue;
            };
            let shown = format!(
                "{}/{}",
                path.trim_end_matches('/'),
                entry.file_name().to_string_lossy()
            );
            entries.push(describe(shown, &metadata, &mut names));
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// Reads at most `length` and at most [`MAX_READ`] bytes from `offset` on; gives the file's size and the
    /// bytes. Beyond its end there are none. Blocks on the disk.
    pub fn read(
        &self,
        path: &str,
        offset: u64,
        length: Option<u64>,
        principal: Option<&str>,
    ) -> Result<(u64, Bytes), FilesError> {
        let (attached, rest) = self.resolve(path, principal)?;
        let mut opened = Opened::new(path, &attached.real, &rest)?;
        opened.regular("read")?;
        let size = opened.metadata.len();
        let length = length
            .unwrap_or(MAX_READ)
            .min(MAX_READ)
            .min(size.saturating_sub(offset));
        let mut data = Vec::new();
        if length > 0 {
            let read = opened
                .file
                .seek(SeekFrom::Start(offset))
                .and_then(|_| (&mut opened.file).take(length).read_to_end(&mut data));
            read.map_err(|error| FilesError::io("read", path, &error))?;
        }
        Ok((size, data.into()))
    }

    /// Opens a file for download.
    fn open(&self, path: &str, principal: Option<&str>) -> Result<(File, u64), FilesError> {
        let (attached, rest) = self.resolve(path, principal)?;
        let opened = Opened::new(path, &attached.real, &rest)?;
        opened.regular("download")?;
        Ok((opened.file, opened.metadata.len()))
    }
}

fn normalize(path: &str) -> String {
    path.split('/')
        .filter(|token| !token.is_empty() && *token != ".")
        .collect::<Vec<_>>()
        .join("/")
}

/// A file or directory that is known to be within its root.
struct Opened {
    file: File,
    metadata: Metadata,
    root: PathBuf,
}

impl Opened {
    fn new(shown: &str, real: &Path, rest: &str) -> Result<Self, FilesError> {
        let failed = |error: io::Error| FilesError::io("open", shown, &error);
        let root = fs::canonicalize(real).map_err(failed)?;
        let target = if rest.is_empty() {
            root.clone()
        } else {
            root.join(rest)
        };
        let resolved = fs::canonicalize(&target).map_err(failed)?;
        let inaccessible = |path: &Path| {
            FilesError::Invalid(format!(
                "Resolved path '{}' is inaccessible.\n",
                path.display()
            ))
        };
        if !resolved.starts_with(&root) {
            return Err(inaccessible(&resolved));
        }
        let kind = fs::metadata(&resolved).map_err(failed)?.file_type();
        if !kind.is_file() && !kind.is_dir() {
            return Err(FilesError::Invalid(format!(
                "Path '{shown}' is neither a file nor a directory.\n"
            )));
        }
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW)
            .open(&resolved)
            .map_err(failed)?;
        let opened = fs::read_link(descriptor(&file)).map_err(failed)?;
        if !opened.starts_with(&root) {
            return Err(inaccessible(&opened));
        }
        let metadata = file.metadata().map_err(failed)?;
        Ok(Self {
            file,
            metadata,
            root,
        })
    }

    fn through_fd(&self) -> PathBuf {
        descriptor(&self.file)
    }

    fn regular(&self, action: &str) -> Result<(), FilesError> {
        if self.metadata.is_dir() {
            return Err(FilesError::Invalid(format!(
                "Cannot {action} a directory.\n"
            )));
        }
        if !self.metadata.is_file() {
            return Err(FilesError::Invalid(format!(
                "Cannot {action} what is not a file.\n"
            )));
        }
        Ok(())
    }
}

fn descriptor(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// What a listing tells of an entry: symlinks are followed within the root, and shown as links beyond it.
fn visible(root: &Path, path: &Path) -> Option<Metadata> {
    let own = fs::symlink_metadata(path).ok()?;
    if !own.is_symlink() {
        return Some(own);
    }
    match fs::canonicalize(path) {
        Ok(target) if target.starts_with(root) => fs::symlink_metadata(target).ok(),
        _ => Some(own),
    }
}

fn describe(path: String, metadata: &Metadata, names: &mut HashMap<(bool, u32), String>) -> Entry {
    let mut name = |group: bool, id: u32| {
        names
            .entry((group, id))
            .or_insert_with(|| {
                let found = if group {
                    nix::unistd::Group::from_gid(id.into())
                        .ok()
                        .flatten()
                        .map(|group| group.name)
                } else {
                    nix::unistd::User::from_uid(id.into())
                        .ok()
                        .flatten()
                        .map(|user| user.name)
                };
                found.unwrap_or_else(|| id.to_string())
            })
            .clone()
    };
    #[allow(clippy::cast_precision_loss, reason = "seconds are far below 2^53")]
    let mtime = metadata.mtime() as f64;
    Entry {
        gid: name(true, metadata.gid()),
        mode: mode_text(metadata.mode()),
        mtime,
        nlink: metadata.nlink(),
        path,
        size: metadata.len(),
        uid: name(false, metadata.uid()),
        raw_mode: metadata.mode(),
    }
}

/// A mode as `ls` writes it, without the special bits, as Mesos does.
fn mode_text(mode: u32) -> String {
    let kind = match mode & libc::S_IFMT {
        libc::S_IFDIR => 'd',
        libc::S_IFLNK => 'l',
        libc::S_IFIFO => 'p',
        libc::S_IFSOCK => 's',
        libc::S_IFBLK => 'b',
        libc::S_IFCHR => 'c',
        _ => '-',
    };
    let bits = (0..9).map(|bit| {
        if mode & (0o400 >> bit) == 0 {
            '-'
        } else {
            ['r', 'w', 'x'][bit % 3]
        }
    });
    std::iter::once(kind).chain(bits).collect()
}

/// Adds `/files/browse`, `/files/read`, `/files/download`, `/files/debug`, each with its `.json` alias.
pub fn route<S: Clone + Send + Sync + 'static>(router: &mut Router<S>, files: &Files) {
    let table = files.clone();
    router
        .get("/files/browse", move |_: S, request| {
            browse(table.clone(), request)
        })
        .alias("/files/browse.json")
        .bare()
        .ungated();
    let table = files.clone();
    router
        .get("/files/read", move |_: S, request| {
            read(table.clone(), request)
        })
        .alias("/files/read.json")
        .bare()
        .ungated();
    let table = files.clone();
    router
        .get("/files/download", move |_: S, request| {
            download(table.clone(), request)
        })
        .alias("/files/download.json")
        .bare()
        .ungated();
    let table = files.clone();
    router
        .get(DEBUG, move |_: S, request: Request| {
            std::future::ready(
                if request.authorize(Action::GetEndpoint, Object::Named(DEBUG)) {
                    Response::json(&table.attached())
                } else {
                    Response::forbidden("")
                },
            )
        })
        .alias("/files/debug.json")
        .bare()
        .ungated();
}

fn path_of(request: &Request) -> Result<String, Response> {
    match request.query("path") {
        Some(path) if !path.is_empty() => Ok(path.to_owned()),
        _ => Err(Response::bad_request("Expecting 'path=value' in query.\n")),
    }
}

/// Runs disk work off the connection's thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FilesError> + Send + 'static,
) -> Result<T, FilesError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(FilesError::Io(
            "The disk operation was cut off.\n".to_owned(),
        ))
    })
}

async fn browse(files: Files, request: Request) -> Response {
    let path = match path_of(&request) {
        Ok(path) => path,
        Err(response) => return response,
    };
    let principal = request.head.principal;
    match blocking(move || files.list(&path, principal.as_deref())).await {
        Ok(entries) => Response::json(&entries),
        Err(error) => error.into_response(),
    }
}

fn number(request: &Request, name: &str) -> Result<Option<i64>, Response> {
    let Some(text) = request.query(name) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        Response::bad_request(format!(
            "Failed to parse {name}: Failed to convert '{text}' to number.\n"
        ))
    })
}

async fn read(files: Files, request: Request) -> Response {
    let parsed = path_of(&request).and_then(|path| {
        Ok((
            path,
            number(&request, "offset")?.unwrap_or(-1),
            number(&request, "length")?,
        ))
    });
    let (path, offset, length) = match parsed {
        Ok(parsed) => parsed,
        Err(response) => return response,
    };
    if offset < -1 {
        return Response::bad_request(format!("Negative offset provided: {offset}.\n"));
    }
    if length.is_some_and(|length| length < -1) {
        return Response::bad_request(format!(
            "Negative length provided: {}.\n",
            length.unwrap_or_default()
        ));
    }
    let principal = request.head.principal;
    let start = u64::try_from(offset).ok();
    let length = length.and_then(|length| u64::try_from(length).ok());
    let data = blocking(move || {
        // Without an offset only the size is asked for.
        let (size, data) = files.read(
            &path,
            start.unwrap_or(0),
            if start.is_none() { Some(0) } else { length },
            principal.as_deref(),
        )?;
        Ok((start.unwrap_or(size), data))
    });
    match data.await {
        Ok((offset, data)) => Response::json(
            &serde_json::json!({ "data": String::from_utf8_lossy(&data), "offset": offset }),
        ),
        Err(error) => error.into_response(),
    }
}

async fn download(files: Files, request: Request) -> Response {
    let path = match path_of(&request) {
        Ok(path) => path,
        Err(response) => return response,
    };
    let name = path
        .rsplit('/')
        .find(|token| !token.is_empty())
        .unwrap_or("file")
        .to_owned();
    let principal = request.head.principal;
    match blocking(move || files.open(&path, principal.as_deref())).await {
        Ok((file, size)) => attachment(&name, file, size),
        Err(FilesError::NotFound) => Response::not_found(),
        Err(error) => error.into_response(),
    }
}

/// The first `size` bytes of a file as a download named `name`. A file that shrinks meanwhile ends the
/// connection early, which the client can tell by the length.
pub fn attachment(name: &str, file: File, size: u64) -> Response {
    let file = tokio::fs::File::from_std(file).take(size);
    let chunks = futures::stream::try_unfold((file, size), |(mut file, left)| async move {
        if left == 0 {
            return Ok::<_, io::Error>(None);
        }
        let want = usize::try_from(left)
            .unwrap_or(DOWNLOAD_CHUNK)
            .min(DOWNLOAD_CHUNK);
        let mut chunk = bytes::BytesMut::with_capacity(want);
        let read = file.read_buf(&mut chunk).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let left = left.saturating_sub(u64::try_from(read).unwrap_or(left));
        Ok(Some((http_body::Frame::data(chunk.freeze()), (file, left))))
    });
    let mut response = Response::bytes("application/octet-stream", Bytes::new());
    response.body = Body::Sized(size, axum::body::Body::new(StreamBody::new(chunks)));
    let plain = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-+@".contains(c));
    let shown = if plain {
        name.to_owned()
    } else {
        // Quotes, and nothing that could end them or the header.
        let safe: String = name
            .chars()
            .map(|c| {
                if c.is_ascii() && !c.is_ascii_control() && c != '"' && c != '\\' {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        format!("\"{safe}\"")
    };
    response.header(
        header::CONTENT_DISPOSITION,
        &format!("attachment; filename={shown}"),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn sandbox() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("run");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(root.join("stdout"), "hello").unwrap();
        fs::write(root.join("sub/deep"), "deep").unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        symlink("../secret", root.join("escape")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("sub", root.join("latest")).unwrap();
        let files = Files::new();
        files.attach("/slave/run/", root, None);
        (dir, files)
    }

    #[test]
    fn nothing_beyond_the_root_is_reached() {
        let (_dir, files) = sandbox();
        for path in ["/slave/run/escape", "/slave/run/up/secret", "/slave/run/up"] {
            let error = files.read(path, 0, None, None).unwrap_err();
            assert!(
                matches!(&error, FilesError::Invalid(text) if text.contains("is inaccessible")),
                "{path}: {error:?}"
            );
        }
        assert!(matches!(
            files.read("/slave/run/../secret", 0, None, None),
            Err(FilesError::Invalid(_))
        ));
        for path in [
            "/slave/run/nope",
            "/slave",
            "/",
            "",
            "/slave/running",
            "/slave/run/stdout/x",
        ] {
            assert_eq!(
                files.read(path, 0, None, None),
                Err(FilesError::NotFound),
                "{path}"
            );
        }
        // What the link leads to is not described either.
        let entries = files.list("/slave/run", None).unwrap();
        let escape = entries
            .iter()
            .find(|entry| entry.path == "/slave/run/escape")
            .unwrap();
        assert!(escape.mode.starts_with('l'), "{escape:?}");
    }

    #[test]
    fn listings_are_sorted_and_follow_links_within() {
        let (_dir, files) = sandbox();
        let entries = files.list("slave/run/", None).unwrap();
        let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
        let names = ["escape", "latest", "stdout", "sub", "up"];
        assert_eq!(paths, names.map(|name| format!("slave/run/{name}")));
        assert!(entries[1].mode.starts_with('d'), "{:?}", entries[1]);
        assert_eq!((entries[2].size, entries[2].nlink), (5, 1));
        assert_eq!(
            files.list("/slave/run/latest", None).unwrap()[0].path,
            "/slave/run/latest/deep"
        );
        assert_eq!(files.list("/slave/run/stdout", None), Ok(Vec::new()));
        assert_eq!(
            entries[2].to_v1().mode.unwrap() & libc::S_IFMT,
            libc::S_IFREG
        );
    }

    #[test]
    fn reads_are_bounded_by_size_length_and_pages() {
        let (dir, files) = sandbox();
        let read = |offset, length| {
            files
                .read("/slave/run/stdout", offset, length, None)
                .unwrap()
        };
        assert_eq!(read(0, None), (5, Bytes::from("hello")));
        assert_eq!(read(1, Some(3)), (5, Bytes::from("ell")));
        assert_eq!(read(99, None), (5, Bytes::new()));
        fs::write(dir.path().join("run/big"), vec![b'x'; 100_000]).unwrap();
        assert_eq!(
            files
                .read("/slave/run/big", 0, Some(90_000), None)
                .unwrap()
                .1
                .len(),
            65_536
        );
        assert!(matches!(
            files.read("/slave/run/sub", 0, None, None),
            Err(FilesError::Invalid(_))
        ));
    }

    #[test]
    fn a_fifo_does_not_hang_the_reader() {
        let (dir, files) = sandbox();
        nix::unistd::mkfifo(&dir.path().join("run/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(
            files.read("/slave/run/fifo", 0, None, None),
            Err(FilesError::Invalid(_))
        ));
        assert_eq!(
            files.list("/slave/run", None).unwrap()[1].mode,
            "prwx------"
        );
    }

    #[test]
    fn guards_decide_and_detached_paths_are_gone() {
        let (dir, files) = sandbox();
        let guard: Guard = Arc::new(|principal| principal == Some("root"));
        files.attach("/slave/run/sub", dir.path().join("run/sub"), Some(guard));
        assert_eq!(
            files.read("/slave/run/sub/deep", 0, None, None),
            Err(FilesError::Unauthorized)
        );
        assert_eq!(
            files
                .read("/slave/run/sub/deep", 0, None, Some("root"))
                .unwrap()
                .0,
            4
        );
        assert_eq!(files.attached().len(), 2);
        files.detach("/slave/run");
        assert_eq!(
            files.read("/slave/run/stdout", 0, None, None),
            Err(FilesError::NotFound)
        );
    }

    #[test]
    fn modes_read_as_ls_writes_them() {
        assert_eq!(mode_text(libc::S_IFREG | 0o644), "-rw-r--r--");
        assert_eq!(mode_text(libc::S_IFDIR | 0o750), "drwxr-x---");
    }
}
