//! What is mounted where: the lines of `/proc/self/mountinfo`, proc_pid_mountinfo(5).

use std::{
    ffi::OsString,
    io,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use crate::ProcessKey;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// Which part of the file system is mounted; `/` for all of it.
    pub root: PathBuf,
    /// Where.
    pub target: PathBuf,
    /// Type, such as `cgroup`.
    pub fstype: String,
    /// Options of the file system, split at commas; for cgroup v1 the controllers are among them.
    pub super_options: Vec<String>,
}

/// The mounts in the order the kernel lists them: of two on one target the later one is visible.
/// Lines that do not have the documented form are left out.
pub fn parse(text: &str) -> Vec<MountPoint> {
    text.lines().filter_map(parse_line).collect()
}

/// The mounts of this process. Errs when /proc is not mounted.
pub fn read() -> std::io::Result<Vec<MountPoint>> {
    Ok(parse(&String::from_utf8_lossy(&std::fs::read(
        "/proc/self/mountinfo",
    )?)))
}

/// The process that has this pid now, and the mounts that it sees. `None`: there is none, or it has ended and
/// nobody has waited for it yet; its mounts are gone then (EINVAL, `mounts_open_common` in the kernel's
/// `fs/proc_namespace.c`).
pub fn of(pid: u32) -> io::Result<Option<(ProcessKey, Vec<MountPoint>)>> {
    let read = || {
        let process = ProcessKey::of(pid)?;
        let table = std::fs::read(format!("/proc/{pid}/mountinfo"))?;
        Ok((process, parse(&String::from_utf8_lossy(&table))))
    };
    match read() {
        Ok(found) => Ok(Some(found)),
        Err(error) => match io::Error::raw_os_error(&error) {
            Some(libc::ENOENT | libc::ESRCH | libc::EINVAL) => Ok(None),
            _ => Err(error),
        },
    }
}

/// Targets at or beneath `dir`, deepest last.
pub fn beneath(mounts: &[MountPoint], dir: &Path) -> Vec<PathBuf> {
    mounts
        .iter()
        .filter(|mount| mount.target.starts_with(dir))
        .map(|m| m.target.clone())
        .collect()
}

fn parse_line(line: &str) -> Option<MountPoint> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ');
    let root = unescape(mount.nth(3)?);
    let target = unescape(mount.next()?);
    let mut file_system = file_system.split(' ');
    let fstype = file_system.next()?.to_owned();
    let options = file_system.nth(1).unwrap_or_default();
    Some(MountPoint {
        root,
        target,
        fstype,
        super_options: options.split(',').map(str::to_owned).collect(),
    })
}

/// The kernel writes blanks, tabs, newlines and backslashes as `\ooo`.
fn unescape(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| byte == b'\\').and_then(|digits| {
            let text = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(text, 8).ok()
        });
        if let Some(value) = octal {
            bytes.push(value);
            rest = &tail[3..];
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_optional_fields_and_escapes_is_read() {
        let mounts = parse(
            "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n\
             garbage\n\
             40 36 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
        );
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].root, Path::new("/mnt1"));
        assert_eq!(mounts[0].target, Path::new("/mnt 2"));
        assert_eq!(mounts[1].fstype, "cgroup");
        assert_eq!(mounts[1].super_options, ["rw", "cpu", "cpuacct"]);
        assert_eq!(beneath(&mounts, Path::new("/sys")).len(), 1);
    }

    #[test]
    fn a_process_that_nobody_has_waited_for_sees_no_mounts() {
        let mut child = std::process::Command::new("/bin/sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let pid = child.id();
        let (process, mounts) = of(pid).unwrap().unwrap();
        assert_eq!(process.pid, pid);
        assert!(mounts.iter().any(|mount| mount.target == Path::new("/")));
        child.kill().unwrap();
        let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        while !stat().contains(") Z ") {
            std::thread::yield_now();
        }
        assert!(of(pid).unwrap().is_none());
        child.wait().unwrap();
        assert!(of(pid).unwrap().is_none());
    }
}
