//! Mounting and unmounting, also in the mount namespace of a container.

use std::{fs::File, io, path::Path, thread};

use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount as nix_mount, umount2},
    sched::{CloneFlags, setns, unshare},
};

use crate::ProcessKey;

/// Marks every mount of this namespace a slave: mounts of the host still arrive, ours stay here.
pub fn make_all_slave() -> io::Result<()> {
    let flags = MsFlags::MS_SLAVE | MsFlags::MS_REC;
    nix_mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).map_err(io::Error::from)
}

/// mount(2) with the kernel's own `MS_*` bits.
pub fn mount(
    source: Option<&Path>,
    target: &Path,
    fstype: Option<&str>,
    flags: u64,
    options: Option<&str>,
) -> io::Result<()> {
    let flags = MsFlags::from_bits_retain(flags);
    nix_mount(source, target, fstype, flags, options).map_err(io::Error::from)
}

/// Takes a mount out of the tree at once, also while it is in use (`MNT_DETACH`). One that is not
/// there is fine.
pub fn detach(target: &Path) -> io::Result<()> {
    match umount2(target, MntFlags::MNT_DETACH) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Unmounts what is mounted on `target`, which is not followed if it is a link: entirely where nobody
/// uses it, else as [`detach`] does. One that is not there is fine.
pub fn unmount(target: &Path) -> io::Result<()> {
    let nofollow = MntFlags::UMOUNT_NOFOLLOW;
    match umount2(target, nofollow) {
        Err(Errno::EBUSY) => {}
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    match umount2(target, nofollow | MntFlags::MNT_DETACH) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Runs `work` where paths and mounts are those of a process, in a thread made for it. Blocks. Needs
/// CAP_SYS_ADMIN and CAP_SYS_CHROOT. `None`: the process has gone.
///
/// # Errors
/// Those of `work`, and of setns(2).
pub fn within_mounts_of<T: Send>(
    process: &ProcessKey,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<Option<T>> {
    let namespace = match File::open(format!("/proc/{}/ns/mnt", process.pid)) {
        Ok(namespace) => namespace,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // The namespace first, then the comparison: the pid cannot change hands in between.
    if process.open()?.is_none() {
        return Ok(None);
    }
    thread::scope(|scope| {
        let inside = move || {
            // A thread that shares its root and directory with others cannot change its mounts.
            unshare(CloneFlags::CLONE_FS)?;
            setns(&namespace, CloneFlags::CLONE_NEWNS)?;
            work()
        };
        let thread = thread::Builder::new()
            .name("mounts".to_owned())
            .spawn_scoped(scope, inside)?;
        match thread.join() {
            Ok(done) => done.map(Some),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Bits for a bind mount, with all that is mounted beneath.
pub const BIND: u64 = libc::MS_BIND | libc::MS_REC;

/// Bits that turn a bind mount read-only, in a second call.
pub const REMOUNT_READ_ONLY: u64 = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY;

/// Bits for a new `/proc`, as Apache Mesos mounts it.
pub const PROC: u64 = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::process::CommandExt as _,
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn root_needed_a_mount_made_in_another_namespace_is_not_seen_here_and_can_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (volume, target) = (dir.path().join("volume"), dir.path().join("target"));
        for path in [&volume, &target] {
            fs::create_dir(path).unwrap();
        }
        fs::write(volume.join("file"), "x").unwrap();
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "slave", "sleep", "60"]);
        // Its end must not depend on this test's.
        let mut child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let key = ProcessKey::of(child.id()).unwrap();
        let own = fs::read_link("/proc/self/ns/mnt").unwrap();
        while fs::read_link(format!("/proc/{}/ns/mnt", child.id())).unwrap() == own {
            std::thread::yield_now();
        }
        let seen = within_mounts_of(&key, || {
            mount(Some(&volume), &target, None, BIND, None)?;
            Ok(target.join("file").exists())
        });
        let seen_here = target.join("file").exists();
        let gone = within_mounts_of(&key, || {
            unmount(&target)?;
            unmount(&target)?;
            Ok(!target.join("file").exists())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen.unwrap(), Some(true));
        assert!(!seen_here);
        assert_eq!(gone.unwrap(), Some(true));
        assert_eq!(within_mounts_of(&key, || Ok(())).unwrap(), None);
    }
}
