//! A container's directory under `--runtime_dir`: what a restarted agent reads.
//!
//! `containers/<id>/`: `config` (text, whose container it is), `launch_info` (what the helper
//! does), `pid` (first process, start time, boot: written by the helper before the task may run),
//! `status` (raw wait status as text, written by the helper at the task's end), `termination`
//! (only when a bound ended it: written before the cgroups that prove it go away). The directory
//! is made before anything else and removed last, so it names every process we ever started.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use mesos_containerizer_api::{ContainerConfig, Limitation};
use mesos_containerizer_helper::{LAUNCH_INFO, PID, STATUS};
use mesos_isolator_linux::ProcessKey;
use mesos_types::{ContainerId, Format, Resources};
use mesos_wire::v1::{self, task_status::Reason};

/// All containers of one agent.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeDir {
    containers: PathBuf,
}

impl RuntimeDir {
    pub(crate) fn new(runtime_dir: &Path) -> Self {
        Self {
            containers: runtime_dir.join("containers"),
        }
    }

    pub(crate) fn container(&self, id: &ContainerId) -> ContainerDir {
        ContainerDir {
            path: self.containers.join(id.value()),
        }
    }

    /// Ids of the containers that have a directory. None when there is no directory at all.
    pub(crate) fn list(&self) -> io::Result<Vec<ContainerId>> {
        let entries = match fs::read_dir(&self.containers) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                let id = ContainerId::from(name);
                if entry.file_type()?.is_dir() && id.validate().is_ok() {
                    ids.push(id);
                }
            }
        }
        Ok(ids)
    }

    /// Where it is, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.containers
    }
}

/// One container's.
#[derive(Debug, Clone)]
pub(crate) struct ContainerDir {
    path: PathBuf,
}

impl ContainerDir {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// The intent to run this container, on disk before anything of it exists.
    pub(crate) fn create(&self, config: &ContainerConfig) -> io::Result<()> {
        if let Some(parent) = self.path.parent() {
            fs::create_dir_all(parent)?;
        }
        DirBuilder::new().mode(0o755).create(&self.path)?;
        let identity = &config.identity;
        let task = identity
            .task
            .as_ref()
            .map(|task| task.as_str())
            .unwrap_or_default();
        let text = format!(
            "container={}\nagent={}\nframework={}\nexecutor={}\ntask={task}\nsandbox={}\n",
            config.id,
            identity.agent,
            identity.framework,
            identity.executor,
            config.sandbox.display(),
        );
        self.write("config", text.as_bytes())
    }

    pub(crate) fn launch_info(&self) -> PathBuf {
        self.path.join(LAUNCH_INFO)
    }

    pub(crate) fn write_launch_info(&self, bytes: &[u8]) -> io::Result<()> {
        self.write(LAUNCH_INFO, bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(self.path.join(name))?.write_all(bytes)
    }

    /// Whose it is, on one line, as far as it was written.
    pub(crate) fn describe(&self) -> String {
        let text = fs::read_to_string(self.path.join("config")).unwrap_or_default();
        text.lines().collect::<Vec<_>>().join(" ")
    }

    /// The first process, if it got as far as being written down.
    pub(crate) fn pid(&self) -> Option<ProcessKey> {
        fs::read_to_string(self.path.join(PID)).ok()?.parse().ok()
    }

    /// Raw wait status of the task; `None`: it was not written.
    pub(crate) fn status(&self) -> Option<i32> {
        fs::read_to_string(self.path.join(STATUS))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Whether the task was let go, so that it may have run.
    pub(crate) fn was_released(&self) -> bool {
        fs::metadata(self.path.join(STATUS)).is_ok_and(|file| file.len() > 0)
    }

    /// Keeps why a bound ended the container until the agent has taken it over.
    pub(crate) fn write_limitation(&self, limitation: &Limitation) -> io::Result<()> {
        let record = v1::TaskStatus {
            reason: Some(limitation.reason.into()),
            message: Some(limitation.message.clone()),
            limitation: Some(v1::TaskResourceLimitation {
                resources: limitation.resources.to_wire(Format::PostRefinement),
            }),
            ..v1::TaskStatus::default()
        };
        let temporary = "termination.new";
        self.write(temporary, &mesos_wire::protobuf::to_vec(&record))?;
        fs::rename(self.path.join(temporary), self.path.join("termination"))
    }

    /// The reverse.
    pub(crate) fn limitation(&self) -> Option<Limitation> {
        let bytes = fs::read(self.path.join("termination")).ok()?;
        let record: v1::TaskStatus = mesos_wire::protobuf::from_slice(&bytes).ok()?;
        let resources = record.limitation.map(|l| l.resources).unwrap_or_default();
        Some(Limitation {
            reason: Reason::try_from(record.reason?).ok()?,
            message: record.message?,
            resources: Resources::from_wire(&resources).ok()?,
        })
    }

    /// Nothing more is to be known about it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        // By name is half the work of looking; what else may be there is looked for after.
        for name in ["config", LAUNCH_INFO, PID, STATUS] {
            let _not_there = fs::remove_file(self.path.join(name));
        }
        if fs::remove_dir(&self.path).is_ok() {
            return Ok(());
        }
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
