//! The queue between the core's effects and the connection to the master. Sending never waits.

use mesos_control::v1::{AgentMessage, agent_message::Body};
use tokio::sync::mpsc;

use crate::core::SessionId;

/// Messages that may wait for the connection. What does not fit is sent again later, or in a new session.
const QUEUE: usize = 16_384;

/// What the connection is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Open this session with these messages.
    Open(SessionId, Vec<AgentMessage>),
    /// Send this in this session.
    Send(SessionId, Box<AgentMessage>),
    /// End this session.
    Close(SessionId),
}

/// The writing end.
#[derive(Debug, Clone)]
pub(crate) struct Link(mpsc::Sender<Command>);

/// A queue to a connection.
pub(crate) fn link() -> (Link, mpsc::Receiver<Command>) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Link(sender), receiver)
}

impl Link {
    /// Puts a command into the queue. On a full queue it is dropped if it is repeated by itself.
    pub(crate) fn push(&self, command: Command) {
        let Err(error) = self.0.try_send(command) else {
            return;
        };
        let command = match error {
            mpsc::error::TrySendError::Closed(_) => return,
            mpsc::error::TrySendError::Full(command) => command,
        };
        match command {
            Command::Send(session, message) => {
                tracing::warn!(
                    session,
                    "the master takes messages too slowly; one is dropped"
                );
                let comes_again = match message.body {
                    Some(
                        Body::Update(_)
                        | Body::OperationUpdate(_)
                        | Body::ExecutorMessage(_)
                        | Body::Nothing(_)
                        | Body::Pong(_),
                    ) => true,
                    Some(
                        Body::Hello(_)
                        | Body::Snapshot(_)
                        | Body::ExecutorExited(_)
                        | Body::Unregister(_),
                    )
                    | None => false,
                };
                if !comes_again {
                    // The next session tells it again.
                    self.close_later(session);
                }
            }
            Command::Open(session, _) | Command::Close(session) => self.close_later(session),
        }
    }

    fn close_later(&self, session: SessionId) {
        let queue = self.0.clone();
        tokio::spawn(async move {
            let _ = queue.send(Command::Close(session)).await;
        });
    }
}
