//! Adds up what a directory tree takes on disk, a slice at a time.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Like `du -s`: allocated blocks of everything beneath, links counted once, symbolic links not
/// followed. A tree that changes meanwhile is counted as it is found; what vanishes is left out.
#[derive(Debug)]
pub(crate) struct Walker {
    directories: Vec<PathBuf>,
    open: Option<fs::ReadDir>,
    /// (device, inode) of files with several names.
    seen: HashSet<(u64, u64)>,
    blocks: u64,
}

impl Walker {
    /// Begins at `root`, which counts too.
    pub(crate) fn new(root: &Path) -> Self {
        let mut walker = Self {
            directories: Vec::new(),
            open: None,
            seen: HashSet::new(),
            blocks: 0,
        };
        if let Ok(found) = fs::symlink_metadata(root) {
            walker.blocks = found.blocks();
            if found.is_dir() {
                walker.directories.push(root.to_owned());
            }
        }
        walker
    }

    /// Looks at up to `budget` more entries; the total in bytes when it is through, rounded up to
    /// whole KiB as `du -k` does.
    pub(crate) fn step(&mut self, budget: usize) -> Option<u64> {
        for _ in 0..budget {
            let entry = match &mut self.open {
                Some(open) => open.next(),
                None => match self.directories.pop() {
                    Some(next) => {
                        self.open = fs::read_dir(next).ok();
                        continue;
                    }
                    None => return Some(self.blocks.saturating_mul(512).div_ceil(1024) * 1024),
                },
            };
            let Some(entry) = entry else {
                self.open = None;
                continue;
            };
            let Ok(entry) = entry else { continue };
            let Ok(found) = entry.metadata() else {
                continue;
            };
            if found.is_dir() {
                self.directories.push(entry.path());
            } else if found.nlink() > 1 && !self.seen.insert((found.dev(), found.ino())) {
                continue;
            }
            self.blocks = self.blocks.saturating_add(found.blocks());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(root: &Path) -> u64 {
        let mut walker = Walker::new(root);
        loop {
            if let Some(total) = walker.step(3) {
                return total;
            }
        }
    }

    #[test]
    fn it_counts_what_du_counts() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/file"), vec![1; 100_000]).unwrap();
        fs::write(root.join("a/b/other"), vec![1; 5000]).unwrap();
        fs::hard_link(root.join("a/file"), root.join("a/b/same")).unwrap();
        std::os::unix::fs::symlink("/usr", root.join("link")).unwrap();
        let du = std::process::Command::new("du")
            .args(["-k", "-s"])
            .arg(root)
            .output()
            .unwrap();
        let du = String::from_utf8(du.stdout).unwrap();
        let kib: u64 = du.split_whitespace().next().unwrap().parse().unwrap();
        assert_eq!(total(root), kib * 1024);
        assert_eq!(total(&root.join("nothing")), 0);
    }
}
