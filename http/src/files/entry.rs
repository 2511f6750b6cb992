//! One entry of a directory, as `/files/browse` and LIST_FILES describe it.

use std::{
    collections::HashMap,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use mesos_wire::v1;
use serde::Serialize;

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Group, by name if it has one.
    pub gid: String,
    /// As `ls` writes it: `-rw-r--r--`.
    pub mode: String,
    /// Last change, in seconds since 1970.
    pub mtime: f64,
    /// Hard links.
    pub nlink: u64,
    /// The virtual path of the listing, then the name.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Owner, by name if it has one.
    pub uid: String,
    #[serde(skip)]
    raw_mode: u32,
}

impl Entry {
    /// The same as a v1 message.
    pub fn to_v1(&self) -> v1::FileInfo {
        #[allow(clippy::cast_possible_truncation, reason = "whole seconds")]
        let seconds = self.mtime as i64;
        v1::FileInfo {
            path: self.path.clone(),
            nlink: i32::try_from(self.nlink).ok(),
            size: Some(self.size),
            mtime: Some(v1::TimeInfo {
                nanoseconds: seconds.saturating_mul(1_000_000_000),
            }),
            mode: Some(self.raw_mode),
            uid: Some(self.uid.clone()),
            gid: Some(self.gid.clone()),
        }
    }
}

/// What a listing tells of an entry: symlinks are followed within the root, and shown as links beyond it.
pub(super) fn visible(root: &Path, path: &Path) -> Option<Metadata> {
    let own = fs::symlink_metadata(path).ok()?;
    if !own.is_symlink() {
        return Some(own);
    }
    match fs::canonicalize(path) {
        Ok(target) if target.starts_with(root) => fs::symlink_metadata(target).ok(),
        _ => Some(own),
    }
}

pub(super) fn describe(
    path: String,
    metadata: &Metadata,
    names: &mut HashMap<(bool, u32), String>,
) -> Entry {
    let mut name = |group: bool, id: u32| {
        names
            .entry((group, id))
            .or_insert_with(|| {
                let found = if group {
                    nix::unistd::Group::from_gid(id.into())
                        .ok()
                        .flatten()
                        .map(|group| group.name)
                } else {
                    nix::unistd::User::from_uid(id.into())
                        .ok()
                        .flatten()
                        .map(|user| user.name)
                };
                found.unwrap_or_else(|| id.to_string())
            })
            .clone()
    };
    #[allow(clippy::cast_precision_loss, reason = "seconds are far below 2^53")]
    let mtime = metadata.mtime() as f64;
    Entry {
        gid: name(true, metadata.gid()),
        mode: mode_text(metadata.mode()),
        mtime,
        nlink: metadata.nlink(),
        path,
        size: metadata.len(),
        uid: name(false, metadata.uid()),
        raw_mode: metadata.mode(),
    }
}

/// A mode as `ls` writes it, without the special bits, as Mesos does.
fn mode_text(mode: u32) -> String {
    let kind = match mode & libc::S_IFMT {
        libc::S_IFDIR => 'd',
        libc::S_IFLNK => 'l',
        libc::S_IFIFO => 'p',
        libc::S_IFSOCK => 's',
        libc::S_IFBLK => 'b',
        libc::S_IFCHR => 'c',
        _ => '-',
    };
    let bits = (0..9).map(|bit| {
        if mode & (0o400 >> bit) == 0 {
            '-'
        } else {
            ['r', 'w', 'x'][bit % 3]
        }
    });
    std::iter::once(kind).chain(bits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_as_ls_writes_them() {
        assert_eq!(mode_text(libc::S_IFREG | 0o644), "-rw-r--r--");
        assert_eq!(mode_text(libc::S_IFDIR | 0o750), "drwxr-x---");
    }
}
