//! Descriptors that name a process even after its pid is reused. Linux 5.3.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use nix::sys::wait::{Id, WaitPidFlag, waitid};

/// A process; readable (poll, epoll) once it has ended.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// The process that has this pid now. Errs with ESRCH when there is none.
    pub fn open(pid: u32) -> io::Result<Self> {
        // SAFETY: two integers go in, and the kernel keeps no pointer of ours.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = RawFd::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
        // SAFETY: the kernel has just made `fd` for this call; nothing else owns or closes it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sends a signal. Errs with ESRCH once the process has been reaped.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        // SAFETY: the third argument, a siginfo, may be null: the kernel then fills one in as for
        // kill(2). The others are integers, and the descriptor is open as long as `self` is.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Whether the process has ended. Does not block.
    pub fn has_ended(&self) -> bool {
        let mut fds = [nix::poll::PollFd::new(
            self.0.as_fd(),
            nix::poll::PollFlags::POLLIN,
        )];
        matches!(nix::poll::poll(&mut fds, nix::poll::PollTimeout::ZERO), Ok(n) if n > 0)
    }

    /// Takes the ended process off the process table if it is our child; nothing otherwise.
    /// Does not block.
    pub fn reap(&self) {
        // ECHILD: another process is its parent, and reaps it.
        let _not_ours = waitid(
            Id::PIDFd(self.0.as_fd()),
            WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG,
        );
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for PidFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::zombie_processes, reason = "reaping it is what is tested")]
    fn a_pidfd_tells_the_end_and_reaps() {
        let child = std::process::Command::new("/bin/sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let fd = PidFd::open(child.id()).unwrap();
        assert!(!fd.has_ended());
        fd.signal(libc::SIGKILL).unwrap();
        let mut fds = [nix::poll::PollFd::new(
            fd.as_fd(),
            nix::poll::PollFlags::POLLIN,
        )];
        assert_eq!(nix::poll::poll(&mut fds, 5000u16).unwrap(), 1);
        assert!(fd.has_ended());
        fd.reap();
        assert_eq!(fd.signal(0).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}
