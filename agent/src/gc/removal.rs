//! Removes a directory with everything in it, and nothing else.
//!
//! Every step is taken from the descriptor of the directory it happens in, without following symbolic
//! links, and stops at other file systems; a tree with a mount in it is left alone. So a task that swaps
//! names while its sandbox is removed gains nothing.

use std::{
    ffi::{CStr, CString, OsStr},
    fs, io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{AtFlags, OFlag, openat, renameat},
    sys::stat::{Mode, SFlag, fstat, fstatat},
    unistd::{UnlinkatFlags, unlinkat},
};

/// Directories nested deeper than this are moved up before they are emptied, so that any depth takes a
/// bounded number of descriptors.
const MAX_DEPTH: usize = 64;

/// Why a directory was not removed, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// Something is mounted in it.
    #[error("{} is mounted below {}; unmount it", mount.display(), path.display())]
    Mounted {
        /// The directory.
        path: PathBuf,
        /// The mount.
        mount: PathBuf,
    },
    /// It is not a directory of its own: a link, or a file.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The system refused; what could be removed is gone.
    #[error("cannot {action} below {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Removes a directory. One that is not there is no error.
///
/// # Errors
/// Something is mounted in it, or the system refuses; the rest of it is removed all the same.
pub fn remove(path: &Path) -> Result<(), RemovalError> {
    let io = |action: &'static str| {
        move |errno: Errno| RemovalError::Io {
            action,
            path: path.to_owned(),
            source: errno.into(),
        }
    };
    // The parents are ours, and the last name must not lead elsewhere.
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(RemovalError::NotADirectory {
            path: path.to_owned(),
        });
    };
    let parent = match fs::canonicalize(parent) {
        Ok(parent) => parent,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(RemovalError::Io {
                action: "find",
                path: path.to_owned(),
                source,
            });
        }
    };
    if let Some(mount) = mount_below(&parent.join(name)) {
        return Err(RemovalError::Mounted {
            path: path.to_owned(),
            mount,
        });
    }
    let holder = nix::fcntl::open(&parent, directory_flags(), Mode::empty()).map_err(io("open"))?;
    let top = match openat(&holder, name, directory_flags(), Mode::empty()) {
        Ok(top) => top,
        Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::ENOTDIR | Errno::ELOOP) => {
            return Err(RemovalError::NotADirectory {
                path: path.to_owned(),
            });
        }
        Err(errno) => return Err(io("open")(errno)),
    };
    let device = fstat(&top).map_err(io("look at"))?.st_dev;
    let holder_device = fstat(&holder).map_err(io("look at"))?.st_dev;
    if device != holder_device {
        return Err(RemovalError::Mounted {
            path: path.to_owned(),
            mount: path.to_owned(),
        });
    }
    let mut walk = Walk {
        device,
        moved: 0,
        failure: None,
    };
    // Each round takes what the one before moved up.
    loop {
        let before = walk.moved;
        walk.empty(&top, &top, 0);
        if walk.moved == before || walk.failure.is_some() {
            break;
        }
    }
    if let Some((action, errno)) = walk.failure {
        return Err(io(action)(errno));
    }
    match unlinkat(&holder, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(io("remove the directory")(errno)),
    }
}

fn directory_flags() -> OFlag {
    OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY
}

struct Walk {
    device: nix::libc::dev_t,
    /// Directories moved up.
    moved: u64,
    /// The first failure; the walk goes on all the same.
    failure: Option<(&'static str, Errno)>,
}

impl Walk {
    fn fail(&mut self, action: &'static str, errno: Errno) {
        if errno != Errno::ENOENT {
            self.failure.get_or_insert((action, errno));
        }
    }

    /// Removes everything in `directory`.
    fn empty(&mut self, top: &OwnedFd, directory: &OwnedFd, depth: usize) {
        let names = match names(directory) {
            Ok(names) => names,
            Err(errno) => return self.fail("list", errno),
        };
        for name in names {
            let stat = match fstatat(directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(errno) => {
                    self.fail("look at a file", errno);
                    continue;
                }
            };
            let is_directory =
                SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR;
            if !is_directory {
                if let Err(errno) = unlinkat(directory, name.as_c_str(), UnlinkatFlags::NoRemoveDir)
                {
                    self.fail("remove a file", errno);
                }
                continue;
            }
            if stat.st_dev != self.device {
                self.fail("cross a mount", Errno::EXDEV);
                continue;
            }
            self.subdirectory(top, directory.as_fd(), &name, depth);
        }
    }

    fn subdirectory(
        &mut self,
        top: &OwnedFd,
        directory: BorrowedFd<'_>,
        name: &CStr,
        depth: usize,
    ) {
        let inner = match openat(directory, name, directory_flags(), Mode::empty()) {
            Ok(inner) => inner,
            Err(errno) => return self.fail("open a directory", errno),
        };
        // What was opened is what is emptied, whatever the name means by now.
        match fstat(&inner) {
            Ok(stat) if stat.st_dev == self.device => {}
            Ok(_) => return self.fail("cross a mount", Errno::EXDEV),
            Err(errno) => return self.fail("look at a directory", errno),
        }
        if depth >= MAX_DEPTH {
            let up = format!(".removing-{}-{}", std::process::id(), self.moved);
            match renameat(directory, name, top, up.as_str()) {
                Ok(()) => self.moved += 1,
                Err(errno) => self.fail("move a directory up", errno),
            }
            return;
        }
        self.empty(top, &inner, depth + 1);
        drop(inner);
        if let Err(errno) = unlinkat(directory, name, UnlinkatFlags::RemoveDir) {
            // It is not empty when something deep in it was moved up meanwhile, or could not be removed.
            self.fail("remove a directory", errno);
        }
    }
}

fn names(directory: &OwnedFd) -> Result<Vec<CString>, Errno> {
    // A descriptor of its own: reading moves the position.
    let own = openat(directory, c".", directory_flags(), Mode::empty())?;
    let mut found = Vec::new();
    for entry in Dir::from_fd(own)?.iter() {
        let name = entry?.file_name().to_owned();
        if name.as_bytes() != b"." && name.as_bytes() != b".." {
            found.push(name);
        }
    }
    Ok(found)
}

/// A mount at or below `path`, as this process sees it.
fn mount_below(path: &Path) -> Option<PathBuf> {
    let table = fs::read("/proc/self/mountinfo").ok()?;
    table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(|field| PathBuf::from(OsStr::from_bytes(&unescape(field))))
        .find(|mount| mount.starts_with(path))
}

/// Undoes the octal escapes of `/proc/self/mountinfo`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut at = 0;
    while at < field.len() {
        let digits = field.get(at + 1..at + 4).filter(|_| field[at] == b'\\');
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                out.push(code);
                at += 4;
            }
            None => {
                out.push(field[at]);
                at += 1;
            }
        }
    }
    out
}

/// Whether a descriptor is open; for tests.
#[cfg(test)]
fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn everything_goes_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "keep").unwrap();
        let top = dir.path().join("top");
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::write(top.join("a/b/file"), "x").unwrap();
        symlink(&outside, top.join("link")).unwrap();
        symlink(&outside, top.join("a/link")).unwrap();
        symlink("nowhere", top.join("dangling")).unwrap();
        remove(&top).unwrap();
        assert!(!top.exists());
        assert_eq!(
            fs::read_to_string(outside.join("precious")).unwrap(),
            "keep"
        );
        remove(&top).unwrap();
    }

    #[test]
    fn a_link_in_place_of_the_directory_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        symlink(&outside, dir.path().join("top")).unwrap();
        let error = remove(&dir.path().join("top")).unwrap_err();
        assert!(
            matches!(error, RemovalError::NotADirectory { .. }),
            "{error}"
        );
        assert!(outside.exists());
    }

    #[test]
    fn any_depth_goes_with_few_descriptors() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        fs::create_dir(&top).unwrap();
        let mut at = nix::fcntl::open(&top, directory_flags(), Mode::empty()).unwrap();
        for _ in 0..500 {
            nix::sys::stat::mkdirat(&at, "deep", Mode::S_IRWXU).unwrap();
            at = openat(&at, "deep", directory_flags(), Mode::empty()).unwrap();
        }
        drop(at);
        let before = open_descriptors();
        remove(&top).unwrap();
        assert!(!top.exists());
        assert!(open_descriptors() <= before + 8);
    }

    #[test]
    fn a_tree_with_a_mount_in_it_stays() {
        if !nix::unistd::geteuid().is_root() {
            panic!("this test mounts: run it as root");
        }
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        fs::create_dir(&volume).unwrap();
        fs::write(volume.join("precious"), "keep").unwrap();
        let target = dir.path().join("top/with space");
        fs::create_dir_all(&target).unwrap();
        nix::mount::mount(
            Some(&volume),
            &target,
            None::<&str>,
            nix::mount::MsFlags::MS_BIND,
            None::<&str>,
        )
        .unwrap();
        let result = remove(&dir.path().join("top"));
        nix::mount::umount(&target).unwrap();
        assert!(
            matches!(result, Err(RemovalError::Mounted { .. })),
            "{result:?}"
        );
        assert_eq!(fs::read_to_string(volume.join("precious")).unwrap(), "keep");
        remove(&dir.path().join("top")).unwrap();
        assert!(!dir.path().join("top").exists());
    }

    #[test]
    fn escapes_of_mountinfo_are_undone() {
        assert_eq!(unescape(br"/a\040b\134c"), br"/a b\c");
        assert_eq!(unescape(br"/a\9"), br"/a\9");
    }
}
