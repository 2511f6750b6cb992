//! Which cgroup hierarchies this host has, and where.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    cgroup::{Cgroup, CgroupError},
    mountinfo::{self, MountPoint},
};

/// Which interface containers are limited through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupVersion {
    /// A hierarchy per controller, or per set of co-mounted ones.
    V1,
    /// One hierarchy.
    V2,
}

/// The cgroup file systems of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchies {
    base: PathBuf,
    /// Controller, or `name=...`, to mount point.
    v1: BTreeMap<String, PathBuf>,
    v2: Option<PathBuf>,
}

impl Hierarchies {
    /// Reads the mount table. `base` is `--cgroups_hierarchy`, `/sys/fs/cgroup`: the host is v2 if
    /// and only if a cgroup2 file system is mounted there, and hybrid hosts count as v1, as in
    /// Apache Mesos.
    pub fn detect(base: &Path) -> Result<Self, CgroupError> {
        let mounts = mountinfo::read().map_err(|source| CgroupError::Io {
            action: "read".to_owned(),
            path: PathBuf::from("/proc/self/mountinfo"),
            source,
        })?;
        Ok(Self::from_mounts(&mounts, base))
    }

    /// As `detect`, over a mount table at hand.
    pub fn from_mounts(mounts: &[MountPoint], base: &Path) -> Self {
        let mut found = Self {
            base: base.to_owned(),
            v1: BTreeMap::new(),
            v2: None,
        };
        for mount in mounts {
            match mount.fstype.as_str() {
                "cgroup2" if mount.target == base => found.v2 = Some(mount.target.clone()),
                "cgroup" => {
                    for option in &mount.super_options {
                        // Options that are no controllers do no harm: nobody asks for `rw`. One
                        // beneath `base` is preferred to a second mount of the same elsewhere.
                        let known = found.v1.get(option);
                        if known.is_none_or(|path| !path.starts_with(base)) {
                            found.v1.insert(option.clone(), mount.target.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// Whether containers are limited through v1 or v2.
    pub fn version(&self) -> CgroupVersion {
        if self.v2.is_some() {
            CgroupVersion::V2
        } else {
            CgroupVersion::V1
        }
    }

    /// Where `controller` is: its own mount on v1, the one tree on v2, where the controller must be
    /// listed in `cgroup.controllers`. The error names the missing mount.
    pub fn controller(&self, controller: &str) -> Result<Cgroup, CgroupError> {
        if let Some(tree) = &self.v2 {
            let root = Cgroup::at(tree);
            let listed = root.read("cgroup.controllers")?;
            if listed.split_whitespace().any(|name| name == controller) {
                return Ok(root);
            }
            return Err(CgroupError::NotMounted {
                controller: controller.to_owned(),
                remedy: format!(
                    "{} lists `{}`; a v1 mount that holds it, or the kernel's `cgroup_disable=`, \
                     keeps it away from cgroup v2",
                    root.file("cgroup.controllers").display(),
                    listed.trim()
                ),
            });
        }
        self.v1.get(controller).map(Cgroup::at).ok_or_else(|| {
            let target = self.base.join(controller);
            CgroupError::NotMounted {
                controller: controller.to_owned(),
                remedy: format!(
                    "no cgroup v1 hierarchy with it and no cgroup2 on {} is mounted; \
                     `mkdir -p {target} && mount -t cgroup -o {controller} cgroup {target}` mounts it",
                    self.base.display(),
                    target = target.display(),
                ),
            }
        })
    }

    /// The v2 tree, if this is a v2 host.
    pub fn unified(&self) -> Option<Cgroup> {
        self.v2.as_ref().map(Cgroup::at)
    }

    /// `<hierarchy of controller>/<root>`, made if need be; on v2 with `controllers` enabled all
    /// the way down to it, so that its children have their files.
    pub fn prepare_root(
        &self,
        controller: &str,
        root: &str,
        enable: &[&str],
    ) -> Result<Cgroup, CgroupError> {
        let root = root.trim_matches('/');
        let top = match &self.v2 {
            Some(tree) if enable.is_empty() => Cgroup::at(tree),
            _ => self.controller(controller)?,
        };
        let cgroup = top.child(root);
        cgroup.create_all()?;
        if self.v2.is_some() && !enable.is_empty() {
            let text: Vec<String> = enable.iter().map(|name| format!("+{name}")).collect();
            let text = text.join(" ");
            let mut level = top;
            level.write("cgroup.subtree_control", &text)?;
            for part in root.split('/').filter(|part| !part.is_empty()) {
                level = level.child(part);
                level.write("cgroup.subtree_control", &text)?;
            }
        }
        Ok(cgroup)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "/sys/fs/cgroup";

    fn hierarchies(lines: &[&str]) -> Hierarchies {
        Hierarchies::from_mounts(&mountinfo::parse(&lines.join("\n")), Path::new(BASE))
    }

    #[test]
    fn co_mounted_and_separate_controllers_are_found() {
        let host = hierarchies(&[
            "1 0 0:1 / /sys/fs/cgroup rw - tmpfs tmpfs rw",
            "2 1 0:2 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
            "3 1 0:3 / /mnt/memory rw - cgroup cgroup rw,memory",
            "4 1 0:3 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
            "5 1 0:4 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
        ]);
        assert_eq!(host.version(), CgroupVersion::V1, "hybrid is v1");
        let path = |name| host.controller(name).unwrap().path().display().to_string();
        assert_eq!(path("cpu"), "/sys/fs/cgroup/cpu,cpuacct");
        assert_eq!(path("cpuacct"), "/sys/fs/cgroup/cpu,cpuacct");
        assert_eq!(path("memory"), "/sys/fs/cgroup/memory");
        let error = host.controller("freezer").unwrap_err().to_string();
        assert!(
            error.contains("mount -t cgroup -o freezer cgroup /sys/fs/cgroup/freezer"),
            "{error}"
        );
    }

    #[test]
    fn v2_is_where_cgroup2_is_mounted_at_the_base() {
        let host = hierarchies(&["1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"]);
        assert_eq!(host.version(), CgroupVersion::V2);
    }

    #[test]
    fn v2_controllers_are_enabled_level_by_level() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        std::fs::write(base.join("cgroup.controllers"), "cpu memory\n").unwrap();
        let line = format!("1 0 0:1 / {} rw - cgroup2 cgroup2 rw", base.display());
        let host = Hierarchies::from_mounts(&mountinfo::parse(&line), base);
        let root = host.prepare_root("memory", "a/b", &["memory"]).unwrap();
        assert_eq!(root.path(), base.join("a/b"));
        for level in ["", "a", "a/b"] {
            let text = Cgroup::at(base.join(level))
                .read("cgroup.subtree_control")
                .unwrap();
            assert_eq!(text, "+memory", "at `{level}`");
        }
        let error = host.controller("io").unwrap_err().to_string();
        assert!(error.contains("lists `cpu memory`"), "{error}");
    }
}
