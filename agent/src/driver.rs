//! The task that owns the core, and what is around it: effects, recovery, the connection to the master.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mesos_containerizer_api::SharedContainerizer;
use mesos_detector::Detector;
use mesos_flags::agent::Recover;
use mesos_gc::{Gc, GcConfig};
use mesos_http::Authorizer;
use mesos_types::AgentId;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint::identity,
    config::AgentConfig,
    control,
    core::{Core, Effect, Event, Exit, Now, chain},
    effects::Effector,
    executor_api::Executors,
    garbage::Garbage,
    leftovers::leftovers,
    startup::Loaded,
    state::{Phase, Snapshots},
    volumes,
};

/// Events that may wait for the core.
const EVENTS: usize = 8192;
/// Batches of effects that may wait to be carried out.
const BATCHES: usize = 256;
/// Events that the core takes before it publishes its state.
const EVENTS_AT_ONCE: usize = 256;
/// What monotonic time starts with, so that there is a time before the start of the process.
const EPOCH: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What an agent is made of.
pub struct Parts {
    /// Its settings.
    pub config: Arc<AgentConfig>,
    /// What an earlier run left, see [`load`](crate::load).
    pub loaded: Loaded,
    /// What runs its containers.
    pub containerizer: SharedContainerizer,
    /// Who may run what.
    pub authorizer: Arc<dyn Authorizer>,
}

/// A running agent. Dropping it does not end it; the token given to [`start`](Self::start) does.
#[derive(Debug)]
pub struct Agent {
    snapshots: Snapshots,
    executors: Executors,
    gc: Gc,
    events: mpsc::Sender<Event>,
    exit: watch::Receiver<Option<Exit>>,
}

impl Agent {
    /// Starts recovery, and then everything else, on the present runtime. When `stop` fires the agent
    /// ends as if killed: its containers live on.
    pub fn start(parts: Parts, stop: CancellationToken) -> Self {
        let Parts {
            config,
            loaded,
            containerizer,
            authorizer,
        } = parts;
        let clock = Clock::start();
        let id = loaded.agent.id.as_ref().map(AgentId::from);
        let core = Core::new(
            config.clone(),
            loaded.agent,
            loaded.boot_id.clone(),
            clock.now(),
        )
        .authorizer(authorizer)
        .restore(loaded.image, loaded.rebooted)
        .restore_resources(loaded.resources, loaded.resource_image);
        let snapshots = Snapshots::new(core.state().clone());
        let (events, inbox) = mpsc::channel(EVENTS);
        let (batches, work) = mpsc::channel(BATCHES);
        let (exit, exited) = watch::channel(None);
        let executors = Executors::new(events.clone());
        let gc = Gc::start(GcConfig {
            work_dir: config.work_dir.clone(),
            gc_delay: config.gc_delay,
            disk_headroom: config.gc_disk_headroom,
            disk_watch_interval: config.disk_watch_interval,
        });
        let (link, commands) = control::link();
        let recovery = Recovery {
            known: core.known_containers(),
            live: core
                .state()
                .executors()
                .map(|(_, executor)| executor.sandbox.clone())
                .collect(),
            left_aside: volumes::left_aside(&config.work_dir, &core.state().resources),
            id,
            boot_id: loaded.boot_id,
            config: config.clone(),
            containerizer: containerizer.clone(),
            gc: gc.clone(),
            commands,
        };
        Effector {
            runtime: tokio::runtime::Handle::current(),
            work_dir: config.work_dir.clone(),
            journal: loaded.journal,
            resources: loaded.resource_journal,
            containerizer,
            events: events.clone(),
            link,
            executors: executors.clone(),
            garbage: Garbage::start(gc.clone()),
            exit: exit.clone(),
            stop: stop.clone(),
            lock: loaded.lock,
        }
        .start(work);
        tokio::spawn(drive(
            core,
            inbox,
            batches,
            snapshots.clone(),
            clock,
            stop.clone(),
        ));
        tokio::spawn(recovery.run(events.clone(), exit, stop));
        Self {
            snapshots,
            executors,
            gc,
            events,
            exit: exited,
        }
    }

    /// The agent's state for readers.
    pub fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    /// The executor API, to be added to a router.
    pub fn executors(&self) -> &Executors {
        &self.executors
    }

    /// The garbage collector, for its metrics.
    pub fn gc(&self) -> &Gc {
        &self.gc
    }

    /// Whether the APIs should answer 503, because containers are still being taken back.
    pub fn is_recovering(snapshots: &Snapshots) -> bool {
        snapshots.load().phase == Phase::Recovering
    }

    /// Unregisters, ends all tasks, then the agent (SIGUSR1).
    pub async fn leave(&self) {
        let _ = self.events.send(Event::Leave).await;
    }

    /// Waits until the agent wants the process to end, and says how.
    pub async fn ended(&mut self) -> Exit {
        match self.exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone().unwrap_or(Exit::Done),
            Err(_) => Exit::Failed("the agent's own tasks ended unexpectedly".to_owned()),
        }
    }
}

/// Gives events to the core, and its effects away, until `stop`.
async fn drive(
    mut core: Core,
    mut inbox: mpsc::Receiver<Event>,
    batches: mpsc::Sender<Vec<Vec<Effect>>>,
    snapshots: Snapshots,
    clock: Clock,
    stop: CancellationToken,
) {
    let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
    loop {
        let due = core
            .next_timer()
            .map(|due| due.saturating_sub(clock.now().mono));
        tokio::select! {
            () = stop.cancelled() => return,
            count = inbox.recv_many(&mut events, EVENTS_AT_ONCE) => {
                if count == 0 {
                    return;
                }
            }
            () = tokio::time::sleep(due.unwrap_or(Duration::MAX / 4)), if due.is_some() => {
                events.push(Event::Tick);
            }
        }
        let now = clock.now();
        let effects: Vec<Vec<Effect>> = events
            .drain(..)
            .map(|event| core.handle(now, event))
            .filter(|effects| !effects.is_empty())
            .collect();
        // Before the effects, so that whoever is told of a change finds it.
        snapshots.publish(core.state().clone());
        if !effects.is_empty() && batches.send(effects).await.is_err() {
            return;
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn now(self) -> Now {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            mono: EPOCH + self.0.elapsed(),
            wall: wall.as_secs_f64(),
        }
    }
}

/// What happens between reading checkpoints and talking to a master.
struct Recovery {
    /// What was in volumes that an earlier process removed.
    left_aside: Vec<PathBuf>,
    known: Vec<mesos_containerizer_api::ContainerConfig>,
    live: HashSet<PathBuf>,
    id: Option<AgentId>,
    boot_id: String,
    config: Arc<AgentConfig>,
    containerizer: SharedContainerizer,
    gc: Gc,
    commands: mpsc::Receiver<control::Command>,
}

impl Recovery {
    async fn run(
        self,
        events: mpsc::Sender<Event>,
        exit: watch::Sender<Option<Exit>>,
        stop: CancellationToken,
    ) {
        let start = Instant::now();
        let recovered = tokio::select! {
            () = stop.cancelled() => return,
            recovered = self.containerizer.recover(&self.known) => recovered,
        };
        if let Err(error) = recovered {
            let link = identity::slaves(&self.config.work_dir).join("latest");
            let text = format!(
                "{}; to start as a new agent instead (its running tasks are then not taken back): rm -f {}",
                chain(&error),
                link.display()
            );
            exit.send_replace(Some(Exit::Failed(text)));
            return;
        }
        if let Err(error) = identity::write_boot_id(&self.config.work_dir, &self.boot_id) {
            tracing::error!(error = %chain(&error), "cannot note the present boot of the host");
        }
        let took = start.elapsed().as_secs_f64();
        tracing::info!(containers = self.known.len(), seconds = took, "recovered");
        if events.send(Event::Recovered { took }).await.is_err() {
            return;
        }
        tokio::task::spawn_blocking(move || volumes::clear(&self.left_aside));
        let (gc, config) = (self.gc, self.config.clone());
        let (id, live) = (self.id, self.live);
        tokio::spawn(async move {
            let found = tokio::task::spawn_blocking(move || {
                leftovers(&config.work_dir, id.as_ref(), &live)
            });
            for path in found.await.unwrap_or_default() {
                if let Err(error) = gc.schedule_found(&path).await {
                    tracing::warn!(%error, "a directory of an earlier run stays");
                }
            }
        });
        if self.config.recover == Recover::Cleanup {
            return;
        }
        let detector = Detector::start(self.config.master.clone(), self.config.detection);
        let longest_pause = self.config.registration_backoff_factor;
        control::run(detector.watch(), longest_pause, self.commands, events, stop).await;
    }
}
