//! Removes a directory tree without ever leaving it.

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use nix::{
    dir::{Dir, Type},
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::Mode,
    unistd::{UnlinkatFlags, unlinkat},
};

/// Depth beyond which a tree is left alone; each level keeps a descriptor open.
const MAX_DEPTH: usize = 512;

/// A tree could not be removed entirely.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Something is mounted there.
    #[error("{0} is a mount point; it is left alone until it is unmounted")]
    Mounted(PathBuf),
    /// Nested too deep.
    #[error("{0} is nested deeper than {MAX_DEPTH} levels")]
    TooDeep(PathBuf),
    /// The file system refused.
    #[error("cannot remove {path}")]
    Io {
        /// What could not be removed or opened.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Removes a directory and all that is in it. Symbolic links are removed, not followed; `path`
/// itself must not lead through one below `root`. Goes on after a failure, and answers with the
/// first. A directory that is not there is no error. Blocks.
///
/// # Errors
/// What is still there, and why.
pub fn remove_tree(root: &Path, path: &Path) -> Result<(), RemoveError> {
    let relative = path.strip_prefix(root).unwrap_or(path);
    let (Some(parent), Some(name)) = (relative.parent(), relative.file_name()) else {
        return Err(io_error(path, Errno::EINVAL));
    };
    let root_fd = match open_root(root) {
        Err(Errno::ENOENT) => return Ok(()),
        other => other.map_err(|e| io_error(root, e))?,
    };
    let parent_fd = if parent.as_os_str().is_empty() {
        root_fd
    } else {
        let parent_name = c_string(parent.as_os_str().as_bytes(), path)?;
        match open_below(root_fd.as_fd(), &parent_name) {
            Err(Errno::ENOENT) => return Ok(()),
            other => other.map_err(|e| classified(path, e))?,
        }
    };
    let name = c_string(name.as_bytes(), path)?;
    let mut walk = Walk { first: None };
    walk.remove(parent_fd.as_fd(), &name, path, 0, true);
    walk.first.map_or(Ok(()), Err)
}

struct Walk {
    first: Option<RemoveError>,
}

impl Walk {
    fn fail(&mut self, error: RemoveError) {
        self.first.get_or_insert(error);
    }

    fn remove(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
        depth: usize,
        dir: bool,
    ) {
        if !dir {
            match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => return,
                // It was a directory after all, or became one.
                Err(Errno::EISDIR) => {}
                Err(e) => return self.fail(classified(path, e)),
            }
        }
        if depth >= MAX_DEPTH {
            return self.fail(RemoveError::TooDeep(path.to_owned()));
        }
        match open_below(parent, name) {
            Ok(fd) => self.empty(fd, path, depth),
            Err(Errno::ENOENT) => return,
            // A link or a file in its place: removed itself, never followed.
            Err(Errno::ELOOP | Errno::ENOTDIR) => {
                match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
                    Ok(()) | Err(Errno::ENOENT) => {}
                    Err(e) => self.fail(classified(path, e)),
                }
                return;
            }
            Err(e) => return self.fail(classified(path, e)),
        }
        match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(e) => self.fail(classified(path, e)),
        }
    }

    fn empty(&mut self, fd: OwnedFd, path: &Path, depth: usize) {
        let mut dir = match Dir::from_fd(fd) {
            Ok(dir) => dir,
            Err(e) => return self.fail(io_error(path, e)),
        };
        // Names first: removing while reading may pass over entries.
        let mut entries: Vec<(CString, bool)> = Vec::new();
        for entry in dir.iter() {
            match entry {
                Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Ok(entry) => {
                    let is_dir = entry.file_type() == Some(Type::Directory);
                    entries.push((entry.file_name().to_owned(), is_dir));
                }
                Err(e) => return self.fail(io_error(path, e)),
            }
        }
        for (name, is_dir) in entries {
            let below = path.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
            self.remove(dir.as_fd(), &name, &below, depth + 1, is_dir);
        }
    }
}

fn open_root(root: &Path) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .mode(Mode::empty());
    openat2(AT_FDCWD, root, how)
}

/// Opens a directory below `parent`; the kernel refuses links (ELOOP) and mounts (EXDEV) on the way.
fn open_below(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .mode(Mode::empty())
        .resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_XDEV
                | ResolveFlag::RESOLVE_NO_SYMLINKS,
        );
    openat2(parent, name, how)
}

fn c_string(bytes: &[u8], path: &Path) -> Result<CString, RemoveError> {
    CString::new(bytes).map_err(|_| io_error(path, Errno::EINVAL))
}

fn classified(path: &Path, errno: Errno) -> RemoveError {
    match errno {
        Errno::EXDEV | Errno::EBUSY => RemoveError::Mounted(path.to_owned()),
        other => io_error(path, other),
    }
}

fn io_error(path: &Path, errno: Errno) -> RemoveError {
    RemoveError::Io {
        path: path.to_owned(),
        source: errno.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use nix::mount::{MntFlags, MsFlags, mount, umount2};

    use super::*;

    #[test]
    fn links_are_removed_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir_all(outside.join("keep")).unwrap();
        let doomed = dir.path().join("root/doomed");
        fs::create_dir_all(doomed.join("a/b")).unwrap();
        fs::write(doomed.join("a/b/file"), "x").unwrap();
        symlink(&outside, doomed.join("a/link")).unwrap();
        symlink("/nowhere", doomed.join("dangling")).unwrap();
        remove_tree(&dir.path().join("root"), &doomed).unwrap();
        assert!(!doomed.exists());
        assert!(outside.join("keep").exists());
    }

    #[test]
    fn a_link_on_the_way_is_no_way() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("outside/doomed")).unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        symlink(dir.path().join("outside"), dir.path().join("root/way")).unwrap();
        let root = dir.path().join("root");
        remove_tree(&root, &root.join("way/doomed")).unwrap_err();
        assert!(dir.path().join("outside/doomed").exists());
    }

    #[test]
    fn what_is_not_there_is_removed_already() {
        let dir = tempfile::tempdir().unwrap();
        remove_tree(dir.path(), &dir.path().join("a/b")).unwrap();
        remove_tree(&dir.path().join("none"), &dir.path().join("none/a")).unwrap();
    }

    #[test]
    fn root_needed_what_is_mounted_below_stays_and_the_rest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        fs::create_dir(&volume).unwrap();
        fs::write(volume.join("precious"), "x").unwrap();
        let doomed = dir.path().join("root/doomed");
        fs::create_dir_all(doomed.join("data")).unwrap();
        fs::write(doomed.join("file"), "x").unwrap();
        let none: Option<&str> = None;
        mount(
            Some(&volume),
            &doomed.join("data"),
            none,
            MsFlags::MS_BIND,
            none,
        )
        .unwrap();
        let first = remove_tree(&dir.path().join("root"), &doomed);
        let kept = volume.join("precious").exists();
        umount2(&doomed.join("data"), MntFlags::MNT_DETACH).unwrap();
        assert!(matches!(first, Err(RemoveError::Mounted(_))), "{first:?}");
        assert!(kept, "a file behind a bind mount was removed");
        assert!(!doomed.join("file").exists());
        remove_tree(&dir.path().join("root"), &doomed).unwrap();
        assert!(!doomed.exists());
    }
}
