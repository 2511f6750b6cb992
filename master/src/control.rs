//! The control service: one gRPC stream per agent, told apart from HTTP on the same port.
use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mesos_control::{
    SNAPSHOT_MAX_BYTES,
    v1::{
        AgentMessage, MasterMessage, Nothing, Refused, Snapshot,
        agent_control_server::{AgentControl, AgentControlServer},
        agent_message, master_message,
    },
};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    core::AgentHello,
    handle::Handle,
    leadership::{Leadership, Term},
    owner::Command,
};

/// How long an agent may take to say who it is, and then between two pieces of its snapshot.
const INTRODUCTION: Duration = Duration::from_secs(30);
/// How long the agent may wait to hear what was taken over, when nothing else is said.
const ACKNOWLEDGE: Duration = Duration::from_secs(1);
/// Messages on their way into the connection; more wait in the session's own queue.
const IN_FLIGHT: usize = 64;
/// Largest message of an agent, in bytes: a piece of a snapshot, or a status update with its data.
const MESSAGE_BYTES: usize = 16 << 20;

/// The control service of a master.
pub struct Control {
    master: Handle,
}

/// The service as a router for [`mesos_http::Server::grpc`].
pub fn router(master: Handle) -> tonic::service::Routes {
    let server = AgentControlServer::new(Control { master })
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(usize::MAX);
    tonic::service::Routes::new(server)
}

#[tonic::async_trait]
impl AgentControl for Control {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<MasterMessage, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let leadership = self.master.leadership();
        let Some(term) = leadership.term().cloned() else {
            let leader = match &*leadership {
                Leadership::Following(info) => format!("{} does", crate::leadership::root(info)),
                Leadership::Recovering => "it was just elected; try again".to_owned(),
                Leadership::Electing | Leadership::Leading(_) => "nobody does".to_owned(),
            };
            return Err(Status::unavailable(format!(
                "this master does not lead: {leader}"
            )));
        };
        let peer = request
            .extensions()
            .get::<SocketAddr>()
            .copied()
            .or_else(|| request.remote_addr())
            .map(|address| address.ip().to_string())
            .unwrap_or_default();
        let incoming = request.into_inner();
        let (outgoing, stream) = mpsc::channel(IN_FLIGHT);
        let session = Session {
            number: self.master.number(),
            session_messages: self.master.config().session_messages,
            over: term.over.child_token(),
            term,
            taken: Arc::new(AtomicU64::new(0)),
        };
        tokio::spawn(session.run(incoming, outgoing, peer));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

struct Session {
    number: u64,
    /// Messages queued for the agent.
    session_messages: usize,
    /// Of the master that it was opened to.
    term: Term,
    /// Highest sequence of the agent that has been taken over.
    taken: Arc<AtomicU64>,
    over: CancellationToken,
}

type Outgoing = mpsc::Sender<Result<MasterMessage, Status>>;

impl Session {
    async fn run(self, mut incoming: Streaming<AgentMessage>, outgoing: Outgoing, peer: String) {
        let hello = match introduce(&mut incoming, &self.taken).await {
            Ok((hello, snapshot)) => AgentHello {
                session: self.number,
                peer,
                hello,
                snapshot,
            },
            Err(why) => {
                tracing::warn!(%peer, why, "an agent's session ended before it said who it is");
                let refused = Refused {
                    message: why.to_owned(),
                    shutdown: false,
                };
                let message = MasterMessage {
                    sequence: 1,
                    acknowledged: self.taken.load(Ordering::Relaxed),
                    master_id: self.term.master_id.to_string(),
                    election: self.term.election,
                    realm: self.term.realm,
                    body: Some(master_message::Body::Refused(refused)),
                };
                // The agent is gone already, or hears it and tries again.
                let _ = outgoing.send(Ok(message)).await;
                return;
            }
        };
        let (messages, queue) = mpsc::channel(self.session_messages);
        let writer = Writer {
            term: self.term.clone(),
            taken: self.taken.clone(),
            over: self.over.clone(),
        };
        tokio::spawn(writer.run(queue, outgoing));
        if self
            .term
            .commands
            .send(Command::Hello {
                hello: Box::new(hello),
                messages,
            })
            .await
            .is_err()
        {
            return;
        }
        self.read(incoming).await;
        self.over.cancel();
        // The master is stopping: nobody needs to know.
        let _ = self
            .term
            .commands
            .send(Command::SessionClosed {
                session: self.number,
            })
            .await;
    }

    /// Passes messages on until either side ends the session.
    async fn read(&self, mut incoming: Streaming<AgentMessage>) {
        loop {
            let message = tokio::select! {
                message = incoming.message() => message,
                () = self.over.cancelled() => return,
            };
            let message = match message {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(status) => {
                    tracing::debug!(session = self.number, %status, "an agent's session broke");
                    return;
                }
            };
            if let Some(body) = message.body
                && self
                    .term
                    .commands
                    .send(Command::Agent {
                        session: self.number,
                        body: Box::new(body),
                    })
                    .await
                    .is_err()
            {
                return;
            }
            self.taken.fetch_max(message.sequence, Ordering::Relaxed);
        }
    }
}

/// Reads the hello and, when it is announced, the snapshot.
async fn introduce(
    incoming: &mut Streaming<AgentMessage>,
    taken: &AtomicU64,
) -> Result<(mesos_control::v1::Hello, Option<Snapshot>), &'static str> {
    let Some(agent_message::Body::Hello(hello)) = next(incoming, taken).await? else {
        return Err("the first message of a session must be Hello");
    };
    if !hello.snapshot_follows {
        return Ok((hello, None));
    }
    let mut bytes = Vec::new();
    loop {
        let Some(agent_message::Body::Snapshot(chunk)) = next(incoming, taken).await? else {
            return Err("the announced snapshot did not follow Hello");
        };
        if bytes.len() + chunk.data.len() > SNAPSHOT_MAX_BYTES {
            return Err("the snapshot is larger than 256 MiB, the most that is taken");
        }
        bytes.extend_from_slice(&chunk.data);
        if chunk.last {
            break;
        }
    }
    let snapshot = Snapshot::decode(bytes.as_slice()).map_err(|_| "the snapshot does not read")?;
    Ok((hello, Some(snapshot)))
}

async fn next(
    incoming: &mut Streaming<AgentMessage>,
    taken: &AtomicU64,
) -> Result<Option<agent_message::Body>, &'static str> {
    match tokio::time::timeout(INTRODUCTION, incoming.message()).await {
        Err(_) => Err("the agent was silent for 30 seconds"),
        Ok(Err(_) | Ok(None)) => Err("the session broke"),
        Ok(Ok(Some(message))) => {
            taken.fetch_max(message.sequence, Ordering::Relaxed);
            Ok(message.body)
        }
    }
}

/// Numbers what goes to the agent and tells it what was taken over.
struct Writer {
    term: Term,
    taken: Arc<AtomicU64>,
    over: CancellationToken,
}

impl Writer {
    async fn run(self, mut queue: mpsc::Receiver<Box<master_message::Body>>, outgoing: Outgoing) {
        let mut sequence = 0;
        let mut told = 0;
        let mut tick = tokio::time::interval(ACKNOWLEDGE);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let body = tokio::select! {
                // The owner has ended the session: everything sent has been passed on.
                body = queue.recv() => match body {
                    Some(body) => body,
                    None => break,
                },
                _ = tick.tick() => {
                    if self.taken.load(Ordering::Relaxed) == told {
                        continue;
                    }
                    Box::new(master_message::Body::Nothing(Nothing {}))
                }
                () = self.over.cancelled() => break,
            };
            sequence += 1;
            told = self.taken.load(Ordering::Relaxed);
            let message = MasterMessage {
                sequence,
                acknowledged: told,
                master_id: self.term.master_id.to_string(),
                election: self.term.election,
                realm: self.term.realm,
                body: Some(*body),
            };
            if outgoing.send(Ok(message)).await.is_err() {
                break;
            }
        }
        self.over.cancel();
    }
}
