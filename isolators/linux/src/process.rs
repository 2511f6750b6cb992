//! Facts about processes that outlive a restart of ours: pid, start time, boot.

use std::{fs, io, sync::OnceLock};

use crate::pidfd::PidFd;

/// Names one process for good: a pid may be used again, a pid with start time and boot is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessKey {
    /// As seen from the host.
    pub pid: u32,
    /// Clock ticks between boot and its start: field 22 of proc_pid_stat(5).
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

impl ProcessKey {
    /// The process that has this pid now.
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Self {
            pid,
            start_time: start_time(pid)?,
            boot_id: boot_id()?.to_owned(),
        })
    }

    /// A descriptor for exactly this process; `None`: it has gone.
    pub fn open(&self) -> io::Result<Option<PidFd>> {
        if boot_id()? != self.boot_id {
            return Ok(None);
        }
        let fd = match PidFd::open(self.pid) {
            Ok(fd) => fd,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            Err(error) => return Err(error),
        };
        // The descriptor first, then the comparison: the pid cannot change hands in between.
        match start_time(self.pid) {
            Ok(time) if time == self.start_time => Ok(Some(fd)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl std::fmt::Display for ProcessKey {
    /// Three lines; the first is the pid alone, as Apache Mesos has it in `pid`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.pid, self.start_time, self.boot_id)
    }
}

impl std::str::FromStr for ProcessKey {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let mut lines = text.lines();
        let parsed = (|| {
            let pid = lines.next()?.trim().parse().ok()?;
            let start_time = lines.next()?.trim().parse().ok()?;
            let boot_id = lines.next()?.trim().to_owned();
            Some(Self {
                pid,
                start_time,
                boot_id,
            })
        })();
        parsed.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "not a pid, a start time and a boot id",
            )
        })
    }
}

/// Clock ticks between boot and the start of `pid`.
pub fn start_time(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything, also parentheses; what follows it may not.
    text.rsplit_once(") ")
        .and_then(|(_, rest)| rest.split(' ').nth(19))
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "stat has no start time"))
}

/// Changes with every boot.
pub fn boot_id() -> io::Result<&'static str> {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    if let Some(id) = BOOT_ID.get() {
        return Ok(id);
    }
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned();
    Ok(BOOT_ID.get_or_init(|| id))
}

/// Own pid as the mounted /proc sees it: that of the host also inside a new pid namespace, as long
/// as /proc has not been mounted anew.
pub fn own_pid_in_proc() -> io::Result<u32> {
    let link = fs::read_link("/proc/self")?;
    link.to_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/self is no pid"))
}

/// From now on orphaned descendants become children of this process. prctl(2), Linux 3.4.
pub fn become_subreaper() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)
}

/// Raises the number of files this process may have open as far as it may by itself; what it is
/// then. An agent has about eight open for each container.
pub fn raise_open_files() -> io::Result<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// Sets the name of this thread that `ps` shows; the kernel keeps the first 15 bytes.
pub fn set_name(name: &str) -> io::Result<()> {
    let name = std::ffi::CString::new(name)?;
    nix::sys::prctl::set_name(&name).map_err(io::Error::from)
}

/// Every descendant of `pid`, itself first, by the kernel's list of children. Those that have been
/// orphaned are found where a subreaper or the init of a namespace keeps them.
pub fn tree(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        next += 1;
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        for thread in threads.flatten() {
            let Ok(text) = fs::read_to_string(thread.path().join("children")) else {
                continue;
            };
            found.extend(
                text.split_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_its_own_process_and_no_later_one() {
        let own = ProcessKey::of(std::process::id()).unwrap();
        assert_eq!(own.to_string().parse::<ProcessKey>().unwrap(), own);
        assert!(own.open().unwrap().is_some());
        let reused = ProcessKey {
            start_time: own.start_time + 1,
            ..own.clone()
        };
        assert!(reused.open().unwrap().is_none());
        let earlier_boot = ProcessKey {
            boot_id: "x".to_owned(),
            ..own
        };
        assert!(earlier_boot.open().unwrap().is_none());
        assert!("".parse::<ProcessKey>().is_err());
    }

    #[test]
    fn open_files_are_raised_to_what_is_allowed() {
        let raised = raise_open_files().unwrap();
        assert_eq!(raise_open_files().unwrap(), raised);
        let limits = fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"))
            .unwrap();
        assert_eq!(line.matches(&raised.to_string()).count(), 2, "{line}");
    }

    #[test]
    fn the_tree_has_children() {
        let mut child = std::process::Command::new("/bin/sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let tree = tree(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(tree.contains(&child.id()), "{tree:?}");
    }
}
