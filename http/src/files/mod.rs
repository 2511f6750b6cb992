//! Files that the daemon lets clients see: virtual paths, the `/files` endpoints, LIST_FILES and READ_FILE.
//!
//! Nothing outside an attached directory is ever opened for a client: what was opened is compared with the
//! attached root by its path in `/proc/self/fd`, so a symlink swapped at the wrong moment gains nothing.

mod endpoints;
mod entry;
mod opened;

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    sync::{Arc, RwLock},
};

use bytes::Bytes;
use http::StatusCode;
use mesos_wire::v1;

use crate::response::Response;

pub use endpoints::{attachment, route};
pub use entry::Entry;

use opened::Opened;

/// Most bytes of one read: 16 pages. Source: Mesos, `FilesProcess::_read`.
pub const MAX_READ: u64 = 64 * 1024;
/// Most entries of one listing.
const MAX_ENTRIES: usize = 100_000;

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
            let Some(metadata) = entry::visible(&opened.root, &directory.join(entry.file_name()))
            else {
                continue;
            };
            let shown = format!(
                "{}/{}",
                path.trim_end_matches('/'),
                entry.file_name().to_string_lossy()
            );
            entries.push(entry::describe(shown, &metadata, &mut names));
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

    /// LIST_FILES: [`list`](Self::list) off the caller's thread.
    pub async fn list_v1(
        &self,
        path: &str,
        principal: Option<&str>,
    ) -> Result<Vec<v1::FileInfo>, FilesError> {
        let (files, path, principal) =
            (self.clone(), path.to_owned(), principal.map(str::to_owned));
        let entries = blocking(move || files.list(&path, principal.as_deref())).await?;
        Ok(entries.iter().map(Entry::to_v1).collect())
    }

    /// READ_FILE: [`read`](Self::read) off the caller's thread.
    pub async fn read_v1(
        &self,
        path: &str,
        offset: u64,
        length: Option<u64>,
        principal: Option<&str>,
    ) -> Result<(u64, Bytes), FilesError> {
        let (files, path, principal) =
            (self.clone(), path.to_owned(), principal.map(str::to_owned));
        blocking(move || files.read(&path, offset, length, principal.as_deref())).await
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

/// Runs disk work off the caller's thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FilesError> + Send + 'static,
) -> Result<T, FilesError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(FilesError::Io(
            "The disk operation was cut off.\n".to_owned(),
        ))
    })
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
}
