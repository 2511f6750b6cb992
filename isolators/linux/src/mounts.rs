//! Mounting and unmounting.

use std::{io, path::Path};

use nix::mount::{MntFlags, MsFlags, mount as nix_mount, umount2};

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
        Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Bits for a bind mount, with all that is mounted beneath.
pub const BIND: u64 = libc::MS_BIND | libc::MS_REC;

/// Bits that turn a bind mount read-only, in a second call.
pub const REMOUNT_READ_ONLY: u64 = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY;

/// Bits for a new `/proc`, as Apache Mesos mounts it.
pub const PROC: u64 = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
