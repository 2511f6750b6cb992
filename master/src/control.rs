//! The control service: one gRPC stream per agent, told apart from HTTP on the same port.
mod outbox;

use std::{future::poll_fn, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use mesos_control::{
    SNAPSHOT_MAX_BYTES,
    v1::{
        AgentMessage, Refused, Snapshot,
        agent_control_server::{AgentControl, AgentControlServer},
        agent_message, master_message,
    },
};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    core::AgentHello,
    handle::Handle,
    leadership::{Leadership, Term},
    owner::Command,
};
use outbox::{Outbox, Taken};

/// How long an agent may take to say who it is, and then between two pieces of its snapshot.
const INTRODUCTION: Duration = Duration::from_secs(30);
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
    type SessionStream = Outbox;

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
        let (messages, queue) = mpsc::channel(self.master.config().session_messages);
        let session = Session {
            number: self.master.number(),
            over: term.over.child_token(),
            term: term.clone(),
            taken: Arc::default(),
        };
        let outbox = Outbox::new(queue, term, session.taken.clone(), session.over.clone());
        tokio::spawn(session.run(incoming, messages, peer));
        Ok(Response::new(outbox))
    }
}

struct Session {
    number: u64,
    /// Of the master that it was opened to.
    term: Term,
    taken: Arc<Taken>,
    over: CancellationToken,
}

/// Messages for the agent, the way into its [`Outbox`].
type Messages = mpsc::Sender<Box<master_message::Body>>;

impl Session {
    /// Small while it waits: what only the beginning needs is on the heap, and freed after it.
    async fn run(self, mut incoming: Streaming<AgentMessage>, messages: Messages, peer: String) {
        let Some(hello) = Box::pin(self.welcome(&mut incoming, &messages, peer)).await else {
            return;
        };
        let hello = Command::Hello { hello, messages };
        if self.term.commands.send(hello).await.is_err() {
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

    /// Who is at the door; `None` when nobody said it, and was told so.
    async fn welcome(
        &self,
        incoming: &mut Streaming<AgentMessage>,
        messages: &Messages,
        peer: String,
    ) -> Option<Box<AgentHello>> {
        match introduce(incoming, &self.taken).await {
            Ok((hello, snapshot)) => Some(Box::new(AgentHello {
                session: self.number,
                peer,
                hello,
                snapshot,
            })),
            Err(why) => {
                tracing::warn!(%peer, why, "an agent's session ended before it said who it is");
                let refused = Refused {
                    message: why.to_owned(),
                    shutdown: false,
                };
                let refused = Box::new(master_message::Body::Refused(refused));
                // The agent is gone already, or hears it and tries again.
                let _ = messages.send(refused).await;
                None
            }
        }
    }

    /// Passes messages on until either side ends the session.
    async fn read(&self, mut incoming: Streaming<AgentMessage>) {
        loop {
            let message = tokio::select! {
                message = boxed(&mut incoming) => message,
                () = self.over.cancelled() => return,
            };
            let message = match message {
                Some(Ok(message)) => message,
                None => return,
                Some(Err(status)) => {
                    tracing::debug!(session = self.number, %status, "an agent's session broke");
                    return;
                }
            };
            let kept = Taken::keeps(message.body.as_deref());
            if let Some(body) = message.body
                && self
                    .term
                    .commands
                    .send(Command::Agent {
                        session: self.number,
                        body,
                    })
                    .await
                    .is_err()
            {
                return;
            }
            self.taken.take(message.sequence, kept);
        }
    }
}

/// A message whose body is on the heap.
struct Boxed {
    sequence: u64,
    body: Option<Box<agent_message::Body>>,
}

/// The next message. Its largest form takes a kilobyte, which no waiting session should hold.
async fn boxed(incoming: &mut Streaming<AgentMessage>) -> Option<Result<Boxed, Box<Status>>> {
    poll_fn(|context| {
        Pin::new(&mut *incoming).poll_next(context).map(|found| {
            found.map(|message| match message {
                Ok(message) => Ok(Boxed {
                    sequence: message.sequence,
                    body: message.body.map(Box::new),
                }),
                Err(status) => Err(Box::new(status)),
            })
        })
    })
    .await
}

/// Reads the hello and, when it is announced, the snapshot.
async fn introduce(
    incoming: &mut Streaming<AgentMessage>,
    taken: &Taken,
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
    taken: &Taken,
) -> Result<Option<agent_message::Body>, &'static str> {
    match tokio::time::timeout(INTRODUCTION, incoming.message()).await {
        Err(_) => Err("the agent was silent for 30 seconds"),
        Ok(Err(_) | Ok(None)) => Err("the session broke"),
        Ok(Ok(Some(message))) => {
            let kept = Taken::keeps(message.body.as_ref());
            taken.take(message.sequence, kept);
            Ok(message.body)
        }
    }
}
