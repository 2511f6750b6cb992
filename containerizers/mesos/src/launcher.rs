//! Knows which processes belong to a container, and ends them all.

use std::path::{Path, PathBuf};

use mesos_isolator_linux::{
    Cgroup, CgroupError, CgroupVersion, Hierarchies, PidFd,
    kill::{self, Left},
    process,
};
use mesos_types::ContainerId;

/// How processes are tracked: `--launcher`.
#[derive(Debug, Clone)]
pub enum Launcher {
    /// A freezer cgroup per container, on cgroup v1.
    Freezer {
        /// Holds the containers'.
        root: Cgroup,
        /// Where systemd is told to look for the containers' processes: not in the agent's unit,
        /// which it may end as a whole.
        slice: Option<Cgroup>,
    },
    /// A cgroup per container, on cgroup v2; its processes are in its child `leaf`.
    Unified(Cgroup),
    /// The tree of processes beneath the first one. A process that leaves it, by a new parent
    /// after its own has ended, stays with the first one, which adopts it.
    Tree,
}

/// There when systemd runs this host: sd_booted(3).
const SYSTEMD: &str = "/run/systemd/system";
/// Source: `MESOS_EXECUTORS_SLICE` in `linux/systemd.hpp` of Apache Mesos.
const SLICE: &str = "mesos_executors.slice";

/// The slice for containers in systemd's own v1 hierarchy, if there is one.
fn systemd_slice(hierarchies: &Hierarchies) -> Result<Option<Cgroup>, CgroupError> {
    let Ok(top) = hierarchies.controller("name=systemd") else {
        return Ok(None);
    };
    let slice = top.child(SLICE);
    slice.create_all()?;
    Ok(Some(slice))
}

impl Launcher {
    /// `--launcher=linux`: by cgroup, `root` being `--cgroups_root`. Errs when the host lacks the
    /// hierarchy (the error names the mount) or this process may not use it.
    pub fn linux(hierarchies: &Hierarchies, root: &str) -> Result<Self, CgroupError> {
        Ok(match hierarchies.version() {
            CgroupVersion::V1 => Self::Freezer {
                root: hierarchies.prepare_root("freezer", root, &[])?,
                slice: if Path::new(SYSTEMD).is_dir() {
                    systemd_slice(hierarchies)?
                } else {
                    None
                },
            },
            CgroupVersion::V2 => Self::Unified(hierarchies.prepare_root("", root, &[])?),
        })
    }

    /// `--launcher=posix`: needs no privilege.
    pub fn posix() -> Self {
        Self::Tree
    }

    /// Makes a container's cgroup; the files its first process enters it by.
    pub(crate) fn prepare(&self, id: &ContainerId) -> Result<Vec<PathBuf>, CgroupError> {
        let Some(cgroup) = self.cgroup(id) else {
            return Ok(Vec::new());
        };
        cgroup.create()?;
        let inner = match self {
            Self::Unified(_) => {
                let leaf = cgroup.child("leaf");
                leaf.create()?;
                leaf
            }
            Self::Freezer { .. } | Self::Tree => cgroup,
        };
        let mut files = vec![inner.file("cgroup.procs")];
        if let Self::Freezer {
            slice: Some(slice), ..
        } = self
        {
            files.push(slice.file("cgroup.procs"));
        }
        Ok(files)
    }

    /// The container's own cgroup.
    pub(crate) fn cgroup(&self, id: &ContainerId) -> Option<Cgroup> {
        match self {
            Self::Freezer { root, .. } | Self::Unified(root) => Some(root.child(id.value())),
            Self::Tree => None,
        }
    }

    /// Names of cgroups beneath the root, whoever made them.
    pub(crate) fn names(&self) -> Vec<String> {
        let (Self::Freezer { root, .. } | Self::Unified(root)) = self else {
            return Vec::new();
        };
        let Ok(entries) = std::fs::read_dir(root.path()) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    /// Sends a signal to every process of the container but its first one, which is ours.
    pub(crate) fn signal(
        &self,
        id: &ContainerId,
        first: u32,
        signal: i32,
    ) -> Result<usize, CgroupError> {
        match self.cgroup(id) {
            Some(cgroup) => kill::signal_all(&cgroup, signal, &[first]),
            None => {
                let tree = process::tree(first);
                let open: Vec<PidFd> = tree
                    .into_iter()
                    .filter(|pid| *pid != first)
                    .filter_map(|pid| PidFd::open(pid).ok())
                    .collect();
                Ok(open.iter().filter(|fd| fd.signal(signal).is_ok()).count())
            }
        }
    }

    /// One round of killing everything; `first` is killed by its own descriptor besides.
    pub(crate) fn kill_round(
        &self,
        id: &ContainerId,
        first: Option<u32>,
        round: u32,
    ) -> Result<Left, CgroupError> {
        match self {
            Self::Freezer { root, .. } => kill::round_v1(&root.child(id.value()), round),
            Self::Unified(root) => kill::round_v2(&root.child(id.value())),
            Self::Tree => {
                let Some(first) = first else {
                    return Ok(Left::Nothing);
                };
                // The first process last: it is what keeps the orphans findable.
                let killed = self.signal(id, first, 9)?;
                Ok(if killed == 0 {
                    Left::Nothing
                } else {
                    Left::Processes(killed)
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mesos_isolator_linux::mountinfo;

    use super::*;

    #[test]
    fn a_container_is_killable_first_and_out_of_the_agents_unit() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().display();
        for name in ["freezer", "systemd"] {
            std::fs::create_dir(base.path().join(name)).unwrap();
        }
        let table = format!(
            "1 0 0:1 / {path}/freezer rw - cgroup cgroup rw,freezer\n\
             2 0 0:2 / {path}/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
        );
        let host = Hierarchies::from_mounts(&mountinfo::parse(&table), base.path());
        let launcher = Launcher::Freezer {
            root: host.prepare_root("freezer", "mesos", &[]).unwrap(),
            slice: systemd_slice(&host).unwrap(),
        };
        assert_eq!(
            launcher.prepare(&"c".into()).unwrap(),
            [
                base.path().join("freezer/mesos/c/cgroup.procs"),
                base.path()
                    .join("systemd/mesos_executors.slice/cgroup.procs"),
            ]
        );
        assert_eq!(launcher.names(), ["c"]);
    }
}
