//! Out-of-memory and pressure events of a memory cgroup, as descriptors to poll.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    sync::Arc,
};

use nix::sys::{
    eventfd::{EfdFlags, EventFd},
    inotify::{AddWatchFlags, InitFlags, Inotify},
};

use crate::cgroup::{Cgroup, CgroupError};

/// A counter of the kernel's: readable when something has happened since it was last taken.
#[derive(Debug, Clone)]
pub struct Events(Arc<EventFd>);

impl Events {
    /// Out of memory in a v1 memory cgroup: `memory.oom_control` through `cgroup.event_control`,
    /// Documentation/admin-guide/cgroup-v1/memory.rst, section 10. Also fires when the cgroup is
    /// removed.
    pub fn out_of_memory_v1(memory: &Cgroup) -> Result<Self, CgroupError> {
        Self::register(memory, "memory.oom_control", "")
    }

    /// Reclaim pressure in a v1 memory cgroup: `low`, `medium` or `critical`; section 11.
    pub fn pressure_v1(memory: &Cgroup, level: &str) -> Result<Self, CgroupError> {
        Self::register(memory, "memory.pressure_level", level)
    }

    fn register(memory: &Cgroup, file: &str, argument: &str) -> Result<Self, CgroupError> {
        let failed = |source: io::Error| CgroupError::Io {
            action: "watch".to_owned(),
            path: memory.file(file),
            source,
        };
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let event = EventFd::from_value_and_flags(0, flags).map_err(|e| failed(e.into()))?;
        let watched = File::open(memory.file(file)).map_err(failed)?;
        let line = format!(
            "{} {} {argument}",
            event.as_fd().as_raw_fd(),
            watched.as_raw_fd()
        );
        memory.write("cgroup.event_control", line.trim_end())?;
        Ok(Self(Arc::new(event)))
    }

    /// How often it has happened since the last call. Does not block.
    pub fn take(&self) -> u64 {
        self.0.read().unwrap_or(0)
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl std::os::fd::AsRawFd for Events {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Tells when a file that the kernel marks as modified changes, such as v2's `memory.events`.
#[derive(Debug)]
pub struct Changes(Inotify);

impl Changes {
    /// Watches one file.
    pub fn of(cgroup: &Cgroup, file: &str) -> Result<Self, CgroupError> {
        let watch = || {
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            inotify.add_watch(&cgroup.file(file), AddWatchFlags::IN_MODIFY)?;
            Ok(Self(inotify))
        };
        watch().map_err(|source: nix::errno::Errno| CgroupError::Io {
            action: "watch".to_owned(),
            path: cgroup.file(file),
            source: source.into(),
        })
    }

    /// Forgets what has been told so far. Does not block.
    pub fn clear(&self) {
        while self.0.read_events().is_ok_and(|events| !events.is_empty()) {}
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl std::os::fd::AsRawFd for Changes {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modified_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let cgroup = Cgroup::at(dir.path());
        cgroup.write("memory.events", "oom_kill 0\n").unwrap();
        let changes = Changes::of(&cgroup, "memory.events").unwrap();
        cgroup.write("memory.events", "oom_kill 1\n").unwrap();
        let mut fds = [nix::poll::PollFd::new(
            changes.as_fd(),
            nix::poll::PollFlags::POLLIN,
        )];
        assert_eq!(nix::poll::poll(&mut fds, 5000u16).unwrap(), 1);
        changes.clear();
        assert_eq!(nix::poll::poll(&mut fds, 0u16).unwrap(), 0);
    }
}
