//! Directories of persistent volumes: made by CREATE, removed by DESTROY and by nothing else.
//!
//! A removal first puts the volume aside, in one step and on its own disk, and then takes its time; what a
//! crash leaves aside is removed at the next start.

mod owner;

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use mesos_types::{PersistentVolume, Resources, VolumeDisk};
use uuid::Uuid;

pub(crate) use owner::own;

/// Beside `roles`: what is being removed.
const ASIDE: &str = ".removed";
/// What the file system put on a disk of its own.
const LOST_AND_FOUND: &str = "lost+found";

/// What an operation wants of directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeWork {
    /// The operation.
    pub operation: Uuid,
    /// Volumes to make.
    pub make: Vec<PersistentVolume>,
    /// Volumes to remove.
    pub remove: Vec<PersistentVolume>,
}

impl VolumeWork {
    /// Does what must be done at once: volumes are there, or out of the way. Wholly or not at all. Answers
    /// the directories that are then to be [`clear`]ed. May be repeated after a crash.
    ///
    /// # Errors
    /// What was tried, on which directory, and what the system said.
    pub(crate) fn carry_out(&self) -> Result<Vec<PathBuf>, String> {
        for (at, volume) in self.make.iter().enumerate() {
            if let Err(problem) = make(volume) {
                for made in &self.make[..at] {
                    // Goes only if it is empty.
                    let _stays = fs::remove_dir(&made.path);
                }
                return Err(problem);
            }
        }
        let mut aside = Vec::new();
        for (at, volume) in self.remove.iter().enumerate() {
            match set_aside(volume, &format!("{}-{at}", self.operation)) {
                Ok(Some(trash)) => aside.push((trash, volume)),
                Ok(None) => {}
                Err(problem) => {
                    for (trash, volume) in aside {
                        put_back(&trash, volume);
                    }
                    return Err(problem);
                }
            }
        }
        Ok(aside.into_iter().map(|(trash, _)| trash).collect())
    }
}

fn failed(action: &str, path: &Path) -> impl FnOnce(io::Error) -> String {
    let text = format!("cannot {action} {}", path.display());
    move |error| format!("{text}: {error}")
}

/// Makes a volume's directory, mode 0755, so that it survives power loss. One that is there already is
/// taken as it is, as in Mesos.
fn make(volume: &PersistentVolume) -> Result<(), String> {
    let root = volume.disk.root();
    if !root.is_dir() {
        return Err(format!(
            "{}, where the disk of persistent volume `{}` should be, is not a directory",
            root.display(),
            volume.id
        ));
    }
    let below = volume.path.strip_prefix(root).unwrap_or(Path::new(""));
    let mut here = root.to_owned();
    for part in below.components() {
        let above = here.clone();
        here.push(part);
        match DirBuilder::new().mode(0o755).create(&here) {
            Ok(()) => sync(&above)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && here.is_dir() => {}
            Err(error) => return Err(failed("make", &here)(error)),
        }
    }
    Ok(())
}

fn sync(directory: &Path) -> Result<(), String> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(failed("sync", directory))
}

/// Puts a volume out of the way. `None`: it is not there.
fn set_aside(volume: &PersistentVolume, name: &str) -> Result<Option<PathBuf>, String> {
    let VolumeDisk::Directory(root) = &volume.disk else {
        return set_contents_aside(&volume.path, name);
    };
    let trash = root.join("volumes").join(ASIDE);
    match fs::create_dir(&trash) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("make", &trash)(error)),
    }
    let trash = trash.join(name);
    match fs::rename(&volume.path, &trash) {
        Ok(()) => {
            if let Some(above) = volume.path.parent() {
                sync(above)?;
            }
            Ok(Some(trash))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Before a crash it may have come this far.
            Ok(trash.exists().then_some(trash))
        }
        // A file system that somebody mounted there.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::CrossesDevices | io::ErrorKind::ResourceBusy
            ) =>
        {
            set_contents_aside(&volume.path, name)
        }
        Err(error) => Err(failed("move away", &volume.path)(error)),
    }
}

/// The same for a directory that cannot be moved itself.
fn set_contents_aside(root: &Path, name: &str) -> Result<Option<PathBuf>, String> {
    let trash = root.join(format!("{ASIDE}-{name}"));
    match fs::create_dir(&trash) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("make", &trash)(error)),
    }
    for entry in fs::read_dir(root).map_err(failed("read", root))? {
        let entry = entry.map_err(failed("read", root))?;
        let own = entry.file_name();
        if own.to_string_lossy().starts_with(ASIDE) || own == LOST_AND_FOUND {
            continue;
        }
        let from = entry.path();
        fs::rename(&from, trash.join(&own)).map_err(failed("move away", &from))?;
    }
    sync(root)?;
    Ok(Some(trash))
}

/// Undoes [`set_aside`]; what cannot be put back stays where it is, which is said.
fn put_back(trash: &Path, volume: &PersistentVolume) {
    let moved = trash.parent().is_some_and(|parent| parent.ends_with(ASIDE));
    let result = if moved {
        fs::rename(trash, &volume.path)
    } else {
        fs::read_dir(trash).and_then(|entries| {
            for entry in entries {
                let entry = entry?;
                fs::rename(entry.path(), volume.path.join(entry.file_name()))?;
            }
            fs::remove_dir(trash)
        })
    };
    if let Err(error) = result {
        tracing::error!(volume = %volume.path.display(), aside = %trash.display(), %error, "cannot put a volume back; move it by hand");
    }
}

/// Removes what was put aside, never through a link or a mount. Blocks.
pub(crate) fn clear(trash: &[PathBuf]) {
    for path in trash {
        let root = path.parent().unwrap_or(path);
        if let Err(error) = mesos_gc::remove_tree(root, path) {
            tracing::warn!(path = %path.display(), error = %crate::core::chain(&error), "what was in a destroyed volume is not removed entirely; it is tried again at the next start");
        }
    }
}

/// What earlier processes put aside and did not remove, on every disk of `total`.
pub(crate) fn left_aside(work_dir: &Path, total: &Resources) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![work_dir.to_owned()];
    for resource in total.distinct() {
        let Some(source) = resource.meta.disk.as_ref().and_then(|d| d.source.as_ref()) else {
            continue;
        };
        let path = source.path.as_ref().and_then(|path| path.root.as_ref());
        let mount = source.mount.as_ref().and_then(|mount| mount.root.as_ref());
        directories.extend(path.map(|root| work_dir.join(root)));
        if let Some(root) = mount {
            let root = work_dir.join(root);
            found.extend(children(&root).filter(|path| is_aside(path)));
        }
    }
    directories.sort();
    directories.dedup();
    for root in directories {
        found.extend(children(&root.join("volumes").join(ASIDE)));
    }
    found
}

fn is_aside(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(ASIDE))
}

fn children(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests;
