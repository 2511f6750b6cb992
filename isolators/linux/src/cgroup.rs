//! One cgroup: a directory whose files are the kernel's knobs. v1 and v2 alike.
//!
//! The files are written directly: a write costs the kernel's few microseconds and nothing
//! more (`cgroup_bench` beside this folder's sources measures it against cgroups-rs).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Something about a cgroup could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The host lacks what was asked for.
    #[error("cgroup controller `{controller}` is not available: {remedy}")]
    NotMounted {
        /// Controller, such as `memory`.
        controller: String,
        /// Which mount or setting is missing.
        remedy: String,
    },
    /// The kernel refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// A verb: read, write `1` to, create, remove.
        action: String,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the kernel does not read as it should.
    #[error("{} holds `{text}`, not {expected}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What was found.
        text: String,
        /// What should be there.
        expected: &'static str,
    },
    /// Another container's, or one of another program.
    #[error("cgroup {} exists already and holds processes", path.display())]
    InUse {
        /// The cgroup.
        path: PathBuf,
    },
}

/// Whether `create` made the cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    New,
    /// It was there, without processes.
    Existed,
}

/// A directory in a cgroup file system (or, in tests, anywhere).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// The cgroup at `path`, which need not exist yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The cgroup `name` beneath. `name` is one of ours, without `/`, or a relative path.
    pub fn child(&self, name: impl AsRef<Path>) -> Self {
        Self {
            path: self.path.join(name),
        }
    }

    /// Path of one of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether the directory is there.
    pub fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Makes the directory; its parent must exist. One that exists is taken over when it holds no
    /// process, else [`CgroupError::InUse`].
    pub fn create(&self) -> Result<Created, CgroupError> {
        match fs::create_dir(&self.path) {
            Ok(()) => Ok(Created::New),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if self.processes()?.is_empty() {
                    Ok(Created::Existed)
                } else {
                    Err(CgroupError::InUse {
                        path: self.path.clone(),
                    })
                }
            }
            Err(source) => Err(self.error("create", &self.path, source)),
        }
    }

    /// Makes the directory and those above it, as for `--cgroups_root=a/b`.
    pub fn create_all(&self) -> Result<(), CgroupError> {
        fs::create_dir_all(&self.path).map_err(|source| self.error("create", &self.path, source))
    }

    /// Removes the cgroup and those beneath it. `Ok(false)`: the kernel says it is still busy, so
    /// try again in a moment. One that is not there counts as removed.
    pub fn remove(&self) -> Result<bool, CgroupError> {
        let busy = match fs::remove_dir(&self.path) {
            Ok(()) => return Ok(true),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT) => return Ok(true),
                // A real cgroup with children is EBUSY; a directory in a test is ENOTEMPTY.
                Some(libc::EBUSY | libc::ENOTEMPTY) => error,
                _ => return Err(self.error("remove", &self.path, error)),
            },
        };
        let mut had_children = false;
        if let Ok(entries) = fs::read_dir(&self.path) {
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    had_children = true;
                    if !Self::at(entry.path()).remove()? {
                        return Ok(false);
                    }
                }
            }
        }
        if !had_children {
            return if busy.raw_os_error() == Some(libc::EBUSY) {
                Ok(false)
            } else {
                Err(self.error("remove", &self.path, busy))
            };
        }
        match fs::remove_dir(&self.path) {
            Ok(()) => Ok(true),
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT) => Ok(true),
                Some(libc::EBUSY) => Ok(false),
                _ => Err(self.error("remove", &self.path, error)),
            },
        }
    }

    /// Writes one file in one write(2), as cgroup files want it.
    pub fn write(&self, file: &str, value: &str) -> Result<(), CgroupError> {
        let path = self.file(file);
        // `create` serves the directories of tests; cgroup file systems refuse to make files.
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .and_then(|mut open| open.write_all(value.as_bytes()))
            .map_err(|source| {
                let source = if source.raw_os_error() == Some(libc::EACCES) && !path.exists() {
                    io::Error::from_raw_os_error(libc::ENOENT)
                } else {
                    source
                };
                self.error(&format!("write `{}` to", value.trim_end()), &path, source)
            })
    }

    /// The whole text of one file.
    pub fn read(&self, file: &str) -> Result<String, CgroupError> {
        let path = self.file(file);
        let mut text = String::with_capacity(1024);
        File::open(&path)
            .and_then(|mut open| open.read_to_string(&mut text))
            .map_err(|source| self.error("read", &path, source))?;
        Ok(text)
    }

    /// A file that holds one number.
    pub fn read_u64(&self, file: &str) -> Result<u64, CgroupError> {
        let text = self.read(file)?;
        text.trim()
            .parse()
            .map_err(|_| self.parse_error(file, &text, "a number"))
    }

    /// A file that holds a number or `max`; `None` is `max`.
    pub fn read_max(&self, file: &str) -> Result<Option<u64>, CgroupError> {
        let text = self.read(file)?;
        match text.trim() {
            "max" => Ok(None),
            number => number
                .parse()
                .map(Some)
                .map_err(|_| self.parse_error(file, &text, "a number or `max`")),
        }
    }

    /// One value of a file of `key value` lines; `None`: this kernel does not have the key.
    pub fn read_key(&self, file: &str, key: &str) -> Result<Option<u64>, CgroupError> {
        Ok(value_of(&self.read(file)?, key))
    }

    /// Pids in this cgroup (not in those beneath), as seen from here.
    pub fn processes(&self) -> Result<Vec<u32>, CgroupError> {
        match self.read("cgroup.procs") {
            Ok(text) => Ok(text
                .lines()
                .filter_map(|line| line.trim().parse().ok())
                .collect()),
            Err(CgroupError::Io { source, .. })
                if matches!(source.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) =>
            {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Pids in this cgroup and all beneath.
    pub fn all_processes(&self) -> Result<Vec<u32>, CgroupError> {
        let mut pids = self.processes()?;
        // A directory has two links, and one more for each directory in it.
        if fs::metadata(&self.path).map_or(true, |found| found.nlink() <= 2) {
            return Ok(pids);
        }
        if let Ok(entries) = fs::read_dir(&self.path) {
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    pids.extend(Self::at(entry.path()).all_processes()?);
                }
            }
        }
        Ok(pids)
    }

    fn error(&self, action: &str, path: &Path, source: io::Error) -> CgroupError {
        CgroupError::Io {
            action: action.to_owned(),
            path: path.to_owned(),
            source,
        }
    }

    /// For callers that read a file's text themselves.
    pub fn parse_error(&self, file: &str, text: &str, expected: &'static str) -> CgroupError {
        let text = text.trim().chars().take(80).collect();
        CgroupError::Parse {
            path: self.file(file),
            text,
            expected,
        }
    }
}

/// The number after `key ` in a file of `key value` lines.
pub fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.split_once(' ').filter(|(name, _)| *name == key))
        .and_then(|(_, value)| value.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_maxima_and_keys_are_read_and_anything_else_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let cgroup = Cgroup::at(dir.path()).child("c");
        assert_eq!(cgroup.create().unwrap(), Created::New);
        assert_eq!(cgroup.create().unwrap(), Created::Existed);
        cgroup.write("memory.max", "max\n").unwrap();
        assert_eq!(cgroup.read_max("memory.max").unwrap(), None);
        cgroup.write("memory.max", "4096\n").unwrap();
        assert_eq!(cgroup.read_max("memory.max").unwrap(), Some(4096));
        cgroup
            .write("memory.events", "oom 1\noom_kill 2\n")
            .unwrap();
        assert_eq!(
            cgroup.read_key("memory.events", "oom_kill").unwrap(),
            Some(2)
        );
        assert_eq!(
            cgroup.read_key("memory.events", "oom_group_kill").unwrap(),
            None
        );
        cgroup.write("cpu.shares", "many").unwrap();
        let error = cgroup.read_u64("cpu.shares").unwrap_err().to_string();
        assert!(
            error.ends_with("c/cpu.shares holds `many`, not a number"),
            "{error}"
        );
    }

    #[test]
    fn a_cgroup_with_processes_is_not_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let cgroup = Cgroup::at(dir.path());
        cgroup.write("cgroup.procs", "1\n77\n").unwrap();
        assert_eq!(cgroup.processes().unwrap(), [1, 77]);
        assert!(matches!(cgroup.create(), Err(CgroupError::InUse { .. })));
    }

    #[test]
    fn removal_goes_bottom_up_and_may_be_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let cgroup = Cgroup::at(dir.path()).child("c");
        cgroup.child("mesos/leaf").create_all().unwrap();
        assert!(cgroup.remove().unwrap());
        assert!(!cgroup.exists());
        assert!(cgroup.remove().unwrap());
    }
}
