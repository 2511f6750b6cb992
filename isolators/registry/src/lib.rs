//! From `--isolation` to isolators: the names, their order, and what is added by itself.

#![forbid(unsafe_code)]

mod settings;
mod table;

pub use settings::IsolationSettings;
pub use table::{Entry, TABLE};

use std::sync::Arc;

use mesos_isolator_api::Isolator;
use mesos_isolator_linux::CgroupError;

/// `--isolation` cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Mesos does not have it either, or it is misspelt.
    #[error("Unknown or unsupported isolator `{name}` in --isolation; known: {known}")]
    Unknown {
        /// As given.
        name: String,
        /// All names and aliases.
        known: String,
    },
    /// Mesos has it, this version does not.
    #[error("isolator `{name}` in --isolation is not built yet; known: {known}")]
    NotBuilt {
        /// As given.
        name: String,
        /// All names and aliases.
        known: String,
    },
    /// Named twice, perhaps by an alias.
    #[error("isolator `{name}` is in --isolation more than once")]
    Duplicate {
        /// Its own name.
        name: &'static str,
    },
    /// Two that exclude each other.
    #[error("--isolation may hold one `filesystem/*` isolator, not both `{first}` and `{second}`")]
    TwoFilesystems {
        /// One.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// It only works together with another one.
    #[error("isolator `{name}` in --isolation needs `{whole}` there too")]
    PartOf {
        /// As given.
        name: &'static str,
        /// Which it is part of.
        whole: &'static str,
    },
    /// The agent is not privileged enough.
    #[error(
        "isolator `{name}` of --isolation needs the capability {capability}; run the agent as root with it"
    )]
    Capability {
        /// Its own name.
        name: &'static str,
        /// Which the agent lacks.
        capability: caps::Capability,
    },
    /// The host lacks what it needs.
    #[error("isolator `{name}` of --isolation cannot work on this host")]
    Host {
        /// Its own name.
        name: &'static str,
        /// Which mount is missing, or what the kernel refused.
        source: CgroupError,
    },
}

/// The entries that `--isolation` stands for, in launch order whatever the order in the flag, with
/// `filesystem/posix` added when there is no `filesystem/*`.
///
/// # Errors
/// A name that is not known, one named twice, two file systems.
pub fn resolve(isolation: &str) -> Result<Vec<&'static Entry>, RegistryError> {
    let mut wanted: Vec<&'static str> = Vec::new();
    let mut parts = Vec::new();
    for name in isolation
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        if let Some(part) = table::PARTS.iter().find(|(part, _)| *part == name) {
            parts.push(part);
            continue;
        }
        for name in table::expand(name) {
            let Some(entry) = table::find(name) else {
                let (name, known) = (name.to_owned(), table::known());
                return Err(if table::NOT_BUILT.contains(&name.as_str()) {
                    RegistryError::NotBuilt { name, known }
                } else {
                    RegistryError::Unknown { name, known }
                });
            };
            if wanted.contains(&entry.name) {
                return Err(RegistryError::Duplicate { name: entry.name });
            }
            wanted.push(entry.name);
        }
    }
    if let Some((name, whole)) = parts.into_iter().find(|(_, whole)| !wanted.contains(whole)) {
        return Err(RegistryError::PartOf { name, whole });
    }
    let filesystems: Vec<&'static str> = wanted
        .iter()
        .copied()
        .filter(|name| name.starts_with("filesystem/"))
        .collect();
    match filesystems[..] {
        [] => wanted.push("filesystem/posix"),
        [_] => {}
        [first, second, ..] => return Err(RegistryError::TwoFilesystems { first, second }),
    }
    Ok(TABLE
        .iter()
        .filter(|entry| wanted.contains(&entry.name))
        .collect())
}

/// Makes the isolators of `--isolation`, in launch order.
///
/// # Errors
/// As `resolve`; and when the host lacks what one needs, the missing mount by name.
pub fn build(settings: &IsolationSettings) -> Result<Vec<Arc<dyn Isolator>>, RegistryError> {
    resolve(&settings.isolation)?
        .into_iter()
        .map(|entry| {
            check_capabilities(entry, |capability| {
                // When the kernel does not say, the launch will.
                caps::has_cap(None, caps::CapSet::Effective, capability).unwrap_or(true)
            })?;
            (entry.build)(settings).map_err(|source| RegistryError::Host {
                name: entry.name,
                source,
            })
        })
        .collect()
}

fn check_capabilities(
    entry: &Entry,
    has: impl Fn(caps::Capability) -> bool,
) -> Result<(), RegistryError> {
    let missing = entry
        .needs
        .iter()
        .copied()
        .find(|capability| !has(*capability));
    missing.map_or(Ok(()), |capability| {
        Err(RegistryError::Capability {
            name: entry.name,
            capability,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(isolation: &str) -> Vec<&'static str> {
        resolve(isolation)
            .unwrap()
            .into_iter()
            .map(|entry| entry.name)
            .collect()
    }

    #[test]
    fn the_order_in_the_flag_does_not_matter() {
        let expected = [
            "filesystem/linux",
            "cgroups/cpu",
            "cgroups/mem",
            "namespaces/pid",
            "disk/du",
        ];
        assert_eq!(
            names("disk/du,namespaces/pid,cgroups/mem,filesystem/linux,cgroups/cpu"),
            expected
        );
        assert_eq!(
            names(" cgroups , filesystem/linux,posix/disk,namespaces/pid"),
            expected
        );
    }

    #[test]
    fn aliases_and_additions_are_those_of_mesos() {
        assert_eq!(names(""), ["filesystem/posix"]);
        assert_eq!(
            names("process"),
            ["filesystem/posix", "posix/cpu", "posix/mem"]
        );
        assert_eq!(
            names("cgroups"),
            ["filesystem/posix", "cgroups/cpu", "cgroups/mem"]
        );
        assert_eq!(names("posix/disk"), ["filesystem/posix", "disk/du"]);
        assert_eq!(
            names("filesystem/linux,volume/host_path"),
            ["filesystem/linux"]
        );
    }

    #[test]
    fn what_cannot_be_had_is_named_with_what_can() {
        let error = |isolation| resolve(isolation).unwrap_err().to_string();
        assert_eq!(
            error("cgroups/cpuu"),
            "Unknown or unsupported isolator `cgroups/cpuu` in --isolation; known: \
             filesystem/posix, filesystem/linux, posix/cpu, posix/mem, cgroups/cpu, cgroups/mem, \
             namespaces/pid, disk/du, process, cgroups, posix/disk"
        );
        assert!(
            error("network/cni")
                .starts_with("isolator `network/cni` in --isolation is not built yet")
        );
        assert_eq!(
            error("volume/host_path"),
            "isolator `volume/host_path` in --isolation needs `filesystem/linux` there too"
        );
        assert_eq!(
            error("cgroups/cpu,cgroups"),
            "isolator `cgroups/cpu` is in --isolation more than once"
        );
        assert_eq!(
            error("filesystem/linux,filesystem/posix"),
            "--isolation may hold one `filesystem/*` isolator, not both `filesystem/linux` and \
             `filesystem/posix`"
        );
    }

    #[test]
    fn an_agent_without_the_capability_is_told_which() {
        let of = |name| table::find(name).unwrap();
        assert!(check_capabilities(of("posix/cpu"), |_| false).is_ok());
        assert!(check_capabilities(of("namespaces/pid"), |_| true).is_ok());
        let error = check_capabilities(of("namespaces/pid"), |_| false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "isolator `namespaces/pid` of --isolation needs the capability CAP_SYS_ADMIN; run the \
             agent as root with it"
        );
    }

    #[test]
    fn a_host_without_the_mount_is_told_which() {
        let base = tempfile::tempdir().unwrap();
        let settings = IsolationSettings {
            isolation: "cgroups/mem".to_owned(),
            // No hierarchy of this host is there.
            hierarchies: Arc::new(mesos_isolator_linux::Hierarchies::from_mounts(
                &[],
                base.path(),
            )),
            ..IsolationSettings::for_host("/sys/fs/cgroup".as_ref(), base.path()).unwrap()
        };
        let Err(error) = build(&settings) else {
            panic!("built without a hierarchy")
        };
        assert_eq!(
            error.to_string(),
            "isolator `cgroups/mem` of --isolation cannot work on this host"
        );
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            cause.contains("mount -t cgroup -o memory cgroup"),
            "{cause}"
        );
    }
}
