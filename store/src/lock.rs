//! The lock beside a store: a file that its owner holds locked, with the owner's pid in it.
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    process,
};

use crate::StoreError;

/// Held as long as it lives; the kernel lets go of it when the process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child that another thread has forked, and that has not yet become its
        // program, holds a copy of the descriptor. Should it fail, closing comes next.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the lock of the store at `path`.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
        let beside = Self::path(path);
        let io = |action| {
            let path = beside.clone();
            move |source| StoreError::Io {
                action,
                path,
                source,
            }
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&beside)
            .map_err(io("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Best effort: the owner may be writing it right now.
                let read = file.take(32).read_to_string(&mut text);
                let pid = read.ok().and_then(|_| text.trim().parse().ok());
                return Err(StoreError::Locked {
                    path: path.to_owned(),
                    pid,
                });
            }
            Err(TryLockError::Error(source)) => return Err(io("lock")(source)),
        }
        file.set_len(0).map_err(io("write"))?;
        file.rewind().map_err(io("write"))?;
        writeln!(file, "{}", process::id()).map_err(io("write"))?;
        Ok(Self { file })
    }

    fn path(path: &Path) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        path.with_file_name(name)
    }
}
