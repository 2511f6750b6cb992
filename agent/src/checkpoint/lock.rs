//! The lock of a work_dir: a file that its agent holds locked, with its pid in it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
};

use super::CheckpointError;

/// Held as long as it lives; the kernel lets go of it when the process ends in whatever way.
#[derive(Debug)]
pub struct Lock {
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
    /// Takes the lock of a work_dir, which is made if it is missing.
    ///
    /// # Errors
    /// Another agent holds it, or the system refuses.
    pub fn take(work_dir: &Path) -> Result<Self, CheckpointError> {
        let meta = work_dir.join("meta");
        fs::create_dir_all(&meta).map_err(CheckpointError::io("make", &meta))?;
        let path = meta.join("agent.lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(CheckpointError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Best effort: the owner may be writing it right now.
                let read = file.take(32).read_to_string(&mut text);
                let pid = read.ok().and_then(|_| text.trim().parse().ok());
                return Err(CheckpointError::Locked { path, pid });
            }
            Err(TryLockError::Error(source)) => {
                return Err(CheckpointError::io("lock", &path)(source));
            }
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(CheckpointError::io("write", &path))?;
        Ok(Self { file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_told_who_holds_the_work_dir() {
        let dir = tempfile::tempdir().unwrap();
        let held = Lock::take(dir.path()).unwrap();
        let refused = Lock::take(dir.path()).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("process {}", std::process::id())),
            "{refused}"
        );
        drop(held);
        Lock::take(dir.path()).unwrap();
    }
}
