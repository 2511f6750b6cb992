//! What an agent offers: the flag's resources, and for names it leaves out what the host has.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use mesos_types::{Resource, ResourceError, Resources};
use mesos_wire::v1::{self, resource::disk_info::source};

const GIB: u64 = 1 << 30;
/// Offered ports. Source: `DEFAULT_PORTS` of Mesos.
const PORTS: &str = "[31000-32000]";

/// Why there is nothing to offer.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// The resources of the flag are not valid.
    #[error("flag --resources")]
    Resources(#[from] ResourceError),
    /// The resources of the flag cannot be offered here.
    #[error("flag --resources: {0}")]
    Unfit(String),
    /// A directory is missing and cannot be made.
    #[error("cannot make the directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What the host has; `None` where that cannot be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Host {
    cpus: Option<u64>,
    /// In bytes.
    memory: Option<u64>,
    /// Size of the file system of `work_dir`, in bytes.
    disk: Option<u64>,
}

/// The resources to offer. Makes `work_dir`, whose file system `disk` is measured on, and directories of
/// PATH disks. A name that the flag gives, even as zero, is not detected; everything without a role gets
/// `default_role`.
pub fn detect(
    resources: Option<&str>,
    default_role: &str,
    work_dir: &Path,
) -> Result<Resources, DetectError> {
    make(work_dir)?;
    let found = complete(resources.unwrap_or_default(), default_role, &host(work_dir))?;
    for resource in found.distinct() {
        fit(resource, work_dir)?;
    }
    Ok(found)
}

/// Reads the value of `--resources`.
pub fn parse_resources(text: &str, default_role: &str) -> Result<Resources, ResourceError> {
    mesos_types::parse_resources(text, default_role)
}

/// Reads the value of `--attributes`.
pub fn parse_attributes(text: &str) -> Result<Vec<v1::Attribute>, String> {
    mesos_types::parse_attributes(text).map_err(|error| error.to_string())
}

fn complete(text: &str, default_role: &str, host: &Host) -> Result<Resources, DetectError> {
    let mut all = parse_resources(text, default_role)?;
    let named = names(text);
    // Memory and disk are counted in MiB.
    let mib = |bytes: u64| bytes >> 20;
    let memory = host.memory.map_or(GIB, |total| {
        if total >= 2 * GIB {
            total - GIB
        } else {
            total / 2
        }
    });
    let disk = host.disk.map_or(10 * GIB, |total| {
        if total >= 10 * GIB {
            total - 5 * GIB
        } else {
            total / 2
        }
    });
    for (name, value) in [
        ("cpus", host.cpus.unwrap_or(1).to_string()),
        ("mem", mib(memory).to_string()),
        ("disk", mib(disk).to_string()),
        ("ports", PORTS.to_owned()),
    ] {
        if !named.contains(name) {
            for resource in parse_resources(&format!("{name}:{value}"), default_role)?.distinct() {
                all.add(resource.clone());
            }
        }
    }
    Ok(all)
}

/// The names that the flag gives, those of nothing as well.
fn names(text: &str) -> BTreeSet<String> {
    if let Ok(list) = serde_json::from_str::<Vec<serde_json::Value>>(text) {
        return list
            .iter()
            .filter_map(|item| Some(item.get("name")?.as_str()?.to_owned()))
            .collect();
    }
    text.split(';')
        .filter_map(|part| part.split_once(':'))
        .map(|(name, _)| name.split('(').next().unwrap_or_default().trim().to_owned())
        .collect()
}

fn host(work_dir: &Path) -> Host {
    let cpus = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN);
    let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace()
            .next()?
            .parse::<u64>()
            .ok()?
            .checked_mul(1024)
    });
    let disk = nix::sys::statvfs::statvfs(work_dir)
        .ok()
        .and_then(|fs| fs.blocks().checked_mul(fs.fragment_size()));
    Host {
        cpus: cpus
            .ok()
            .flatten()
            .and_then(|cpus| u64::try_from(cpus).ok()),
        memory,
        disk,
    }
}

fn make(path: &Path) -> Result<(), DetectError> {
    fs::create_dir_all(path).map_err(|source| DetectError::Directory {
        path: path.to_owned(),
        source,
    })
}

/// Whether a resource can be offered here. Relative roots of disks are relative to `work_dir`.
fn fit(resource: &Resource, work_dir: &Path) -> Result<(), DetectError> {
    let Some(source) = resource
        .meta
        .disk
        .as_ref()
        .and_then(|disk| disk.source.as_ref())
    else {
        return Ok(());
    };
    match source.r#type() {
        source::Type::Path => match source.path.as_ref().and_then(|path| path.root.as_deref()) {
            Some(root) => make(&work_dir.join(root)),
            None => Err(DetectError::Unfit("a PATH disk needs a root".to_owned())),
        },
        source::Type::Mount => {
            let root = source
                .mount
                .as_ref()
                .and_then(|mount| mount.root.as_deref())
                .unwrap_or_default();
            let root_dir = work_dir.join(root);
            let real = fs::canonicalize(&root_dir).unwrap_or(root_dir);
            let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
            if mounts
                .lines()
                .filter_map(|line| line.split(' ').nth(1))
                .any(|mount| Path::new(mount) == real)
            {
                Ok(())
            } else {
                Err(DetectError::Unfit(format!(
                    "the MOUNT disk '{root}' is not a mount point"
                )))
            }
        }
        other => Err(DetectError::Unfit(format!(
            "a disk of type {} cannot be given by a flag; expecting PATH or MOUNT",
            other.as_str_name()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Host = Host {
        cpus: Some(4),
        memory: Some(8 * GIB),
        disk: Some(100 * GIB),
    };

    fn shown(text: &str, host: &Host) -> Vec<(String, f64)> {
        let resources = complete(text, "*", host).unwrap();
        let mut shown: Vec<(String, f64)> = resources
            .quantities()
            .iter()
            .map(|(name, amount)| (name.to_owned(), amount.as_f64()))
            .collect();
        shown.sort_by(|a, b| a.0.cmp(&b.0));
        shown
    }

    fn of(pairs: &[(&str, f64)]) -> Vec<(String, f64)> {
        pairs
            .iter()
            .map(|(name, amount)| ((*name).to_owned(), *amount))
            .collect()
    }

    #[test]
    fn what_the_flag_leaves_out_is_detected() {
        assert_eq!(
            shown("", &HOST)[..3],
            of(&[("cpus", 4.0), ("disk", 97_280.0), ("mem", 7168.0)])[..]
        );
        assert_eq!(complete("", "*", &HOST).unwrap().ports().count(), 1001);
        let small = Host {
            cpus: Some(1),
            memory: Some(GIB),
            disk: Some(GIB),
        };
        assert_eq!(
            shown("", &small)[..3],
            of(&[("cpus", 1.0), ("disk", 512.0), ("mem", 512.0)])[..]
        );
        let unknown = Host {
            cpus: None,
            memory: None,
            disk: None,
        };
        assert_eq!(
            shown("", &unknown)[..3],
            of(&[("cpus", 1.0), ("disk", 10_240.0), ("mem", 1024.0)])[..]
        );
    }

    #[test]
    fn a_name_that_is_given_is_not_detected_even_as_zero() {
        let names = |text: &str| {
            complete(text, "*", &HOST)
                .unwrap()
                .names()
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(names("cpus:0;ports:[80-81]"), ["disk", "mem", "ports"]);
        assert_eq!(
            complete("ports:[80-81]", "*", &HOST)
                .unwrap()
                .ports()
                .count(),
            2
        );
        assert_eq!(
            names(
                r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":0}},{"name":"mem","type":"SCALAR","scalar":{"value":64}}]"#
            ),
            ["disk", "mem", "ports"]
        );
    }

    #[test]
    fn what_names_no_role_gets_the_default_one() {
        let resources = complete("cpus:1;mem(*):64;disk(dev):10", "prod", &HOST).unwrap();
        assert!(resources.reservation_roles().contains("prod"));
        assert!(resources.reservation_roles().contains("dev"));
    }

    #[test]
    fn disks_and_gpus_must_fit_the_host() {
        let dir = tempfile::tempdir().unwrap();
        let disk = |kind: &str, root: &Path| {
            format!(
                r#"[{{"name":"disk","type":"SCALAR","scalar":{{"value":10}},"disk":{{"source":{{"type":"{kind}","{}":{{"root":"{}"}}}}}}}}]"#,
                kind.to_lowercase(),
                root.display()
            )
        };
        let path = dir.path().join("a/b");
        detect(Some(&disk("PATH", &path)), "*", dir.path()).unwrap();
        assert!(path.is_dir());
        let error = detect(Some(&disk("MOUNT", &path)), "*", dir.path()).unwrap_err();
        assert!(error.to_string().contains("not a mount point"), "{error}");
        assert!(detect(Some("gpus:1.5"), "*", dir.path()).is_err());
        assert!(detect(Some("cpus:x"), "*", dir.path()).is_err());
    }

    #[test]
    fn this_host_has_something_to_offer() {
        let dir = tempfile::tempdir().unwrap();
        let resources = detect(None, "*", &dir.path().join("new")).unwrap();
        assert_eq!(
            resources.names().into_iter().collect::<Vec<_>>(),
            ["cpus", "disk", "mem", "ports"]
        );
        assert!(dir.path().join("new").is_dir());
    }
}
