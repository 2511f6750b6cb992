//! Gives files to the user who runs the task.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, lchown},
    path::Path,
};

use nix::unistd::User;

use crate::Failure;

/// Deepest nesting of folders that is followed.
const MAX_DEPTH: usize = 512;

/// A user of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub uid: u32,
    pub gid: u32,
}

impl Owner {
    /// Looks a user up; `None` if it is the one who runs this process, so nothing changes hands.
    pub(crate) fn of(name: &str) -> Result<Option<Self>, Failure> {
        let user = User::from_name(name)
            .map_err(|error| Failure::new(format!("cannot look user `{name}` up: {error}")))?
            .ok_or_else(|| {
                Failure::new(format!(
                    "there is no user `{name}` on this host; correct command.user or the \
                     framework's user"
                ))
            })?;
        Ok((user.uid != nix::unistd::geteuid()).then(|| Self {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        }))
    }

    /// Changes the owner of a folder and all in it; not through links, not across mounts (those
    /// are volumes).
    pub(crate) fn give(&self, root: &Path) -> Result<(), Failure> {
        let device = fs::symlink_metadata(root)
            .map_err(|error| Failure::io("look at", root, &error))?
            .dev();
        let mut open = vec![(root.to_owned(), 0_usize)];
        while let Some((path, depth)) = open.pop() {
            let change = || -> io::Result<bool> {
                let metadata = fs::symlink_metadata(&path)?;
                if metadata.dev() != device {
                    return Ok(false);
                }
                if (metadata.uid(), metadata.gid()) != (self.uid, self.gid) {
                    lchown(&path, Some(self.uid), Some(self.gid))?;
                }
                Ok(metadata.is_dir())
            };
            match change() {
                Ok(true) if depth < MAX_DEPTH => {}
                Ok(_) => continue,
                Err(error) => return Err(Failure::io("change the owner of", &path, &error)),
            }
            let entries =
                fs::read_dir(&path).map_err(|error| Failure::io("list", &path, &error))?;
            for entry in entries {
                let entry = entry.map_err(|error| Failure::io("list", &path, &error))?;
                open.push((entry.path(), depth + 1));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_user_is_named() {
        let error = Owner::of("no-such-user").unwrap_err().to_string();
        assert!(error.contains("no user `no-such-user`"), "{error}");
    }

    #[test]
    fn links_are_given_away_but_not_followed() {
        // Only root may give files away; elsewhere the own ids change nothing.
        let root = nix::unistd::geteuid().is_root();
        let owner = if root {
            Owner {
                uid: 65534,
                gid: 65534,
            }
        } else {
            Owner {
                uid: nix::unistd::geteuid().as_raw(),
                gid: nix::unistd::getegid().as_raw(),
            }
        };
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        let before = outside.as_file().metadata().unwrap().uid();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/file"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        owner.give(dir.path()).unwrap();
        for name in ["", "sub", "sub/file", "link"] {
            let metadata = fs::symlink_metadata(dir.path().join(name)).unwrap();
            assert_eq!(
                (metadata.uid(), metadata.gid()),
                (owner.uid, owner.gid),
                "{name}"
            );
        }
        assert_eq!(outside.as_file().metadata().unwrap().uid(), before);
    }
}
