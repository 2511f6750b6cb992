//! Volumes of a task as the engine wants them: binds, named volumes, mounts.

use std::path::{Component, Path};

use bollard::models::{
    HostConfig, Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountType,
    MountVolumeOptions, MountVolumeOptionsDriverConfig,
};
use mesos_types::{PersistentVolume, Resources};
use mesos_wire::v1::{self, mount_propagation, volume, volume::source};

use crate::request::RequestError;

/// Adds the persistent volumes among `resources`: at their container_path, in the sandbox where that is
/// relative. Apache Mesos mounts them into the sandbox on the host, which looks the same from within.
pub(crate) fn add_persistent(
    host: &mut HostConfig,
    resources: &Resources,
    work_dir: &Path,
    mapped: &str,
) -> Result<(), RequestError> {
    let volumes = PersistentVolume::all(resources, work_dir)
        .map_err(|error| RequestError::new(error.to_string()))?;
    let mut targets = std::collections::BTreeSet::new();
    for volume in volumes {
        let given = volume.container_path.as_str();
        if given.is_empty() {
            return Err(RequestError::new(format!(
                "persistent volume `{}` has no container_path",
                volume.id
            )));
        }
        let target = if given.starts_with('/') {
            given.to_owned()
        } else {
            format!("{mapped}/{}", confined(given)?)
        };
        if !targets.insert(target.clone()) {
            return Err(RequestError::new(format!(
                "two persistent volumes want the container_path `{given}`"
            )));
        }
        // The engine would make an empty one.
        if !volume.path.is_dir() {
            return Err(RequestError::new(format!(
                "the directory {} of persistent volume `{}` does not exist; is its disk mounted?",
                volume.path.display(),
                volume.id
            )));
        }
        let mode = Some(if volume.read_only { "ro" } else { "rw" });
        bind(host, &path_text(&volume.path)?, &target, mode, None);
    }
    Ok(())
}

/// Adds the volumes and, last as in Mesos, the sandbox. Returns paths of volumes without a source,
/// for which the engine makes anonymous ones.
pub(crate) fn add(
    host: &mut HostConfig,
    volumes: &[v1::Volume],
    sandbox: &Path,
    mapped: &str,
) -> Result<Vec<String>, RequestError> {
    let mut anonymous = Vec::new();
    for volume in volumes {
        add_one(host, &mut anonymous, volume, sandbox, mapped)?;
    }
    bind(host, &path_text(sandbox)?, mapped, None, None);
    Ok(anonymous)
}

fn add_one(
    host: &mut HostConfig,
    anonymous: &mut Vec<String>,
    volume: &v1::Volume,
    sandbox: &Path,
    mapped: &str,
) -> Result<(), RequestError> {
    let given = volume.container_path.as_str();
    if given.is_empty() {
        return Err(RequestError::new("a volume has no container_path"));
    }
    let absolute = given.starts_with('/');
    let target = if absolute {
        given.to_owned()
    } else {
        format!("{mapped}/{}", confined(given)?)
    };
    let read_only = volume.mode == volume::Mode::Ro as i32;
    let mode = Some(if read_only { "ro" } else { "rw" });
    if volume.image.is_some() {
        return Err(RequestError::new(format!(
            "the volume at `{given}` comes from an image, which docker containers cannot have; \
             give a host_path or a docker_volume"
        )));
    }
    if let Some(path) = volume.host_path.as_deref() {
        return host_path(host, path, given, &target, mode, None, sandbox);
    }
    let Some(source) = &volume.source else {
        anonymous.push(target);
        return Ok(());
    };
    match source.r#type() {
        source::Type::DockerVolume => {
            let docker = source
                .docker_volume
                .as_ref()
                .ok_or_else(|| missing(given, "docker_volume"))?;
            docker_volume(host, docker, &target, read_only);
            Ok(())
        }
        source::Type::HostPath => {
            let path = source
                .host_path
                .as_ref()
                .ok_or_else(|| missing(given, "host_path"))?;
            let propagation = path
                .mount_propagation
                .as_ref()
                .and_then(|p| match p.mode() {
                    mount_propagation::Mode::HostToContainer => Some("rslave"),
                    mount_propagation::Mode::Bidirectional => Some("rshared"),
                    mount_propagation::Mode::Unknown => None,
                });
            host_path(host, &path.path, given, &target, mode, propagation, sandbox)
        }
        source::Type::SandboxPath => {
            let path = source
                .sandbox_path
                .as_ref()
                .ok_or_else(|| missing(given, "sandbox_path"))?;
            if path.r#type() == source::sandbox_path::Type::Parent {
                return Err(RequestError::new(format!(
                    "the volume at `{given}` is in the parent's sandbox, but docker containers \
                     have no parent; use sandbox_path.type SELF"
                )));
            }
            let path = sandbox.join(confined(&path.path)?);
            bind(host, &path_text(&path)?, &target, mode, None);
            Ok(())
        }
        other => Err(RequestError::new(format!(
            "the volume at `{given}` has a source of type {}, which docker containers cannot \
             have; allowed are DOCKER_VOLUME, HOST_PATH and SANDBOX_PATH",
            other.as_str_name()
        ))),
    }
}

fn missing(target: &str, field: &str) -> RequestError {
    RequestError::new(format!("the volume at `{target}` lacks source.{field}"))
}

fn host_path(
    host: &mut HostConfig,
    path: &str,
    given_target: &str,
    target: &str,
    mode: Option<&str>,
    propagation: Option<&str>,
    sandbox: &Path,
) -> Result<(), RequestError> {
    if path.starts_with('/') {
        bind(host, path, target, mode, propagation);
        return Ok(());
    }
    if !given_target.starts_with('/') {
        return Err(RequestError::new(format!(
            "both host_path `{path}` and container_path `{given_target}` of a volume are \
             relative; make one of them absolute"
        )));
    }
    let path = sandbox.join(confined(path)?);
    bind(host, &path_text(&path)?, target, mode, propagation);
    Ok(())
}

fn docker_volume(
    host: &mut HostConfig,
    docker: &source::DockerVolume,
    target: &str,
    read_only: bool,
) {
    let options = docker.driver_options.as_ref().map(|options| {
        options
            .parameter
            .iter()
            .map(|p| (p.key.clone(), p.value.clone()))
            .collect()
    });
    if docker.driver.is_none() && options.is_none() {
        let mode = Some(if read_only { "ro" } else { "rw" });
        bind(host, &docker.name, target, mode, None);
        return;
    }
    host.mounts.get_or_insert_default().push(Mount {
        typ: Some(MountType::VOLUME),
        source: Some(docker.name.clone()),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        volume_options: Some(MountVolumeOptions {
            driver_config: Some(MountVolumeOptionsDriverConfig {
                name: docker.driver.clone(),
                options,
            }),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    });
}

/// A bind `source:target[:mode]`; a mount where a colon in a path would be misread.
fn bind(
    host: &mut HostConfig,
    source: &str,
    target: &str,
    mode: Option<&str>,
    propagation: Option<&str>,
) {
    if source.contains(':') || target.contains(':') {
        host.mounts.get_or_insert_default().push(Mount {
            typ: Some(MountType::BIND),
            source: Some(source.to_owned()),
            target: Some(target.to_owned()),
            read_only: Some(mode == Some("ro")),
            bind_options: propagation.map(|propagation| MountBindOptions {
                propagation: Some(if propagation == "rslave" {
                    MountBindOptionsPropagationEnum::RSLAVE
                } else {
                    MountBindOptionsPropagationEnum::RSHARED
                }),
                ..MountBindOptions::default()
            }),
            ..Mount::default()
        });
        return;
    }
    let options: Vec<&str> = mode.into_iter().chain(propagation).collect();
    let suffix = if options.is_empty() {
        String::new()
    } else {
        format!(":{}", options.join(","))
    };
    host.binds
        .get_or_insert_default()
        .push(format!("{source}:{target}{suffix}"));
}

/// A relative path that stays beneath where it starts.
fn confined(path: &str) -> Result<&str, RequestError> {
    let inside = !path.is_empty()
        && Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    inside.then_some(path).ok_or_else(|| {
        RequestError::new(format!(
            "the path `{path}` of a volume would leave the sandbox; it must be relative and \
             without `..`"
        ))
    })
}

fn path_text(path: &Path) -> Result<String, RequestError> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        RequestError::new(format!(
            "the path `{}` is not UTF-8, which the engine needs",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(container: &str, host: Option<&str>, mode: volume::Mode) -> v1::Volume {
        v1::Volume {
            mode: mode as i32,
            container_path: container.to_owned(),
            host_path: host.map(str::to_owned),
            ..v1::Volume::default()
        }
    }

    fn run(volumes: &[v1::Volume]) -> Result<HostConfig, String> {
        let mut host = HostConfig::default();
        add(&mut host, volumes, Path::new("/sb"), "/mnt/mesos/sandbox")
            .map(|_| host)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn host_paths_become_binds_and_the_sandbox_comes_last() {
        let host = run(&[
            volume("/data", Some("hostdir"), volume::Mode::Rw),
            volume("/tmpro", Some("/usr/share/doc"), volume::Mode::Ro),
            volume("inside", Some("/etc"), volume::Mode::Ro),
        ])
        .unwrap();
        assert_eq!(
            host.binds.unwrap(),
            [
                "/sb/hostdir:/data:rw",
                "/usr/share/doc:/tmpro:ro",
                "/etc:/mnt/mesos/sandbox/inside:ro",
                "/sb:/mnt/mesos/sandbox",
            ]
        );
    }

    #[test]
    fn persistent_volumes_are_binds_that_must_be_there() {
        let work_dir = tempfile::tempdir().unwrap();
        let held = |path: &str| {
            let wire = v1::Resource {
                name: "disk".to_owned(),
                scalar: Some(v1::value::Scalar { value: 64.0 }),
                reservations: vec![v1::resource::ReservationInfo {
                    r#type: Some(v1::resource::reservation_info::Type::Dynamic.into()),
                    role: Some("a/b".to_owned()),
                    ..Default::default()
                }],
                disk: Some(v1::resource::DiskInfo {
                    persistence: Some(v1::resource::disk_info::Persistence {
                        id: "v".to_owned(),
                        principal: None,
                    }),
                    volume: Some(volume(path, None, volume::Mode::Ro)),
                    source: None,
                }),
                ..Default::default()
            };
            Resources::from_wire(&[wire]).unwrap()
        };
        let run = |path: &str| {
            let mut host = HostConfig::default();
            add_persistent(
                &mut host,
                &held(path),
                work_dir.path(),
                "/mnt/mesos/sandbox",
            )
            .map(|()| host.binds.unwrap_or_default())
            .map_err(|error| error.to_string())
        };
        let error = run("data").unwrap_err();
        assert!(error.contains("does not exist"), "{error}");
        let directory = work_dir.path().join("volumes/roles/a b/v");
        std::fs::create_dir_all(&directory).unwrap();
        let directory = directory.display();
        assert_eq!(
            run("data").unwrap(),
            [format!("{directory}:/mnt/mesos/sandbox/data:ro")]
        );
        assert_eq!(run("/data").unwrap(), [format!("{directory}:/data:ro")]);
        run("../data").unwrap_err();
        run("").unwrap_err();
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let both = run(&[volume("data", Some("hostdir"), volume::Mode::Rw)]).unwrap_err();
        assert!(both.contains("make one of them absolute"), "{both}");
        let up = run(&[volume("/data", Some("../other"), volume::Mode::Rw)]).unwrap_err();
        assert!(up.contains("leave the sandbox"), "{up}");
        let secret = v1::Volume {
            source: Some(volume::Source {
                r#type: Some(source::Type::Secret as i32),
                ..volume::Source::default()
            }),
            ..volume("/s", None, volume::Mode::Ro)
        };
        let secret = run(&[secret]).unwrap_err();
        assert!(
            secret.contains("SECRET") && secret.contains("allowed are"),
            "{secret}"
        );
    }

    #[test]
    fn docker_volumes_go_by_name_or_with_their_driver() {
        let named = |driver: Option<&str>| v1::Volume {
            source: Some(volume::Source {
                r#type: Some(source::Type::DockerVolume as i32),
                docker_volume: Some(source::DockerVolume {
                    name: "vol".into(),
                    driver: driver.map(str::to_owned),
                    driver_options: None,
                }),
                ..volume::Source::default()
            }),
            ..volume("/v", None, volume::Mode::Rw)
        };
        let host = run(&[named(None)]).unwrap();
        assert_eq!(host.binds.unwrap()[0], "vol:/v:rw");
        let host = run(&[named(Some("rexray"))]).unwrap();
        let mount = host.mounts.unwrap().remove(0);
        assert_eq!(mount.typ, Some(MountType::VOLUME));
        assert_eq!(
            mount
                .volume_options
                .unwrap()
                .driver_config
                .unwrap()
                .name
                .as_deref(),
            Some("rexray")
        );
    }

    #[test]
    fn a_colon_in_a_path_makes_a_mount() {
        let host = run(&[volume("/data", Some("/a:b"), volume::Mode::Ro)]).unwrap();
        let mount = &host.mounts.unwrap()[0];
        assert_eq!(mount.source.as_deref(), Some("/a:b"));
        assert_eq!(mount.read_only, Some(true));
    }
}
