//! What goes to one agent: a stream that takes the owner's messages, numbers them, and tells the agent what
//! was taken over of its own.
//!
//! The connection polls it directly: no task and no second queue per agent, and a timer only while there is
//! something to acknowledge.
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::task::AtomicWaker;
use mesos_control::v1::{MasterMessage, Nothing, agent_message, master_message::Body};
use tokio::{
    sync::mpsc,
    time::{Sleep, sleep},
};
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

use crate::leadership::Term;

/// How long the agent may wait to hear what was taken over, when nothing else is said.
const ACKNOWLEDGE: Duration = Duration::from_secs(1);

/// What was taken over of an agent, shared by the reader of its messages and its outbox.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Highest sequence taken over.
    all: AtomicU64,
    /// The same of messages that the agent keeps until they are acknowledged.
    kept: AtomicU64,
    waker: AtomicWaker,
}

impl Taken {
    /// Whether the agent keeps such a message until it is acknowledged.
    pub(super) fn keeps(body: Option<&agent_message::Body>) -> bool {
        !matches!(
            body,
            None | Some(agent_message::Body::Pong(_) | agent_message::Body::Nothing(_))
        )
    }

    /// A message was taken over.
    pub(super) fn take(&self, sequence: u64, kept: bool) {
        self.all.fetch_max(sequence, Ordering::Release);
        if kept {
            self.kept.fetch_max(sequence, Ordering::Release);
            self.waker.wake();
        }
    }
}

/// See the module. Dropping it ends the session.
pub struct Outbox {
    queue: mpsc::Receiver<Box<Body>>,
    term: Term,
    taken: Arc<Taken>,
    sequence: u64,
    /// Acknowledged last.
    told: u64,
    /// Until an acknowledgement goes alone.
    timer: Option<Pin<Box<Sleep>>>,
    over: CancellationToken,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Outbox {
    /// Messages from `queue`, in the name of the master of `term`, until `over`.
    pub(super) fn new(
        queue: mpsc::Receiver<Box<Body>>,
        term: Term,
        taken: Arc<Taken>,
        over: CancellationToken,
    ) -> Self {
        Self {
            queue,
            term,
            taken,
            sequence: 0,
            told: 0,
            timer: None,
            ended: Box::pin(over.clone().cancelled_owned()),
            over,
        }
    }

    fn message(&mut self, body: Body) -> MasterMessage {
        self.sequence += 1;
        self.told = self.taken.all.load(Ordering::Acquire);
        self.timer = None;
        MasterMessage {
            sequence: self.sequence,
            acknowledged: self.told,
            master_id: self.term.master_id.to_string(),
            election: self.term.election,
            realm: self.term.realm,
            body: Some(body),
        }
    }

    /// Whether it is time to acknowledge without anything else to say.
    fn poll_acknowledge(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.taken.waker.register(context.waker());
        if self.taken.kept.load(Ordering::Acquire) <= self.told {
            return Poll::Pending;
        }
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep(ACKNOWLEDGE)));
        timer.as_mut().poll(context)
    }
}

impl Stream for Outbox {
    type Item = Result<MasterMessage, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        match this.queue.poll_recv(context) {
            Poll::Ready(Some(body)) => return Poll::Ready(Some(Ok(this.message(*body)))),
            // The owner has ended the session: everything sent has been passed on.
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        this.poll_acknowledge(context)
            .map(|()| Some(Ok(this.message(Body::Nothing(Nothing {})))))
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.over.cancel();
    }
}
