//! A master that only speaks the control stream, and does what the test says.

use std::{net::SocketAddr, pin::Pin, time::Duration};

use mesos_control::v1::{
    AcknowledgeUpdate, AgentMessage, Hello, MasterMessage, RunTask, Snapshot, Welcome,
    agent_control_server::{AgentControl, AgentControlServer},
    agent_message, master_message,
};
use mesos_wire::v1::{self, TaskState, TaskStatus};
use prost::Message as _;
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

const PATIENCE: Duration = Duration::from_secs(30);

type Session = (
    Streaming<AgentMessage>,
    mpsc::Sender<Result<MasterMessage, Status>>,
);

struct Service(mpsc::Sender<Session>);

#[tonic::async_trait]
impl AgentControl for Service {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<MasterMessage, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (sender, receiver) = mpsc::channel(64);
        let sent = self.0.send((request.into_inner(), sender)).await;
        sent.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// A master's port, with the sessions that agents open on it.
pub struct Master {
    pub address: SocketAddr,
    sessions: mpsc::Receiver<Session>,
    server: JoinHandle<()>,
}

/// One agent's session.
pub struct Agent {
    pub hello: Hello,
    pub snapshot: Snapshot,
    inbound: Streaming<AgentMessage>,
    outbound: mpsc::Sender<Result<MasterMessage, Status>>,
    sequence: u64,
}

impl Master {
    pub async fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, sessions) = mpsc::channel(4);
        let server = tokio::spawn(async move {
            tonic::transport::Server::builder()
                .add_service(AgentControlServer::new(Service(sender)))
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        Self {
            address,
            sessions,
            server,
        }
    }

    /// Ends at once, with all its connections.
    pub async fn kill(self) -> SocketAddr {
        self.server.abort();
        let _ = self.server.await;
        self.address
    }

    /// Takes an agent in under this id.
    pub async fn welcome(&mut self, id: &str) -> Agent {
        let session = tokio::time::timeout(PATIENCE, self.sessions.recv());
        let (mut inbound, outbound) = session.await.expect("an agent comes").unwrap();
        let Some(agent_message::Body::Hello(hello)) = next(&mut inbound).await else {
            panic!("no hello");
        };
        let mut bytes = Vec::new();
        let mut more = hello.snapshot_follows;
        while more {
            let Some(agent_message::Body::Snapshot(chunk)) = next(&mut inbound).await else {
                panic!("no snapshot");
            };
            bytes.extend_from_slice(&chunk.data);
            more = !chunk.last;
        }
        let mut agent = Agent {
            hello,
            snapshot: Snapshot::decode(&bytes[..]).unwrap(),
            inbound,
            outbound,
            sequence: 0,
        };
        agent
            .say(master_message::Body::Welcome(Welcome {
                agent_id: Some(id.into()),
                ping_timeout_seconds: 75.0,
                ..Default::default()
            }))
            .await;
        agent
    }
}

async fn next(inbound: &mut Streaming<AgentMessage>) -> Option<agent_message::Body> {
    let message = tokio::time::timeout(PATIENCE, inbound.next());
    message.await.expect("the agent speaks")?.ok()?.body
}

impl Agent {
    pub async fn say(&mut self, body: master_message::Body) {
        self.sequence += 1;
        let message = MasterMessage {
            sequence: self.sequence,
            master_id: "master".to_owned(),
            body: Some(body),
            ..Default::default()
        };
        self.outbound.send(Ok(message)).await.unwrap();
    }

    pub async fn run(&mut self, framework: v1::FrameworkInfo, task: v1::TaskInfo) {
        self.say(master_message::Body::RunTask(RunTask {
            framework: Some(framework),
            task: Some(task),
        }))
        .await;
    }

    /// The next message; `None` when the agent has ended the session.
    pub async fn hears(&mut self) -> Option<agent_message::Body> {
        next(&mut self.inbound).await
    }

    /// The next message that says something.
    pub async fn hear(&mut self) -> agent_message::Body {
        loop {
            match next(&mut self.inbound).await.expect("the session stands") {
                agent_message::Body::Nothing(_) => {}
                body => return body,
            }
        }
    }

    /// The next update, which must be in this state.
    pub async fn update(&mut self, state: TaskState) -> TaskStatus {
        let agent_message::Body::Update(update) = self.hear().await else {
            panic!("no update");
        };
        let status = update.status.unwrap();
        assert_eq!(status.state(), state, "{status:?}");
        status
    }

    pub async fn acknowledge(&mut self, framework: &str, status: &TaskStatus) {
        self.say(master_message::Body::AcknowledgeUpdate(AcknowledgeUpdate {
            framework_id: Some(framework.into()),
            task_id: Some(status.task_id.clone()),
            uuid: status.uuid.clone().unwrap(),
        }))
        .await;
    }
}
