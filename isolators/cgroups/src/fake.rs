//! A directory that looks like a host's cgroup hierarchies, for the tests of this crate.

use std::{fs, path::PathBuf, sync::Arc};

use mesos_isolator_api::{IsolatorConfig, LimitValue, Limits};
use mesos_isolator_linux::{Hierarchies, mountinfo};
use mesos_types::{ContainerId, Resource, Resources, Scalar};

use crate::CgroupSettings;

pub(crate) struct FakeHost {
    dir: tempfile::TempDir,
    v2: bool,
    runtime: tokio::runtime::Runtime,
}

impl FakeHost {
    pub(crate) fn v1() -> Self {
        Self::new(false)
    }

    pub(crate) fn v2() -> Self {
        Self::new(true)
    }

    fn new(v2: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        if v2 {
            fs::write(
                dir.path().join("cgroup.controllers"),
                "cpuset cpu io memory pids",
            )
            .unwrap();
        } else {
            for name in ["cpu", "cpuacct", "memory"] {
                fs::create_dir(dir.path().join(name)).unwrap();
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Self { dir, v2, runtime }
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn settings(&self) -> CgroupSettings {
        let base = self.dir.path();
        let table = if self.v2 {
            format!("1 0 0:1 / {} rw - cgroup2 cgroup2 rw\n", base.display())
        } else {
            ["cpu", "cpuacct", "memory"]
                .map(|name| {
                    format!(
                        "1 0 0:1 / {}/{name} rw - cgroup cgroup rw,{name}\n",
                        base.display()
                    )
                })
                .concat()
        };
        CgroupSettings {
            hierarchies: Arc::new(Hierarchies::from_mounts(&mountinfo::parse(&table), base)),
            root: "mesos".to_owned(),
            enable_cfs: false,
            limit_swap: false,
            revocable_cpu_low_priority: true,
            host_memory: 4 << 30,
        }
    }

    /// The directories of container `c`.
    fn places(&self) -> Vec<PathBuf> {
        let base = self.dir.path();
        if self.v2 {
            vec![base.join("mesos/c")]
        } else {
            ["cpu", "cpuacct", "memory"]
                .map(|name| base.join(name).join("mesos/c"))
                .to_vec()
        }
    }

    /// Sets a file of container `c`, in every hierarchy.
    pub(crate) fn write(&self, file: &str, text: &str) {
        for place in self.places() {
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join(file), text).unwrap();
        }
    }

    /// Those of `files` that container `c` has, on one line.
    pub(crate) fn show(&self, files: &[&str]) -> String {
        let found: Vec<String> = files
            .iter()
            .flat_map(|file| self.places().into_iter().map(move |place| (file, place)))
            .filter_map(|(file, place)| {
                let text = fs::read_to_string(place.join(file)).ok()?;
                Some(format!("{file}={}", text.trim_end()))
            })
            .collect();
        found.join(" ") + "\n"
    }

    pub(crate) fn config(&self, id: &ContainerId, request: &str, limits: Limits) -> IsolatorConfig {
        IsolatorConfig {
            id: id.clone(),
            resources: resources(request),
            limits,
            sandbox: self.dir.path().to_owned(),
            user: None,
            container: None,
            command_task: true,
        }
    }
}

/// `name:amount;name{REV}:amount`
pub(crate) fn resources(text: &str) -> Resources {
    text.split(';')
        .map(|item| {
            let (name, amount) = item.split_once(':').unwrap();
            let mut resource = Resource::scalar(name.trim_end_matches("{REV}"), scalar(amount));
            if name.ends_with("{REV}") {
                Arc::make_mut(&mut resource.meta).revocable = true;
            }
            resource
        })
        .collect()
}

pub(crate) fn limit(text: &str) -> LimitValue {
    if text == "inf" {
        LimitValue::Infinite
    } else {
        LimitValue::Finite(scalar(text))
    }
}

fn scalar(text: &str) -> Scalar {
    Scalar::from_f64(text.parse().unwrap()).unwrap()
}
