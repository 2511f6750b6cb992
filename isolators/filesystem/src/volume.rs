//! A path of the host as a volume: where it is mounted in the container, and how.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use mesos_isolator_api::Mount;
use mesos_isolator_linux::mounts;
use mesos_wire::v1::{Volume, volume};

/// A volume cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Mesos has it, this version does not.
    #[error("{0} are not built yet for the mesos containerizer")]
    NotBuilt(String),
    /// What the agent holds is no volume that could be here.
    #[error(transparent)]
    Persistent(#[from] mesos_types::VolumeError),
    /// Nobody said where to show it.
    #[error("persistent volume `{id}` has no container_path")]
    NoContainerPath {
        /// Its persistence id.
        id: String,
    },
    /// Each volume has a place of its own.
    #[error("two volumes want the container_path `{container_path}`")]
    Occupied {
        /// As the task gave it.
        container_path: String,
    },
    /// The agent holds it, and its directory is not there.
    #[error(
        "the directory {} of persistent volume `{id}` does not exist; is its disk mounted?",
        path.display()
    )]
    Gone {
        /// Its persistence id.
        id: String,
        /// On the host.
        path: PathBuf,
    },
    /// It says nothing that could be mounted.
    #[error("volume at `{container_path}` has no host path")]
    NoHostPath {
        /// As the task gave it.
        container_path: String,
    },
    /// It would reach out of the sandbox.
    #[error(
        "{what} `{path}` of a volume must stay in the sandbox: no `..`, and no symbolic link on \
         the way"
    )]
    Escapes {
        /// `container_path` or `host_path`.
        what: &'static str,
        /// As the task gave it.
        path: String,
    },
    /// Nothing is there to mount, or to mount on.
    #[error("{what} `{}` of a volume does not exist on the host", path.display())]
    Missing {
        /// `container_path` or `host_path`.
        what: &'static str,
        /// On the host.
        path: PathBuf,
    },
    /// A directory can be mounted on directories only, anything else on files only.
    #[error("volume: one of `{}` and `{}` is a directory, the other is not", host.display(), target.display())]
    Mismatch {
        /// What is mounted.
        host: PathBuf,
        /// Where.
        target: PathBuf,
    },
    /// The mount point could not be made.
    #[error("cannot make `{}` for a volume", path.display())]
    MountPoint {
        /// On the host.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes the mount point, and answers the mounts that the container then has to do.
///
/// Relative paths are relative to the sandbox, on both sides. An absolute container path must
/// exist on the host, because a container without an image has the host's file system.
pub(crate) fn prepare(volume: &Volume, sandbox: &Path) -> Result<Vec<Mount>, VolumeError> {
    let host = host_path(volume, sandbox)?;
    let is_dir = match fs::metadata(&host) {
        Ok(found) => found.is_dir(),
        Err(_) => {
            return Err(VolumeError::Missing {
                what: "host_path",
                path: host,
            });
        }
    };
    let container_path = Path::new(&volume.container_path);
    let target = if container_path.is_absolute() {
        container_path.to_owned()
    } else {
        make_mount_point(sandbox, container_path, is_dir)?
    };
    match fs::metadata(&target) {
        Ok(found) if found.is_dir() == is_dir => {}
        Ok(_) => return Err(VolumeError::Mismatch { host, target }),
        Err(_) => {
            return Err(VolumeError::Missing {
                what: "container_path",
                path: target,
            });
        }
    }
    let bind = Mount {
        source: Some(host),
        target: target.clone(),
        fstype: None,
        flags: mounts::BIND,
        options: None,
    };
    let mut all = vec![bind];
    if volume.mode() == volume::Mode::Ro {
        all.push(Mount {
            source: None,
            target,
            fstype: None,
            flags: mounts::REMOUNT_READ_ONLY,
            options: None,
        });
    }
    Ok(all)
}

fn host_path(volume: &Volume, sandbox: &Path) -> Result<PathBuf, VolumeError> {
    use volume::source::{Type, sandbox_path};
    if volume.image.is_some() {
        return Err(VolumeError::NotBuilt("image volumes".to_owned()));
    }
    let no_host_path = || VolumeError::NoHostPath {
        container_path: volume.container_path.clone(),
    };
    let path = match &volume.source {
        None => volume.host_path.as_deref().ok_or_else(no_host_path)?,
        Some(source) => match source.r#type() {
            Type::HostPath => {
                let host = source.host_path.as_ref().ok_or_else(no_host_path)?;
                if host.mount_propagation.is_some() {
                    return Err(VolumeError::NotBuilt(
                        "volumes with mount propagation".to_owned(),
                    ));
                }
                &host.path
            }
            Type::SandboxPath => {
                let own = source.sandbox_path.as_ref().ok_or_else(no_host_path)?;
                if own.r#type() != sandbox_path::Type::Self_ {
                    return Err(VolumeError::NotBuilt(
                        "volumes of a parent's sandbox".to_owned(),
                    ));
                }
                return make_mount_point(sandbox, Path::new(&own.path), true);
            }
            Type::DockerVolume => {
                return Err(VolumeError::NotBuilt("docker volumes".to_owned()));
            }
            Type::Secret => return Err(VolumeError::NotBuilt("secret volumes".to_owned())),
            Type::CsiVolume => return Err(VolumeError::NotBuilt("CSI volumes".to_owned())),
            Type::Unknown => return Err(no_host_path()),
        },
    };
    if path.is_empty() {
        return Err(no_host_path());
    }
    let path = Path::new(path);
    if path.is_absolute() {
        Ok(path.to_owned())
    } else {
        make_mount_point(sandbox, path, true)
    }
}

/// A directory (or, at the end, an empty file) in the sandbox, with those above it; made if it is
/// not there. The fetcher may have put links there, which are not followed.
pub(crate) fn make_mount_point(
    sandbox: &Path,
    path: &Path,
    is_dir: bool,
) -> Result<PathBuf, VolumeError> {
    let escapes = || VolumeError::Escapes {
        what: "path",
        path: path.display().to_string(),
    };
    let mut here = sandbox.to_owned();
    let mut parts = path
        .components()
        .filter(|part| *part != Component::CurDir)
        .peekable();
    if parts.peek().is_none() {
        return Err(escapes());
    }
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else {
            return Err(escapes());
        };
        here.push(name);
        let last = parts.peek().is_none();
        match fs::symlink_metadata(&here) {
            Ok(found) if found.is_symlink() => return Err(escapes()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = if is_dir || !last {
                    fs::create_dir(&here)
                } else {
                    fs::File::create_new(&here).map(|_| ())
                };
                made.map_err(|source| VolumeError::MountPoint {
                    path: here.clone(),
                    source,
                })?;
            }
            Err(source) => return Err(VolumeError::MountPoint { path: here, source }),
        }
    }
    Ok(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(container_path: &str, host_path: &str, mode: volume::Mode) -> Volume {
        Volume {
            mode: mode.into(),
            container_path: container_path.to_owned(),
            host_path: Some(host_path.to_owned()),
            ..Volume::default()
        }
    }

    #[test]
    fn a_read_only_host_directory_is_bound_and_then_remounted() {
        let sandbox = tempfile::tempdir().unwrap();
        let mounts = prepare(
            &volume("data/deep", "/usr", volume::Mode::Ro),
            sandbox.path(),
        )
        .unwrap();
        let target = sandbox.path().join("data/deep");
        assert!(target.is_dir());
        assert_eq!(mounts.len(), 2);
        assert_eq!(
            (mounts[0].source.as_deref(), &mounts[0].target),
            (Some(Path::new("/usr")), &target)
        );
        assert_eq!(mounts[0].flags, mounts::BIND);
        assert_eq!(mounts[1].flags, mounts::REMOUNT_READ_ONLY);
    }

    #[test]
    fn a_file_is_mounted_on_a_file_and_relative_host_paths_are_in_the_sandbox() {
        let sandbox = tempfile::tempdir().unwrap();
        let mounts = prepare(
            &volume("hosts", "/etc/hostname", volume::Mode::Rw),
            sandbox.path(),
        )
        .unwrap();
        assert_eq!(mounts.len(), 1);
        assert!(sandbox.path().join("hosts").is_file());
        let mounts = prepare(&volume("/tmp", "own-tmp", volume::Mode::Rw), sandbox.path()).unwrap();
        assert_eq!(
            mounts[0].source.as_deref(),
            Some(sandbox.path().join("own-tmp").as_path())
        );
        assert_eq!(mounts[0].target, Path::new("/tmp"));
    }

    #[test]
    fn nothing_reaches_out_of_the_sandbox() {
        let sandbox = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", sandbox.path().join("link")).unwrap();
        for path in ["../x", "a/../../x", "link/x", "link", ".", ""] {
            let error = prepare(&volume(path, "/usr", volume::Mode::Rw), sandbox.path())
                .expect_err(path)
                .to_string();
            assert!(
                error.contains("must stay in the sandbox"),
                "{path}: {error}"
            );
        }
        assert!(!Path::new("/etc/x").exists());
    }

    #[test]
    fn what_is_missing_is_named() {
        let sandbox = tempfile::tempdir().unwrap();
        let error = |volume: &Volume| prepare(volume, sandbox.path()).unwrap_err().to_string();
        assert_eq!(
            error(&volume("x", "/no/such/path", volume::Mode::Rw)),
            "host_path `/no/such/path` of a volume does not exist on the host"
        );
        assert_eq!(
            error(&volume("/no/such/path", "/usr", volume::Mode::Rw)),
            "container_path `/no/such/path` of a volume does not exist on the host"
        );
        let none = Volume {
            host_path: None,
            ..volume("x", "", volume::Mode::Rw)
        };
        assert_eq!(error(&none), "volume at `x` has no host path");
    }
}
