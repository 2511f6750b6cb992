//! New processes and namespaces: clone3(2), and what must be right before an exec.

use std::{ffi::CString, fs, io, os::unix::fs::MetadataExt as _, path::Path};

use nix::unistd::{Gid, Uid};

/// `CLONE_NEW*` bits and `CLONE_PARENT`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CloneFlags(u64);

impl CloneFlags {
    /// A plain fork.
    pub const NONE: Self = Self(0);
    /// Mounts.
    pub const NEW_MOUNTS: Self = Self(libc::CLONE_NEWNS as u64);
    /// Process ids.
    pub const NEW_PIDS: Self = Self(libc::CLONE_NEWPID as u64);
    /// System V IPC and POSIX queues.
    pub const NEW_IPC: Self = Self(libc::CLONE_NEWIPC as u64);
    /// Network.
    pub const NEW_NET: Self = Self(libc::CLONE_NEWNET as u64);
    /// Host name.
    pub const NEW_UTS: Self = Self(libc::CLONE_NEWUTS as u64);
    /// Cgroup paths.
    pub const NEW_CGROUP: Self = Self(libc::CLONE_NEWCGROUP as u64);
    /// The child becomes a child of the caller's parent.
    pub const PARENT: Self = Self(libc::CLONE_PARENT as u64);

    /// From the kernel's bits; those that are not above are dropped.
    pub fn from_bits(bits: u64) -> Self {
        let known = [
            Self::NEW_MOUNTS,
            Self::NEW_PIDS,
            Self::NEW_IPC,
            Self::NEW_NET,
            Self::NEW_UTS,
            Self::NEW_CGROUP,
            Self::PARENT,
        ];
        Self(bits & known.iter().fold(0, |all, flag| all | flag.0))
    }

    /// The kernel's bits.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Whether all of `other` is in here.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for CloneFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Which side of a fork this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forked {
    /// The new process.
    Child,
    /// The old one, with the child's pid as seen from here.
    Parent(u32),
}

/// Makes a process that goes on from here with its own copy of memory.
///
/// Errs with EBUSY in a process with several threads: the child would have locks that nobody
/// holds any more, so a daemon must spawn a small program instead. Linux 5.3.
pub fn fork(flags: CloneFlags) -> io::Result<Forked> {
    // A directory has two links, and one more for each directory in it.
    if fs::metadata("/proc/self/task")?.nlink() != 3 {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "this process has several threads",
        ));
    }
    // With CLONE_PARENT the kernel wants no exit signal here and takes over the caller's own.
    let exit_signal = if flags.contains(CloneFlags::PARENT) {
        0
    } else {
        libc::SIGCHLD as u64
    };
    // SAFETY: clone_args is integers only, for which all zeroes is a valid value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags.bits();
    args.exit_signal = exit_signal;
    // SAFETY: without CLONE_VM the child gets a copy of this memory and of this stack (a stack of 0
    // means that), as with fork(2), and there is no other thread whose locks it could inherit
    // (checked above). `args` outlives the call and its size is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut args,
            std::mem::size_of::<libc::clone_args>(),
        )
    };
    match result {
        0 => Ok(Forked::Child),
        pid if pid > 0 => u32::try_from(pid)
            .map(Forked::Parent)
            .map_err(|_| io::Error::other("the kernel answered no pid")),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Who a process shall be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All supplementary groups.
    pub groups: Vec<u32>,
}

impl Credentials {
    /// Looks a user and its groups up on this host. `Ok(None)`: there is no such user. May block
    /// on the host's name service.
    pub fn of_user(name: &str) -> io::Result<Option<Self>> {
        let Some(user) = nix::unistd::User::from_name(name).map_err(io::Error::from)? else {
            return Ok(None);
        };
        let name = CString::new(name)?;
        let groups = nix::unistd::getgrouplist(&name, user.gid).map_err(io::Error::from)?;
        Ok(Some(Self {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            groups: groups.into_iter().map(Gid::as_raw).collect(),
        }))
    }

    /// Becomes this user for good: groups, group, user, in this order.
    pub fn assume(&self) -> io::Result<()> {
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        nix::unistd::setgroups(&groups)?;
        let (gid, uid) = (Gid::from_raw(self.gid), Uid::from_raw(self.uid));
        nix::unistd::setresgid(gid, gid, gid)?;
        nix::unistd::setresuid(uid, uid, uid)?;
        Ok(())
    }
}

/// Descriptors above the standard three close at the next exec. Linux 5.11; on older kernels this
/// errs and changes nothing.
pub fn close_others_on_exec() -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_ulong = 4;
    // SAFETY: integers go in; a flag is set on descriptors, none is closed, so no owner of one is
    // left with a number that means something else.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            CLOSE_RANGE_CLOEXEC,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Turns this process into `program`. Only comes back with the reason why not. A name without `/`
/// is looked for in each folder of `path`, as execvp(3) does.
pub fn exec(program: &str, argv: &[CString], environment: &[CString], path: &str) -> io::Error {
    let candidates: Vec<String> = if program.contains('/') {
        vec![program.to_owned()]
    } else {
        path.split(':')
            .map(|folder| if folder.is_empty() { "." } else { folder })
            .map(|folder| format!("{folder}/{program}"))
            .collect()
    };
    let mut refused = None;
    for candidate in candidates {
        let Ok(file) = CString::new(candidate) else {
            return io::Error::from_raw_os_error(libc::EINVAL);
        };
        let error = match nix::unistd::execve(&file, argv, environment) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        match error {
            nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR => {}
            nix::errno::Errno::EACCES => refused = Some(error),
            other => return other.into(),
        }
    }
    refused.unwrap_or(nix::errno::Errno::ENOENT).into()
}

/// Raises this process's `oom_score_adj`, -1000 to 1000; a lower value than now is left alone, since
/// lowering needs CAP_SYS_RESOURCE.
pub fn raise_oom_score(value: i32) -> io::Result<()> {
    let file = Path::new("/proc/self/oom_score_adj");
    let now = fs::read_to_string(file)?.trim().parse::<i32>().unwrap_or(0);
    if value > now {
        fs::write(file, value.min(1000).to_string())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_must_not_fork() {
        // The test harness runs tests in threads beside its main one.
        let error = std::thread::spawn(|| fork(CloneFlags::NONE))
            .join()
            .unwrap()
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    }

    #[test]
    fn users_of_this_host_are_found_and_others_are_not() {
        let root = Credentials::of_user("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(Credentials::of_user("no-such-user-here").unwrap().is_none());
    }

    #[test]
    fn exec_says_why_not() {
        let argv = [CString::new("x").unwrap()];
        let error = exec("/no/such/program", &argv, &[], "");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        let error = exec("no-such-program", &argv, &[], "/bin:/usr/bin");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}
