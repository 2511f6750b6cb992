//! Files beneath a folder and nowhere else: no `..`, and no way through a symbolic link.
//!
//! Nobody but the fetcher writes to a sandbox before its task runs, so a check followed by the
//! use of what was checked is enough.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Component, Path, PathBuf},
};

use crate::{Abandoned, Failure};

/// Bytes copied between two looks at whether somebody still waits.
const BLOCK: usize = 256 << 10;

/// Whether a path given from outside stays where it starts.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub(crate) fn check_relative(path: &str) -> Result<(), &'static str> {
    if path.is_empty() || path.ends_with('/') {
        return Err("is not a file's name");
    }
    if path.contains('\0') {
        return Err("contains a null byte");
    }
    if path.starts_with('/') {
        return Err("is absolute; it must be relative to the sandbox");
    }
    let normal = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(path).components().all(normal) {
        return Err("contains `..`, which would leave the sandbox");
    }
    if Path::new(path).file_name().is_none() {
        return Err("is not a file's name");
    }
    Ok(())
}

/// The full path of `relative` beneath `root`, with the folders above it made.
pub(crate) fn place(root: &Path, relative: &Path) -> io::Result<PathBuf> {
    let mut path = root.to_owned();
    let mut parts = relative
        .components()
        .filter(|part| !matches!(part, Component::CurDir))
        .peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else {
            return Err(io::Error::other("the path would leave the folder"));
        };
        path.push(name);
        if parts.peek().is_none() {
            return Ok(path);
        }
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                return Err(io::Error::other(format!(
                    "{} is in the way and not a folder",
                    path.display()
                )));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(&path)?,
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("the path names no file"))
}

/// A new file in place of whatever had its name; a folder is never replaced.
pub(crate) fn create_at(path: &Path, mode: u32) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            return Err(io::Error::other(format!("{} is a folder", path.display())));
        }
        Ok(_) => fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
}

/// A new file in the sandbox.
pub(crate) fn create(sandbox: &Path, name: &str) -> Result<File, Failure> {
    place(sandbox, Path::new(name))
        .and_then(|path| create_at(&path, 0o644))
        .map_err(|error| Failure::io("write", &sandbox.join(name), &error))
}

/// Copies a file of ours into the sandbox.
pub(crate) fn copy(
    from: &Path,
    sandbox: &Path,
    name: &str,
    abandoned: &Abandoned,
) -> Result<(), Failure> {
    let mut target = create(sandbox, name)?;
    let mut source = File::open(from).map_err(|error| Failure::io("read", from, &error))?;
    pump(&mut source, &mut target, abandoned)
        .map_err(|error| Failure::io("write", &sandbox.join(name), &error))
}

/// Copies until the end, or until nobody waits.
pub(crate) fn pump(
    from: &mut dyn io::Read,
    to: &mut File,
    abandoned: &Abandoned,
) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        abandoned.check()?;
        match from.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(n) => to.write_all(&block[..n])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// `chmod a+x`.
pub(crate) fn make_executable(path: &Path) -> Result<(), Failure> {
    let set = || {
        let metadata = fs::symlink_metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a plain file"));
        }
        fs::set_permissions(
            path,
            fs::Permissions::from_mode((metadata.mode() | 0o111) & 0o7777),
        )
    };
    set().map_err(|error| Failure::io("make executable", path, &error))
}

/// A reader that ends with an error when nobody waits.
pub(crate) struct Watched<'a, R> {
    pub inner: R,
    pub abandoned: &'a Abandoned,
}

impl<R: io::Read> io::Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.abandoned.check()?;
        self.inner.read(buffer)
    }
}

/// The first bytes of a stream as text, for messages of children.
pub(crate) fn short_text(mut from: impl io::Read) -> String {
    let mut bytes = Vec::new();
    let _as_far_as_it_goes = (&mut from).take(4096).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_files_stay_in_the_sandbox() {
        for good in ["a", "a/b", "./a", "...", "a..b"] {
            assert_eq!(check_relative(good), Ok(()), "{good}");
        }
        for bad in ["", "/a", "..", "../a", "a/../../b", "a/", ".", "a\0"] {
            assert!(check_relative(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_link_on_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        let error = create(dir.path(), "link/file").unwrap_err().to_string();
        assert!(error.contains("not a folder"), "{error}");
        std::fs::write(outside.path().join("precious"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path().join("precious"), dir.path().join("f")).unwrap();
        create(dir.path(), "f").unwrap().write_all(b"new").unwrap();
        assert_eq!(
            std::fs::read_to_string(outside.path().join("precious")).unwrap(),
            "x"
        );
        assert_eq!(
            std::fs::read_to_string(dir.path().join("f")).unwrap(),
            "new"
        );
        create(dir.path(), "sub/dir/f").unwrap();
        assert!(create(dir.path(), "sub").is_err());
    }
}
