//! How fast this containerizer starts and ends containers, beside crun, runc and docker.
//!
//! Build the helper first, then run as root:
//! `cargo build --release -p mesos-containerizer-helper && cargo run --release -p
//! mesos-containerizer-mesos --example launch_bench [CYCLES]`. Prints figures, asserts none.
//! *Start*: `launch` called until the exec of the task has happened. *Cycle*: until its end has been
//! answered by `wait`, its cgroups are gone and its runtime directory is removed by `forget`.

mod memory;
mod peers;
mod samples;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use mesos_containerizer_api::{
    ContainerConfig, Containerizer as _, FetchError, FetchRequest, Fetcher, Identity, LaunchResult,
};
use mesos_containerizer_mesos::{Launcher, MesosContainerizer, MesosSettings, find_helper};
use mesos_isolator_registry::IsolationSettings;
use mesos_types::{ContainerId, Limits, parse_resources};
use mesos_wire::v1;
use samples::Samples;

const ISOLATION: &str = "cgroups/cpu,cgroups/mem,namespaces/pid,filesystem/linux";
const WARM_UP: usize = 5;
const ROUNDS: usize = 5;

struct NoFetcher;

#[async_trait]
impl Fetcher for NoFetcher {
    async fn fetch(&self, _request: FetchRequest) -> Result<(), FetchError> {
        Ok(())
    }
}

/// Where one run of the benchmark works.
pub struct Place {
    dir: tempfile::TempDir,
    root: String,
    containerizer: MesosContainerizer,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Place {
    fn new() -> Result<Self, Failure> {
        let dir = tempfile::tempdir()?;
        std::fs::create_dir(dir.path().join("sandbox"))?;
        let root = format!("mesos-launch-bench-{}", std::process::id());
        let settings = IsolationSettings {
            isolation: ISOLATION.to_owned(),
            cgroups_root: root.clone(),
            cgroups_enable_cfs: true,
            ..IsolationSettings::for_host(Path::new("/sys/fs/cgroup"), dir.path())?
        };
        let containerizer = MesosContainerizer::new(MesosSettings {
            runtime_dir: dir.path().join("run"),
            helper: match std::env::var_os("MESOS_CONTAINERIZER") {
                Some(path) => PathBuf::from(path),
                None => find_helper(None)?,
            },
            launcher: Launcher::linux(&settings.hierarchies, &root)?,
            isolators: mesos_isolator_registry::build(&settings)?,
            fetcher: Arc::new(NoFetcher),
            enable_cfs: true,
            host_cpus: 2.0,
            host_memory: settings.host_memory,
        });
        Ok(Self {
            dir,
            root,
            containerizer,
        })
    }

    /// A task that runs `program` with `arguments`, 1 cpu and 64 MiB.
    pub fn task(&self, program: &str, arguments: &[&str]) -> Result<ContainerConfig, Failure> {
        Ok(ContainerConfig {
            id: ContainerId::random(),
            identity: Identity {
                agent: "agent".into(),
                framework: "framework".into(),
                executor: "task".into(),
                task: Some("task".into()),
            },
            command: v1::CommandInfo {
                shell: Some(false),
                value: Some(program.to_owned()),
                arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
                ..v1::CommandInfo::default()
            },
            container: None,
            resources: parse_resources("cpus:1;mem:64", "*")?,
            limits: Limits::default(),
            sandbox: self.dir.path().join("sandbox"),
            user: None,
            environment: BTreeMap::new(),
            kill_grace: Duration::from_secs(3),
        })
    }

    /// One container from its launch to the removal of its last trace; start and cycle.
    async fn cycle(&self) -> Result<(Duration, Duration), Failure> {
        let config = self.task("/bin/true", &[])?;
        let id = config.id.clone();
        let begin = Instant::now();
        let LaunchResult::Launched(_) = self.containerizer.launch(config).await? else {
            return Err("the container was not launched".into());
        };
        let start = begin.elapsed();
        let termination = self.containerizer.wait(&id).await?;
        self.containerizer.forget(&id).await?;
        let cycle = begin.elapsed();
        match termination.and_then(|termination| termination.status) {
            Some(0) => Ok((start, cycle)),
            status => Err(format!("/bin/true ended with {status:?}").into()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for controller in ["cpu", "cpuacct", "memory", "freezer", ""] {
            let path = Path::new("/sys/fs/cgroup")
                .join(controller)
                .join(&self.root);
            let _not_there = std::fs::remove_dir(path);
        }
    }
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, rest @ ..] = &arguments[..]
        && mode == "peer"
    {
        // In a mount namespace of its own; see `peers.rs`.
        return peers::run_one(rest);
    }
    let cycles = arguments
        .first()
        .and_then(|text| text.parse().ok())
        .unwrap_or(300_usize);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let place = Arc::new(Place::new()?);

    println!("mesos containerizer, {ISOLATION}, /bin/true");
    // In rounds, so that ours and theirs see the same load of the machine.
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        let (start, cycle) = runtime.block_on({
            let (place, cycles) = (place.clone(), cycles / ROUNDS);
            async move { tokio::spawn(one_after_another(place, cycles)).await? }
        })?;
        for peer in &mut rounds.peers {
            peer.round(&cycle);
        }
        rounds.start.append(start);
        rounds.cycle.append(cycle);
    }
    rounds.print();
    let rate = runtime.block_on(two_at_once(place.clone(), cycles))?;
    println!("  two at once: {rate:.0}/s");
    runtime
        .block_on(ends(&place))?
        .print("end of a task, from its kill to the answer of wait");
    memory::print(&runtime, &place)?;
    drop(runtime);
    drop(place);
    match peers::docker() {
        Ok(peer) => peer.print("docker run --rm"),
        Err(error) => println!("  docker: {error}"),
    }
    Ok(())
}

struct Rounds {
    start: Samples,
    cycle: Samples,
    peers: [Peer; 2],
}

impl Default for Rounds {
    fn default() -> Self {
        Self {
            start: Samples::default(),
            cycle: Samples::default(),
            peers: [Peer::new("crun", 0.5), Peer::new("runc", 0.15)],
        }
    }
}

impl Rounds {
    fn print(&self) {
        self.start.print("start");
        self.cycle.print("cycle");
        let rate = self.cycle.len() as f64 / self.cycle.total().as_secs_f64();
        println!("  one after another: {rate:.0}/s");
        for peer in &self.peers {
            peer.print();
        }
    }
}

/// Another runtime, and how our cycle compares with its run, round by round.
struct Peer {
    name: &'static str,
    goal: f64,
    samples: Samples,
    ratios: Vec<f64>,
    failure: Option<String>,
}

impl Peer {
    fn new(name: &'static str, goal: f64) -> Self {
        Self {
            name,
            goal,
            samples: Samples::default(),
            ratios: Vec::new(),
            failure: None,
        }
    }

    fn round(&mut self, ours: &Samples) {
        match peers::measure(self.name) {
            Ok(theirs) => {
                let ratio = ours.median().as_secs_f64() / theirs.median().as_secs_f64();
                self.ratios.push(ratio);
                self.samples.append(theirs);
            }
            Err(error) => self.failure = Some(error.to_string()),
        }
    }

    fn print(&self) {
        let name = self.name;
        if let Some(failure) = &self.failure {
            println!("  {name}: {failure}");
            return;
        }
        self.samples.print(&format!("{name} run"));
        let mut ratios = self.ratios.clone();
        ratios.sort_by(f64::total_cmp);
        println!(
            "  our cycle / {name} run: median of {} rounds {:.2}, best {:.2}, worst {:.2} (goal {})",
            ratios.len(),
            ratios[ratios.len() / 2],
            ratios[0],
            ratios[ratios.len() - 1],
            self.goal
        );
    }
}

async fn one_after_another(
    place: Arc<Place>,
    cycles: usize,
) -> Result<(Samples, Samples), Failure> {
    let (mut starts, mut all) = (Samples::default(), Samples::default());
    for n in 0..WARM_UP + cycles {
        let (start, cycle) = place.cycle().await?;
        if n >= WARM_UP {
            starts.push(start);
            all.push(cycle);
        }
    }
    Ok((starts, all))
}

/// How long after a task's death `wait` answers, with everything cleaned up.
async fn ends(place: &Place) -> Result<Samples, Failure> {
    let mut samples = Samples::default();
    for _ in 0..50 {
        let config = place.task("/bin/sleep", &["sleep", "1000"])?;
        let id = config.id.clone();
        place.containerizer.launch(config).await?;
        let begin = Instant::now();
        place.containerizer.kill(&id, 9).await?;
        place.containerizer.wait(&id).await?;
        samples.push(begin.elapsed());
        place.containerizer.forget(&id).await?;
    }
    Ok(samples)
}

async fn two_at_once(place: Arc<Place>, cycles: usize) -> Result<f64, Failure> {
    let begin = Instant::now();
    let one = tokio::spawn(one_after_another(place.clone(), cycles));
    let two = tokio::spawn(one_after_another(place, cycles));
    one.await??;
    two.await??;
    Ok((2 * (cycles + WARM_UP)) as f64 / begin.elapsed().as_secs_f64())
}
