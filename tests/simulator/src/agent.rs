//! One simulated agent: finds its master, keeps a session, does as it is told.
use std::{sync::Arc, time::Duration};

use mesos_control::{
    PROTOCOL_HIGHEST, PROTOCOL_LOWEST, SNAPSHOT_CHUNK_BYTES,
    v1::{
        AgentMessage, Hello, MasterMessage, Pong, SnapshotChunk, StatusUpdate, VersionRange,
        agent_message::Body, master_message::Body as Said,
    },
};
use mesos_wire::v1::{self, TaskState, task_status::Reason};
use prost::Message as _;
use rand::Rng as _;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::{
    count::{Counters, add},
    pool::Pool,
    settings::Settings,
    tasks::{Tasks, update},
};

/// How long a master may take to answer Hello.
const WELCOME: Duration = Duration::from_secs(60);

/// What all agents of a fleet share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) pool: Pool,
    pub(crate) counters: Counters,
    /// Where masters may be, the likeliest first.
    pub(crate) masters: watch::Receiver<Vec<String>>,
    /// Sessions end and begin again when the number grows.
    pub(crate) reconnect: watch::Receiver<u64>,
    pub(crate) stop: CancellationToken,
}

pub(crate) struct Agent {
    number: usize,
    id: Option<v1::AgentId>,
    epoch: String,
    sessions: u64,
    tasks: Tasks,
    /// The highest election seen, and whose elections are counted.
    election: u64,
    realm: u64,
}

/// Boxed, since most messages are small and the room for the largest is not.
type Outgoing = mpsc::UnboundedSender<Box<AgentMessage>>;

struct Session {
    out: Outgoing,
    sequence: u64,
    /// Highest sequence of the master that was taken over.
    taken: u64,
    told: u64,
}

impl Session {
    fn say(&mut self, body: Body) -> bool {
        self.sequence += 1;
        self.told = self.taken;
        let message = AgentMessage {
            sequence: self.sequence,
            acknowledged: self.taken,
            body: Some(body),
        };
        self.out.send(Box::new(message)).is_ok()
    }
}

impl Agent {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            number,
            id: None,
            epoch: uuid::Uuid::new_v4().to_string(),
            sessions: 0,
            tasks: Tasks::default(),
            election: 0,
            realm: 0,
        }
    }

    /// Whether a message is of a leader that was replaced; otherwise the one it comes from leads.
    fn is_stale(&mut self, said: &MasterMessage) -> bool {
        if said.election != 0 && said.realm == self.realm && said.election < self.election {
            return true;
        }
        (self.election, self.realm) = (said.election, said.realm);
        false
    }

    /// Runs until the fleet stops.
    pub(crate) async fn run(mut self, shared: Arc<Shared>) {
        let mut masters = shared.masters.clone();
        let mut attempt = 0;
        loop {
            let known = masters.borrow_and_update().clone();
            let welcomed = match known.get(attempt % known.len().max(1)) {
                Some(address) => tokio::select! {
                    welcomed = Box::pin(self.session(&shared, address)) => welcomed,
                    () = shared.stop.cancelled() => return,
                },
                None => false,
            };
            // After a session that worked: the same master first, and soon.
            attempt = if welcomed { 0 } else { attempt + 1 };
            let most = shared.settings.retry_at_most.as_micros() as u64;
            let step = 2000u64
                .saturating_mul(1 << attempt.min(16))
                .min(most.max(1));
            let pause = Duration::from_micros(rand::rng().random_range(step / 2..=step));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // A closed channel is a fleet that ends.
                Ok(()) = masters.changed() => attempt = 0,
                () = shared.stop.cancelled() => return,
            }
        }
    }

    fn hello(&self, settings: &Settings) -> Hello {
        let n = self.number;
        let ip = format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255);
        let scalar = |(name, value): &(String, f64)| v1::Resource {
            name: name.clone(),
            r#type: v1::value::Type::Scalar.into(),
            scalar: Some(v1::value::Scalar { value: *value }),
            ..v1::Resource::default()
        };
        let ports = v1::Resource {
            name: "ports".to_owned(),
            r#type: v1::value::Type::Ranges.into(),
            ranges: Some(v1::value::Ranges {
                range: vec![v1::value::Range {
                    begin: settings.ports.0,
                    end: settings.ports.1,
                }],
            }),
            ..v1::Resource::default()
        };
        let info = v1::AgentInfo {
            hostname: format!("sim-{n}.example"),
            port: Some(5051),
            resources: settings.scalars.iter().map(scalar).chain([ports]).collect(),
            id: self.id.clone(),
            ..v1::AgentInfo::default()
        };
        use v1::agent_info::{Capability, capability::Type};
        let capability = |kind: Type| Capability {
            r#type: Some(kind.into()),
        };
        Hello {
            protocol: Some(VersionRange {
                lowest: PROTOCOL_LOWEST,
                highest: PROTOCOL_HIGHEST,
            }),
            agent_id: self.id.clone(),
            snapshot_follows: self.id.is_some(),
            process_epoch: self.epoch.clone(),
            session_epoch: self.sessions,
            agent: Some(info),
            version: "1.11.0".to_owned(),
            capabilities: vec![
                capability(Type::MultiRole),
                capability(Type::HierarchicalRole),
                capability(Type::ReservationRefinement),
            ],
            resource_version_uuid: vec![0; 16],
            ip,
            ..Hello::default()
        }
    }

    /// One session, to its end. Whether it was welcomed.
    async fn session(&mut self, shared: &Arc<Shared>, address: &str) -> bool {
        let Ok(mut client) = shared.pool.client(address, self.number) else {
            return false;
        };
        let mut reconnect = shared.reconnect.clone();
        reconnect.mark_unchanged();
        let (out, queue) = mpsc::unbounded_channel();
        let mut session = Session {
            out,
            sequence: 0,
            taken: 0,
            told: 0,
        };
        self.sessions += 1;
        session.say(Body::Hello(self.hello(&shared.settings)));
        if self.id.is_some() {
            let bytes = self.tasks.snapshot().encode_to_vec();
            let pieces = bytes.len().div_ceil(SNAPSHOT_CHUNK_BYTES).max(1);
            for n in 0..pieces {
                let from = n * SNAPSHOT_CHUNK_BYTES;
                let to = (from + SNAPSHOT_CHUNK_BYTES).min(bytes.len());
                let chunk = SnapshotChunk {
                    data: bytes.get(from..to).unwrap_or_default().to_vec(),
                    last: n + 1 == pieces,
                };
                session.say(Body::Snapshot(chunk));
            }
        }
        let outgoing =
            tokio_stream::StreamExt::map(UnboundedReceiverStream::new(queue), |boxed| *boxed);
        let Ok(Ok(opened)) = timeout(WELCOME, client.session(outgoing)).await else {
            return false;
        };
        drop(client);
        let mut incoming = opened.into_inner();
        let Ok(Ok(Some(first))) = timeout(WELCOME, incoming.message()).await else {
            return false;
        };
        if self.is_stale(&first) {
            add(&shared.counters.stale);
            return false;
        }
        session.taken = first.sequence;
        let welcome = match first.body {
            Some(Said::Welcome(welcome)) => welcome,
            _ => {
                add(&shared.counters.refused);
                return false;
            }
        };
        self.id = welcome.agent_id;
        let _here = Here::new(shared);
        for known in welcome.known_tasks {
            let (Some(framework), Some(task)) = (known.framework_id, known.task_id) else {
                continue;
            };
            let state = if known.partition_aware {
                TaskState::TaskDropped
            } else {
                TaskState::TaskLost
            };
            let key = (framework.value, task.value);
            let reason = Some(Reason::Reconciliation);
            let missing = update(self.id(), &key, None, state, reason);
            self.send(&mut session, shared, [missing]);
        }
        let again = self.tasks.again(Instant::now());
        self.send(&mut session, shared, again);
        let silence = Duration::try_from_secs_f64(welcome.ping_timeout_seconds)
            .unwrap_or(Duration::from_secs(75));
        let mut heard = Instant::now();
        loop {
            let alarm = self.tasks.alarm(shared.settings.resend_after);
            let due = alarm.map_or(heard + silence, |at| at.min(heard + silence));
            tokio::select! {
                said = incoming.message() => match said {
                    Ok(Some(said)) => {
                        heard = Instant::now();
                        if !self.obey(&mut session, shared, said) {
                            return true;
                        }
                    }
                    Ok(None) | Err(_) => return true,
                },
                () = sleep_until(due) => {
                    let now = Instant::now();
                    if now >= heard + silence {
                        return true;
                    }
                    let id = self.id().to_owned();
                    let settings = &shared.settings;
                    let (updates, resent) =
                        self.tasks.due(&id, &settings.life, settings.resend_after, now);
                    shared.counters.resent.fetch_add(resent as u64, std::sync::atomic::Ordering::Relaxed);
                    self.send(&mut session, shared, updates);
                }
                Ok(()) = reconnect.changed() => return true,
            }
        }
    }

    fn id(&self) -> &str {
        self.id.as_ref().map_or("", |id| id.value.as_str())
    }

    fn send(
        &self,
        session: &mut Session,
        shared: &Shared,
        updates: impl IntoIterator<Item = StatusUpdate>,
    ) {
        for update in updates {
            add(&shared.counters.updates);
            session.say(Body::Update(update));
        }
    }

    /// Does as the master says; `false` ends the session.
    fn obey(&mut self, session: &mut Session, shared: &Shared, said: MasterMessage) -> bool {
        if self.is_stale(&said) {
            add(&shared.counters.stale);
            return false;
        }
        session.taken = said.sequence;
        let now = Instant::now();
        let counters = &shared.counters;
        match said.body {
            Some(Said::Ping(_)) => {
                add(&counters.pings);
                return session.say(Body::Pong(Pong {}));
            }
            Some(Said::RunTask(run)) => {
                add(&counters.launches);
                let id = self.id().to_owned();
                let update = self.tasks.launch(&id, run, &shared.settings.life, now);
                self.send(session, shared, update);
            }
            Some(Said::AcknowledgeUpdate(acknowledged)) => {
                let (Some(framework), Some(task)) =
                    (acknowledged.framework_id, acknowledged.task_id)
                else {
                    return true;
                };
                let key = (framework.value, task.value);
                let (fits, next) = self.tasks.acknowledged(&key, &acknowledged.uuid, now);
                if fits {
                    add(&counters.acknowledged);
                }
                self.send(session, shared, next);
            }
            Some(Said::KillTask(kill)) => {
                let id = self.id().to_owned();
                let update = self.tasks.kill(&id, kill, now);
                self.send(session, shared, update);
            }
            Some(Said::ShutdownFramework(shutdown)) => {
                if let Some(id) = shutdown.framework_id {
                    self.tasks.end_framework(&id.value);
                }
            }
            Some(Said::UpdateFramework(_)) => {
                let again = self.tasks.again(now);
                self.send(session, shared, again);
            }
            Some(Said::Shutdown(_)) => {
                // Removed for good: what comes next is another agent.
                *self = Self::new(self.number);
                return false;
            }
            // What needs executors, operations or another kind of agent means nothing here.
            _ => {}
        }
        // Messages are acknowledged with what is said next, at the latest with the answer to a ping.
        true
    }
}

/// Counts an agent as registered while its session lasts.
struct Here<'a>(&'a Shared);

impl<'a> Here<'a> {
    fn new(shared: &'a Shared) -> Self {
        let order = std::sync::atomic::Ordering::Relaxed;
        shared.counters.registered.fetch_add(1, order);
        add(&shared.counters.sessions);
        Self(shared)
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        let order = std::sync::atomic::Ordering::Relaxed;
        self.0.counters.registered.fetch_sub(1, order);
    }
}
