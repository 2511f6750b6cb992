//! What this machine runs and has mounted: to find processes of a task, and what a test left.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Where the cgroup file systems are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// A process, with its start time: together they never name another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The pid in the host's namespace.
    pub pid: i32,
    /// In clock ticks since boot: field 22 of `/proc/<pid>/stat`.
    pub started: u64,
    /// Arguments joined by blanks.
    pub command: String,
}

impl Process {
    /// The live process of that pid; none for a zombie.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        if fields.first() == Some(&"Z") {
            return None;
        }
        Some(Self {
            pid,
            started: fields.get(19)?.parse().ok()?,
            command: words(&fs::read(format!("/proc/{pid}/cmdline")).ok()?),
        })
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| now.started == self.started)
    }

    /// Sends SIGKILL, if it still is the same process.
    pub fn kill_9(&self) {
        if self.is_alive() {
            // It may end between the look and the signal.
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        }
    }
}

fn words(nul_separated: &[u8]) -> String {
    String::from_utf8_lossy(nul_separated)
        .trim_end_matches('\0')
        .replace('\0', " ")
}

/// Every process but kernel threads and zombies.
pub fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Process::of)
        .filter(|process| !process.command.is_empty())
        .collect()
}

/// Processes whose command line is exactly `command`.
pub fn running(command: &str) -> Vec<Process> {
    processes()
        .into_iter()
        .filter(|process| process.command == command)
        .collect()
}

/// Processes that carry `mark` in command line, environment, working directory, root,
/// executable or cgroup; never this one.
pub fn processes_marked(mark: &str) -> Vec<Process> {
    processes()
        .into_iter()
        .filter(|process| process.pid != std::process::id() as i32 && is_marked(process.pid, mark))
        .collect()
}

fn is_marked(pid: i32, mark: &str) -> bool {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let text = |name: &str| {
        fs::read(proc.join(name))
            .map(|bytes| words(&bytes))
            .unwrap_or_default()
    };
    let link = |name: &str| {
        fs::read_link(proc.join(name))
            .unwrap_or_default()
            .display()
            .to_string()
    };
    ["cmdline", "environ", "cgroup"]
        .iter()
        .any(|name| text(name).contains(mark))
        || ["cwd", "root", "exe"]
            .iter()
            .any(|name| link(name).contains(mark))
}

/// Mount points below `folder`, deepest first.
pub fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|path| path.starts_with(folder) && path != folder)
        .collect();
    found.sort();
    found.reverse();
    found
}

/// Cgroups, in any hierarchy, with `mark` in a component of their path; children before parents.
pub fn cgroups_marked(mark: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(Path::new(CGROUPS), mark, 0, &mut found);
    found
}

fn collect(folder: &Path, mark: &str, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if depth < 32 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), mark, depth + 1, found);
        }
    }
    if folder.to_string_lossy().contains(mark) {
        found.push(folder.to_owned());
    }
}

/// Ends every process with the mark, unmounts all below `folder`, removes the cgroups with the
/// mark. For what a failed test left; gives up silently after some seconds.
pub fn clear(mark: &str, folder: &Path) {
    for _ in 0..100 {
        let left = processes_marked(mark);
        left.iter().for_each(Process::kill_9);
        for cgroup in cgroups_marked(mark) {
            thaw(&cgroup);
            kill_members(&cgroup);
            // Fails while members die; the next round tries again.
            let _ = fs::remove_dir(&cgroup);
        }
        for mount in mounts_below(folder) {
            let _ = umount2(&mount, MntFlags::MNT_DETACH);
        }
        if left.is_empty() && cgroups_marked(mark).is_empty() && mounts_below(folder).is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn thaw(cgroup: &Path) {
    // The file exists in the freezer's hierarchy only.
    if cgroup.join("freezer.state").exists() {
        let _ = fs::write(cgroup.join("freezer.state"), "THAWED");
    }
}

fn kill_members(cgroup: &Path) {
    let members = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    for pid in members.lines().filter_map(|line| line.parse().ok()) {
        if pid != std::process::id() as i32 {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait_for;

    #[test]
    fn a_process_is_found_by_its_working_directory_and_cleared() {
        let mark = format!("mesos-rs-mark-{}", uuid::Uuid::new_v4());
        let folder = std::env::temp_dir().join(&mark);
        fs::create_dir(&folder).unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .current_dir(&folder)
            .spawn()
            .unwrap();
        let found = wait_for("the process shows its folder", || {
            let found = processes_marked(&mark);
            if found.len() == 1 {
                Ok(found)
            } else {
                Err(found)
            }
        });
        assert_eq!(found[0].pid, child.id() as i32);
        clear(&mark, &folder);
        assert!(!found[0].is_alive());
        child.wait().unwrap();
        fs::remove_dir(&folder).unwrap();
    }
}
