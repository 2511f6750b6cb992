//! One test's own corner of the host, and what must be true of it at the end.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use mesos_containerizer_api::{
    ContainerConfig, Containerizer as _, FetchError, FetchRequest, Fetcher, Identity, LaunchResult,
    Running, Termination,
};
use mesos_containerizer_mesos::{Launcher, MesosContainerizer, MesosSettings};
use mesos_isolator_api::Isolator;
use mesos_isolator_linux::{Cgroup, Hierarchies};
use mesos_isolator_registry::IsolationSettings;
use mesos_types::{ContainerId, Limits, Resources, parse_resources};
use mesos_wire::v1;

/// The isolation the agent is run with in production.
pub const FULL: &str = "cgroups/cpu,cgroups/mem,namespaces/pid,filesystem/linux,disk/du";

pub struct Host {
    path: PathBuf,
    _dir: tempfile::TempDir,
    /// Carries the name of the folder for temporary files, as all that a run of tests makes.
    root: String,
    isolation: String,
    posix_launcher: bool,
    pub fetcher: Arc<FakeFetcher>,
    pub extra: Vec<Arc<dyn Isolator>>,
}

/// Fetches nothing; can fail or stall.
#[derive(Debug, Default)]
pub struct FakeFetcher {
    pub stall: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl Fetcher for FakeFetcher {
    async fn fetch(&self, request: FetchRequest) -> Result<(), FetchError> {
        if self.stall.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Err(FetchError {
            uri: request.uris[0].value.clone(),
            message: "no such host".to_owned(),
        })
    }
}

/// Name of the folder for temporary files.
pub fn mark() -> String {
    let name = std::env::temp_dir();
    name.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

impl Host {
    /// The same corner, seen from another process: that of an agent which shall be killed.
    pub fn shared(dir: &str, root: &str) -> Self {
        let mut host = Self::new(FULL);
        (host.path, host.root) = (dir.into(), root.to_owned());
        host
    }

    /// What `shared` needs.
    pub fn share(&self) -> (&Path, &str) {
        (&self.path, &self.root)
    }

    pub fn new(isolation: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let dir = tempfile::tempdir().unwrap();
        Self {
            root: format!("{}-kernel-{}-{count}", mark(), std::process::id()),
            path: dir.path().to_owned(),
            _dir: dir,
            isolation: isolation.to_owned(),
            posix_launcher: false,
            fetcher: Arc::default(),
            extra: Vec::new(),
        }
    }

    pub fn without_cgroups() -> Self {
        let mut host = Self::new("posix/cpu,posix/mem");
        host.posix_launcher = true;
        host
    }

    fn hierarchies() -> Hierarchies {
        Hierarchies::detect(Path::new("/sys/fs/cgroup")).unwrap()
    }

    /// A containerizer as an agent has it after its start. Two at once are two lives of one agent.
    pub fn containerizer(&self) -> MesosContainerizer {
        let hierarchies = Arc::new(Self::hierarchies());
        let settings = IsolationSettings {
            isolation: self.isolation.clone(),
            hierarchies: hierarchies.clone(),
            cgroups_root: self.root.clone(),
            cgroups_enable_cfs: true,
            enforce_container_disk_quota: true,
            container_disk_watch_interval: Duration::from_millis(50),
            ..IsolationSettings::for_host(Path::new("/sys/fs/cgroup"), &self.path).unwrap()
        };
        let mut isolators = mesos_isolator_registry::build(&settings).unwrap();
        isolators.extend(self.extra.iter().cloned());
        MesosContainerizer::new(MesosSettings {
            runtime_dir: self.path.join("run"),
            helper: PathBuf::from(env!("CARGO_BIN_EXE_mesos-containerizer")),
            launcher: if self.posix_launcher {
                Launcher::posix()
            } else {
                Launcher::linux(&hierarchies, &self.root).unwrap()
            },
            isolators,
            fetcher: self.fetcher.clone(),
            enable_cfs: true,
            host_cpus: 2.0,
            host_memory: settings.host_memory,
        })
    }

    /// A command task with 1 cpu, 64 MiB and a sandbox of its own.
    pub fn shell(&self, line: &str) -> ContainerConfig {
        let id = ContainerId::random();
        let sandbox = self.path.join("sandboxes").join(id.value());
        std::fs::create_dir_all(&sandbox).unwrap();
        ContainerConfig {
            identity: Identity {
                agent: "agent".into(),
                framework: "framework".into(),
                executor: "task".into(),
                task: Some("task".into()),
            },
            command: v1::CommandInfo {
                value: Some(line.to_owned()),
                ..v1::CommandInfo::default()
            },
            container: None,
            resources: resources("cpus:1;mem:64"),
            limits: Limits::default(),
            sandbox,
            user: None,
            environment: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
            kill_grace: Duration::from_secs(3),
            id,
        }
    }

    /// As `shell`, without a shell.
    pub fn exec(&self, program: &str, argv: &[&str]) -> ContainerConfig {
        let mut config = self.shell(program);
        config.command.shell = Some(false);
        config.command.arguments = argv.iter().map(|&text| text.to_owned()).collect();
        config
    }

    /// A file of a container's cgroup. `controller` matters on v1 only.
    pub fn cgroup(&self, controller: &str, id: &ContainerId) -> Cgroup {
        let hierarchies = Self::hierarchies();
        let top = hierarchies
            .unified()
            .unwrap_or_else(|| hierarchies.controller(controller).unwrap());
        top.child(&self.root).child(id.value())
    }

    fn roots(&self) -> Vec<Cgroup> {
        let hierarchies = Self::hierarchies();
        if let Some(top) = hierarchies.unified() {
            return vec![top.child(&self.root)];
        }
        ["cpu", "cpuacct", "memory", "freezer"]
            .iter()
            .filter_map(|controller| hierarchies.controller(controller).ok())
            .map(|top| top.child(&self.root))
            .collect()
    }

    /// Names of containers in any cgroup hierarchy, and processes that run in a sandbox of ours.
    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for root in self.roots() {
            if let Ok(entries) = std::fs::read_dir(root.path()) {
                left.extend(
                    entries
                        .flatten()
                        .filter(|entry| entry.path().is_dir())
                        .map(|entry| entry.path().display().to_string()),
                );
            }
        }
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let cwd = std::fs::read_link(entry.path().join("cwd"));
            let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&arguments).into_owned();
            let ours = self.path.to_str().unwrap();
            if cwd.is_ok_and(|cwd| cwd.starts_with(&self.path)) || arguments.contains(ours) {
                left.push(format!("process {}: {arguments}", entry.path().display()));
            }
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        left.extend(
            mounts
                .lines()
                .filter(|line| line.contains(self.path.to_str().unwrap()))
                .map(str::to_owned),
        );
        if let Ok(entries) = std::fs::read_dir(self.path.join("run/containers")) {
            left.extend(
                entries
                    .flatten()
                    .map(|entry| entry.path().display().to_string()),
            );
        }
        left
    }

    /// Fails unless nothing is left of any container. Processes get a moment to leave /proc.
    pub async fn assert_clean(&self) {
        wait_for("nothing is left", || {
            let left = self.left();
            if left.is_empty() {
                Ok(())
            } else {
                Err(left.join("\n"))
            }
        })
        .await;
        for root in self.roots() {
            assert!(root.remove().unwrap(), "{} is busy", root.path().display());
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // After a failed test: as little as possible shall stay.
        for root in self.roots() {
            for round in 0..1000 {
                let nothing = mesos_isolator_linux::kill::Left::Nothing;
                if mesos_isolator_linux::kill::round_v2(&root).is_ok_and(|left| left == nothing)
                    && root.remove().is_ok_and(|gone| gone)
                {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1 + round / 100));
            }
        }
    }
}

pub fn resources(text: &str) -> Resources {
    parse_resources(text, "*").unwrap()
}

pub async fn launched(containerizer: &MesosContainerizer, config: &ContainerConfig) -> Running {
    match containerizer.launch(config.clone()).await.unwrap() {
        LaunchResult::Launched(running) => running,
        other => panic!("{other:?}"),
    }
}

/// Waits for the end, as the agent does, and forgets.
pub async fn ended(containerizer: &MesosContainerizer, id: &ContainerId) -> Termination {
    let wait = tokio::time::timeout(Duration::from_secs(30), containerizer.wait(id));
    let termination = wait
        .await
        .expect("the container ends")
        .unwrap()
        .expect("it is known");
    containerizer.forget(id).await.unwrap();
    assert_eq!(containerizer.wait(id).await.unwrap(), None, "forgotten");
    termination
}

/// Launches, waits, forgets.
pub async fn run(containerizer: &MesosContainerizer, config: &ContainerConfig) -> Termination {
    launched(containerizer, config).await;
    ended(containerizer, &config.id).await
}

pub fn output(config: &ContainerConfig, name: &str) -> String {
    std::fs::read_to_string(config.sandbox.join(name)).unwrap_or_default()
}

/// Polls for 20 seconds, then fails with the last state.
#[track_caller]
pub fn wait_for<'a, T, S>(
    what: &'a str,
    mut look: impl FnMut() -> Result<T, S> + 'a,
) -> impl Future<Output = T> + 'a
where
    S: std::fmt::Display + 'a,
    T: 'a,
{
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match look() {
                Ok(found) => return found,
                Err(state) if Instant::now() > deadline => panic!("{caller}: {what}: {state}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    }
}

/// Waits until the task has written this to its standard output.
pub async fn wait_for_output(config: &ContainerConfig, text: &str) {
    wait_for("the task writes", || {
        let found = output(config, "stdout");
        if found.contains(text) {
            Ok(())
        } else {
            Err(found)
        }
    })
    .await;
}
