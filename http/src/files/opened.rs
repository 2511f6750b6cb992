//! Opens a path without leaving its root.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::FilesError;

/// A file or directory that is known to be within its root.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) metadata: Metadata,
    pub(super) root: PathBuf,
}

impl Opened {
    pub(super) fn new(shown: &str, real: &Path, rest: &str) -> Result<Self, FilesError> {
        let failed = |error: io::Error| FilesError::io("open", shown, &error);
        let root = fs::canonicalize(real).map_err(failed)?;
        let target = if rest.is_empty() {
            root.clone()
        } else {
            root.join(rest)
        };
        let resolved = fs::canonicalize(&target).map_err(failed)?;
        let inaccessible = |path: &Path| {
            FilesError::Invalid(format!(
                "Resolved path '{}' is inaccessible.\n",
                path.display()
            ))
        };
        if !resolved.starts_with(&root) {
            return Err(inaccessible(&resolved));
        }
        let kind = fs::metadata(&resolved).map_err(failed)?.file_type();
        if !kind.is_file() && !kind.is_dir() {
            return Err(FilesError::Invalid(format!(
                "Path '{shown}' is neither a file nor a directory.\n"
            )));
        }
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW)
            .open(&resolved)
            .map_err(failed)?;
        let opened = fs::read_link(descriptor(&file)).map_err(failed)?;
        if !opened.starts_with(&root) {
            return Err(inaccessible(&opened));
        }
        let metadata = file.metadata().map_err(failed)?;
        Ok(Self {
            file,
            metadata,
            root,
        })
    }

    pub(super) fn through_fd(&self) -> PathBuf {
        descriptor(&self.file)
    }

    pub(super) fn regular(&self, action: &str) -> Result<(), FilesError> {
        if self.metadata.is_dir() {
            return Err(FilesError::Invalid(format!(
                "Cannot {action} a directory.\n"
            )));
        }
        if !self.metadata.is_file() {
            return Err(FilesError::Invalid(format!(
                "Cannot {action} what is not a file.\n"
            )));
        }
        Ok(())
    }
}

fn descriptor(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
