//! Gives volumes to the user of the task that is to use them.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, lchown},
    path::Path,
};

/// Gives `volume` and all that is in it to a user, unless the directory itself is theirs already. Links
/// are changed, not followed; other file systems are left alone. Blocks. Source of the rule: Mesos gives
/// a volume to the owner of the sandbox, unless that is root.
///
/// # Errors
/// What could not be changed, and why.
pub(crate) fn own(volume: &Path, uid: u32, gid: u32) -> Result<(), String> {
    let failed = |path: &Path, error: &io::Error| {
        format!("cannot give {} to user {uid}: {error}", path.display())
    };
    let top = fs::symlink_metadata(volume).map_err(|error| failed(volume, &error))?;
    if uid == 0 || (top.uid() == uid && top.gid() == gid) {
        return Ok(());
    }
    let mut directories = vec![volume.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = fs::read_dir(&directory).map_err(|error| failed(&directory, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| failed(&directory, &error))?.path();
            let found = match fs::symlink_metadata(&path) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&path, &error)),
            };
            if found.dev() != top.dev() {
                continue;
            }
            if found.uid() != uid || found.gid() != gid {
                lchown(&path, Some(uid), Some(gid)).map_err(|error| failed(&path, &error))?;
            }
            if found.is_dir() {
                directories.push(path);
            }
        }
    }
    // Last, because it says that all is done.
    lchown(volume, Some(uid), Some(gid)).map_err(|error| failed(volume, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_needed_a_volume_is_given_without_following_links() {
        let dir = tempfile::tempdir().unwrap();
        let (volume, outside) = (dir.path().join("volume"), dir.path().join("outside"));
        fs::create_dir_all(volume.join("a/b")).unwrap();
        fs::write(&outside, "x").unwrap();
        fs::write(volume.join("a/b/file"), "x").unwrap();
        std::os::unix::fs::symlink(&outside, volume.join("link")).unwrap();
        own(&volume, 65_534, 65_534).unwrap();
        for path in ["", "a", "a/b/file", "link"] {
            let found = fs::symlink_metadata(volume.join(path)).unwrap();
            assert_eq!((found.uid(), found.gid()), (65_534, 65_534), "{path}");
        }
        assert_eq!(fs::metadata(&outside).unwrap().uid(), 0);
        own(&volume, 0, 0).unwrap();
        assert_eq!(
            fs::metadata(&volume).unwrap().uid(),
            65_534,
            "never to root"
        );
        own(&dir.path().join("none"), 1, 1).unwrap_err();
    }
}
