//! Persistent volumes: where they are on the host, and how a task wants to see them.

use std::path::{Component, Path, PathBuf};

use mesos_wire::v1::{
    resource::disk_info::{Source, source},
    volume,
};

use crate::{Resource, Resources, Scalar, Value};

/// A persistent volume of an agent, read from its resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersistentVolume {
    /// Its id, unique per role on one agent.
    pub id: String,
    /// The role it is reserved for.
    pub role: String,
    /// The disk it lies on.
    pub disk: VolumeDisk,
    /// Its directory on the host.
    pub path: PathBuf,
    /// Where the task wants it: relative to the sandbox, or absolute.
    pub container_path: String,
    /// Whether the task only reads it.
    pub read_only: bool,
    /// Its size in MiB.
    pub size: Scalar,
    /// Whether several may use it at once.
    pub shared: bool,
}

/// What a volume lies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeDisk {
    /// The file system of the work_dir, or a directory on a disk of type PATH. Holds
    /// `volumes/roles/<role>/<id>`.
    Directory(PathBuf),
    /// A whole disk of type MOUNT: its root is the volume.
    Mounted(PathBuf),
}

/// Why a resource cannot be a volume here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("persistent volume `{id}`: {problem}")]
pub struct VolumeError {
    /// Its persistence id.
    pub id: String,
    /// What is wrong with it.
    pub problem: String,
}

impl PersistentVolume {
    /// Reads a resource; `None`: it is no persistent volume.
    ///
    /// The layout is that of Apache Mesos (`getPersistentVolumePath`): a role's `/` becomes a blank,
    /// which no role can contain, and relative roots of disks are relative to the work_dir.
    ///
    /// # Errors
    /// It has no role, no size, or lies on a disk that only a resource provider could bring.
    pub fn of(resource: &Resource, work_dir: &Path) -> Option<Result<Self, VolumeError>> {
        let disk = resource.meta.disk.as_ref()?;
        let id = disk.persistence.as_ref()?.id.as_str();
        Some(
            read(resource, disk.source.as_ref(), id, work_dir).map_err(|problem| VolumeError {
                id: id.to_owned(),
                problem,
            }),
        )
    }

    /// Every volume of `resources`; one that is shared stands once.
    ///
    /// # Errors
    /// As [`PersistentVolume::of`], for the first that errs.
    pub fn all(resources: &Resources, work_dir: &Path) -> Result<Vec<Self>, VolumeError> {
        resources
            .distinct()
            .filter_map(|resource| Self::of(resource, work_dir))
            .collect()
    }
}

impl VolumeDisk {
    /// The directory everything of the disk lies beneath.
    pub fn root(&self) -> &Path {
        match self {
            Self::Directory(root) | Self::Mounted(root) => root,
        }
    }
}

fn read(
    resource: &Resource,
    source: Option<&Source>,
    id: &str,
    work_dir: &Path,
) -> Result<PersistentVolume, String> {
    crate::validate_id(id).map_err(|error| error.to_string())?;
    let role = resource
        .reservation_role()
        .ok_or("it is reserved for nobody")?;
    let Value::Scalar(size) = resource.value else {
        return Err("it has no size".to_owned());
    };
    let disk = disk(source, work_dir)?;
    let path = match &disk {
        VolumeDisk::Mounted(root) => root.clone(),
        VolumeDisk::Directory(root) => root
            .join("volumes/roles")
            .join(role.replace('/', " "))
            .join(id),
    };
    let wanted = resource
        .meta
        .disk
        .as_ref()
        .and_then(|disk| disk.volume.as_ref());
    Ok(PersistentVolume {
        id: id.to_owned(),
        role: role.to_owned(),
        disk,
        path,
        container_path: wanted.map(|v| v.container_path.clone()).unwrap_or_default(),
        read_only: wanted.is_some_and(|v| v.mode == i32::from(volume::Mode::Ro)),
        size,
        shared: resource.meta.shared,
    })
}

fn disk(source: Option<&Source>, work_dir: &Path) -> Result<VolumeDisk, String> {
    let Some(source) = source else {
        return Ok(VolumeDisk::Directory(work_dir.to_owned()));
    };
    let at = |root: Option<&str>| -> Result<PathBuf, String> {
        let root = root
            .filter(|root| !root.is_empty())
            .ok_or("its disk has no root")?;
        if Path::new(root)
            .components()
            .any(|c| c == Component::ParentDir)
        {
            return Err(format!("the root `{root}` of its disk has `..` in it"));
        }
        // An absolute one replaces the work_dir.
        Ok(work_dir.join(root))
    };
    match source.r#type() {
        source::Type::Path => {
            let root = source.path.as_ref().and_then(|path| path.root.as_deref());
            Ok(VolumeDisk::Directory(at(root)?))
        }
        source::Type::Mount => {
            let root = source
                .mount
                .as_ref()
                .and_then(|mount| mount.root.as_deref());
            Ok(VolumeDisk::Mounted(at(root)?))
        }
        kind @ (source::Type::Block | source::Type::Raw | source::Type::Unknown) => Err(format!(
            "it lies on a disk of type {}; allowed: none, PATH, MOUNT",
            kind.as_str_name()
        )),
    }
}

#[cfg(test)]
mod tests {
    use mesos_wire::v1;

    use super::*;

    fn resource(role: &str, id: &str, source: Option<Source>) -> Resource {
        let dynamic = v1::resource::reservation_info::Type::Dynamic;
        Resource::scalar("disk", Scalar::from_thousandths(64_000)).with_meta(|meta| {
            meta.reservations = vec![v1::resource::ReservationInfo {
                r#type: Some(dynamic.into()),
                role: Some(role.to_owned()),
                ..Default::default()
            }];
            meta.disk = Some(v1::resource::DiskInfo {
                persistence: Some(v1::resource::disk_info::Persistence {
                    id: id.to_owned(),
                    principal: None,
                }),
                volume: Some(v1::Volume {
                    container_path: "data".to_owned(),
                    mode: volume::Mode::Rw.into(),
                    ..Default::default()
                }),
                source,
            });
        })
    }

    fn source(kind: source::Type, root: &str) -> Option<Source> {
        Some(Source {
            r#type: kind.into(),
            path: (kind == source::Type::Path).then(|| source::Path {
                root: Some(root.to_owned()),
            }),
            mount: (kind == source::Type::Mount).then(|| source::Mount {
                root: Some(root.to_owned()),
            }),
            ..Default::default()
        })
    }

    #[test]
    fn volumes_lie_where_mesos_puts_them() {
        use source::Type::{Mount, Path as Directory};
        for (role, source, expected) in [
            ("dev", None, "/w/volumes/roles/dev/v"),
            ("dev/web", None, "/w/volumes/roles/dev web/v"),
            ("dev", source(Directory, "/d"), "/d/volumes/roles/dev/v"),
            ("dev", source(Directory, "d"), "/w/d/volumes/roles/dev/v"),
            ("dev", source(Mount, "/mnt/x"), "/mnt/x"),
            ("dev", source(Mount, "x"), "/w/x"),
        ] {
            let volume = PersistentVolume::of(&resource(role, "v", source), Path::new("/w"));
            let volume = volume.unwrap().unwrap();
            assert_eq!(volume.path, Path::new(expected));
            assert_eq!(volume.container_path, "data");
            assert!(!volume.read_only);
        }
    }

    #[test]
    fn what_is_no_volume_of_ours_is_named() {
        let plain = Resource::scalar("disk", Scalar::from_thousandths(1));
        assert_eq!(PersistentVolume::of(&plain, Path::new("/w")), None);
        let error = |resource: &Resource| {
            let read = PersistentVolume::of(resource, Path::new("/w")).unwrap();
            read.unwrap_err().to_string()
        };
        assert_eq!(
            error(&resource("dev", "v", source(source::Type::Raw, "/x"))),
            "persistent volume `v`: it lies on a disk of type RAW; allowed: none, PATH, MOUNT"
        );
        assert!(
            error(&resource(
                "dev",
                "v",
                source(source::Type::Path, "a/../../x")
            ))
            .contains("`..`")
        );
        assert!(error(&resource("dev", "..", None)).contains(".."));
        let unreserved = resource("dev", "v", None).with_meta(|meta| meta.reservations.clear());
        assert!(error(&unreserved).contains("reserved for nobody"));
    }
}
