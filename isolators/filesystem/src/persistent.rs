//! Persistent volumes of a container: which directory of the host is to be seen where.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use mesos_isolator_api::Mount;
use mesos_isolator_linux::mounts;
use mesos_types::{PersistentVolume, Resources};

use crate::volume::{VolumeError, make_mount_point};

/// One volume, to be bound to its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bind {
    /// The volume on the host.
    pub(crate) source: PathBuf,
    /// Where the task wants it; relative to the sandbox, or absolute.
    pub(crate) wanted: PathBuf,
    /// The same on the host.
    pub(crate) target: PathBuf,
    pub(crate) read_only: bool,
}

/// The volumes of `resources`, each with its place. Looks at the file system only for whether the
/// volumes are there.
pub(crate) fn binds(
    resources: &Resources,
    work_dir: &Path,
    sandbox: &Path,
) -> Result<Vec<Bind>, VolumeError> {
    let mut targets = BTreeSet::new();
    let mut all = Vec::new();
    for volume in PersistentVolume::all(resources, work_dir)? {
        if volume.container_path.is_empty() {
            return Err(VolumeError::NoContainerPath { id: volume.id });
        }
        let wanted = PathBuf::from(&volume.container_path);
        let target = sandbox.join(&wanted);
        if !targets.insert(target.clone()) {
            return Err(VolumeError::Occupied {
                container_path: volume.container_path,
            });
        }
        if !volume.path.is_dir() {
            return Err(VolumeError::Gone {
                id: volume.id,
                path: volume.path,
            });
        }
        all.push(Bind {
            source: volume.path,
            wanted,
            target,
            read_only: volume.read_only,
        });
    }
    // What lies in another one comes after it.
    all.sort_by_key(|bind| bind.target.components().count());
    Ok(all)
}

impl Bind {
    /// Makes the place it is mounted on, if that is in the sandbox. An absolute one must be there.
    pub(crate) fn make_place(&self, sandbox: &Path) -> Result<(), VolumeError> {
        if self.wanted.is_absolute() {
            if !self.target.is_dir() {
                return Err(VolumeError::Missing {
                    what: "container_path",
                    path: self.target.clone(),
                });
            }
            return Ok(());
        }
        make_mount_point(sandbox, &self.wanted, true).map(|_| ())
    }

    /// The mounts that show it.
    pub(crate) fn mounts(&self) -> impl Iterator<Item = Mount> {
        let bind = Mount {
            source: Some(self.source.clone()),
            target: self.target.clone(),
            fstype: None,
            flags: mounts::BIND,
            options: None,
        };
        let read_only = self.read_only.then(|| Mount {
            source: None,
            target: self.target.clone(),
            fstype: None,
            flags: mounts::REMOUNT_READ_ONLY,
            options: None,
        });
        [bind].into_iter().chain(read_only)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Volumes for the tests of this crate.

    use mesos_types::{Resource, Resources, Scalar};
    use mesos_wire::v1;

    /// A volume of role `dev`, seen at `container_path`.
    pub(crate) fn volume(id: &str, container_path: &str, mode: v1::volume::Mode) -> Resources {
        let dynamic = v1::resource::reservation_info::Type::Dynamic;
        Resource::scalar("disk", Scalar::from_thousandths(64_000))
            .with_meta(|meta| {
                meta.reservations = vec![v1::resource::ReservationInfo {
                    r#type: Some(dynamic.into()),
                    role: Some("dev".to_owned()),
                    ..Default::default()
                }];
                meta.disk = Some(v1::resource::DiskInfo {
                    persistence: Some(v1::resource::disk_info::Persistence {
                        id: id.to_owned(),
                        principal: None,
                    }),
                    volume: Some(v1::Volume {
                        container_path: container_path.to_owned(),
                        mode: mode.into(),
                        ..Default::default()
                    }),
                    source: None,
                });
            })
            .into()
    }
}

#[cfg(test)]
mod tests {
    use mesos_wire::v1::volume::Mode;

    use super::{testing::volume, *};

    #[test]
    fn volumes_are_bound_outer_ones_first_and_two_do_not_share_a_place() {
        let work_dir = tempfile::tempdir().unwrap();
        let sandbox = Path::new("/sandbox");
        for id in ["a", "b"] {
            std::fs::create_dir_all(work_dir.path().join("volumes/roles/dev").join(id)).unwrap();
        }
        let both = &volume("a", "data/deep", Mode::Ro) + &volume("b", "data", Mode::Rw);
        let found = binds(&both, work_dir.path(), sandbox).unwrap();
        let shown: Vec<_> = found.iter().map(|bind| bind.target.as_path()).collect();
        assert_eq!(
            shown,
            [Path::new("/sandbox/data"), Path::new("/sandbox/data/deep")]
        );
        assert_eq!(found[0].mounts().count(), 1);
        assert_eq!(found[1].mounts().count(), 2, "read-only is a second call");
        let clash = &volume("a", "data", Mode::Rw) + &volume("b", "./data", Mode::Rw);
        let error = binds(&clash, work_dir.path(), sandbox).unwrap_err();
        assert!(error.to_string().contains("two volumes"), "{error}");
    }

    #[test]
    fn a_volume_that_is_not_there_is_named() {
        let work_dir = tempfile::tempdir().unwrap();
        let error = binds(
            &volume("a", "data", Mode::Rw),
            work_dir.path(),
            Path::new("/s"),
        );
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("persistent volume `a`") && error.contains("volumes/roles/dev/a"),
            "{error}"
        );
    }
}
