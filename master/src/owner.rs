//! The task that owns the state: takes commands in batches, publishes the new state, carries out effects.
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use mesos_control::v1::{agent_message, master_message};
use mesos_detector::Lease;
use mesos_types::FrameworkId;
use mesos_wire::v1::{self, scheduler};
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::Clock,
    core::{AgentHello, Core, Effect, Event, Reply},
    registry::{Registrar, WriteError},
    state::Published,
};

/// Commands taken before the state is published again.
const BATCH: usize = 512;

/// Something for the owner to do. What waits for an answer brings the way back.
pub(crate) enum Command {
    Subscribe {
        stream: u64,
        stream_id: String,
        subscribe: Box<scheduler::call::Subscribe>,
        principal: Option<String>,
        events: mpsc::Sender<Box<scheduler::Event>>,
        reply: oneshot::Sender<Reply>,
    },
    Call {
        stream_id: Option<String>,
        principal: Option<String>,
        call: Box<scheduler::Call>,
        reply: oneshot::Sender<Reply>,
    },
    Teardown {
        framework_id: FrameworkId,
        reply: oneshot::Sender<Reply>,
    },
    Operator {
        principal: Option<String>,
        call: Box<v1::master::Call>,
        reply: oneshot::Sender<Reply>,
    },
    StreamClosed {
        stream: u64,
    },
    Hello {
        hello: Box<AgentHello>,
        messages: mpsc::Sender<Box<master_message::Body>>,
    },
    Agent {
        session: u64,
        body: Box<agent_message::Body>,
    },
    SessionClosed {
        session: u64,
    },
    /// Only agents with these host names are offered.
    Whitelist(BTreeSet<String>),
    Registered {
        token: u64,
        outcome: Result<(), WriteError>,
    },
}

/// Why the owner stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// Without the registry agents could be admitted twice, or come back after they were given up.
    #[error("{0}; repair what keeps the registry and start the master again")]
    Registry(String),
    /// Whatever this master still wanted to do is void: the other one decides.
    #[error("this master leads no longer: {0}")]
    Fenced(String),
    /// More agents are lost than operators allow to lose at once.
    #[error("{0}")]
    Removals(String),
    /// `--domain` does not fit the other masters.
    #[error("{0}; correct --domain")]
    Region(String),
    /// ZooKeeper may have given the leadership to another master.
    #[error("nothing was heard from ZooKeeper for a session timeout")]
    Lapsed,
}

impl From<WriteError> for OwnerError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Fenced { .. } => Self::Fenced(chain(&error)),
            _ => Self::Registry(chain(&error)),
        }
    }
}

pub(crate) struct Owner {
    pub core: Core,
    pub clock: Arc<dyn Clock>,
    pub registrar: Registrar,
    pub published: Arc<Published>,
    pub inbox: mpsc::Receiver<Command>,
    /// To come back with what the registry answers.
    pub commands: mpsc::WeakSender<Command>,
    pub streams: HashMap<u64, mpsc::Sender<Box<scheduler::Event>>>,
    pub sessions: HashMap<u64, mpsc::Sender<Box<master_message::Body>>>,
    pub requests: HashMap<u64, oneshot::Sender<Reply>>,
    pub next_request: u64,
    pub writes: TaskTracker,
    /// Published last.
    pub version: u64,
    /// Until when this master may act as the leader; `None`: it is the only one.
    pub lease: Option<Lease>,
}

impl Owner {
    /// Runs until `stop`. Streams and sessions then end in order: their tasks and frameworks are left alone.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), OwnerError> {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let due = self.core.deadline().map(tokio::time::Instant::from_std);
            let lapse = self.lease.as_ref().map(|lease| lease.until().into());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = sleep_until(lapse) => {}
                taken = self.inbox.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        break;
                    }
                }
                () = sleep_until(due) => {}
            }
            // A process that was frozen may wake up as a leader of the past.
            if self
                .lease
                .as_ref()
                .is_some_and(|lease| !lease.is_valid(Instant::now()))
            {
                return Err(OwnerError::Lapsed);
            }
            self.step(&mut batch)?;
        }
        self.writes.close();
        Ok(())
    }

    fn step(&mut self, batch: &mut Vec<Command>) -> Result<(), OwnerError> {
        let now = self.clock.now();
        let mut effects = Vec::new();
        if batch.is_empty() {
            effects.extend(self.core.handle(now, Event::Tick));
        }
        for command in batch.drain(..) {
            let event = self.event(command)?;
            effects.extend(self.core.handle(now, event));
        }
        // Carrying out effects may lead to further events: a queue is full, a write has nothing to wait for.
        while !effects.is_empty() {
            self.publish();
            let mut further = Vec::new();
            for effect in effects.drain(..) {
                if let Some(event) = self.carry_out(effect)? {
                    further.push(event);
                }
            }
            for event in further {
                effects.extend(self.core.handle(now, event));
            }
        }
        self.publish();
        Ok(())
    }

    pub(crate) fn publish(&mut self) {
        let (snapshot, changes) = self.core.publish();
        if snapshot.version != self.version {
            self.version = snapshot.version;
            self.published.publish(snapshot, changes);
        }
    }

    fn event(&mut self, command: Command) -> Result<Event, OwnerError> {
        Ok(match command {
            Command::Subscribe {
                stream,
                stream_id,
                subscribe,
                principal,
                events,
                reply,
            } => {
                self.streams.insert(stream, events);
                Event::Subscribe {
                    request: self.request(reply),
                    stream,
                    stream_id,
                    subscribe,
                    principal,
                }
            }
            Command::Call {
                stream_id,
                principal,
                call,
                reply,
            } => Event::Call {
                request: self.request(reply),
                stream_id,
                principal,
                call,
            },
            Command::Teardown {
                framework_id,
                reply,
            } => Event::Teardown {
                request: self.request(reply),
                framework_id,
            },
            Command::Operator {
                principal,
                call,
                reply,
            } => Event::Operator {
                request: self.request(reply),
                principal,
                call,
            },
            Command::StreamClosed { stream } => Event::StreamClosed { stream },
            Command::Hello { hello, messages } => {
                self.sessions.insert(hello.session, messages);
                Event::Hello(hello)
            }
            Command::Agent { session, body } => Event::Agent { session, body },
            Command::SessionClosed { session } => {
                self.sessions.remove(&session);
                Event::SessionClosed { session }
            }
            Command::Whitelist(names) => Event::Whitelist(names),
            Command::Registered { token, outcome } => {
                outcome?;
                Event::Registered { token }
            }
        })
    }

    fn request(&mut self, reply: oneshot::Sender<Reply>) -> u64 {
        self.next_request += 1;
        self.requests.insert(self.next_request, reply);
        self.next_request
    }

    fn carry_out(&mut self, effect: Effect) -> Result<Option<Event>, OwnerError> {
        match effect {
            Effect::Reply { request, reply } => {
                if let Some(waiting) = self.requests.remove(&request) {
                    // The client may be gone; what it asked for is done all the same.
                    let _ = waiting.send(reply);
                }
            }
            Effect::Event { stream, event } => {
                let full = self
                    .streams
                    .get(&stream)
                    .is_some_and(|queue| queue.try_send(event).is_err());
                if full {
                    tracing::warn!(
                        stream,
                        "a framework does not read its events fast enough; its stream is cut"
                    );
                    self.streams.remove(&stream);
                    return Ok(Some(Event::StreamClosed { stream }));
                }
            }
            Effect::CloseStream { stream } => {
                self.streams.remove(&stream);
            }
            Effect::Message { session, body } => {
                let full = self
                    .sessions
                    .get(&session)
                    .is_some_and(|queue| queue.try_send(body).is_err());
                if full {
                    tracing::warn!(
                        session,
                        "an agent does not read its messages fast enough; its session is cut"
                    );
                    self.sessions.remove(&session);
                    return Ok(Some(Event::SessionClosed { session }));
                }
            }
            Effect::Abort(why) => return Err(OwnerError::Removals(why)),
            Effect::CloseSession { session } => {
                self.sessions.remove(&session);
            }
            Effect::Registry { token, change } => {
                let Some(committed) = self.registrar.write(&change)? else {
                    return Ok(Some(Event::Registered { token }));
                };
                let (commands, counters) = (self.commands.clone(), self.core.counters().clone());
                let begun = Instant::now();
                self.writes.spawn(async move {
                    let outcome = committed.await;
                    counters.registry_done(begun.elapsed());
                    if let Some(commands) = commands.upgrade() {
                        // The owner has stopped: nobody waits for it any more.
                        let _ = commands.send(Command::Registered { token, outcome }).await;
                    }
                });
            }
        }
        Ok(None)
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
