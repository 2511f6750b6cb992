//! The operator event stream: the state first, then every change, in order and without gap.
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mesos_http::{Metrics, RecordSender, Response, SendError, record_stream};
use mesos_types::FrameworkId;
use mesos_wire::{
    Encoding,
    v1::{
        FrameworkInfo,
        master::{
            Event,
            event::{self, Type},
        },
    },
};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, interval_at},
};
use tokio_util::sync::CancellationToken;

use super::{answers, state};
use crate::{
    reading::{ReadSide, Viewer},
    state::{Change, Snapshot, Task},
};

/// Time between two HEARTBEAT events. Source: `DEFAULT_HEARTBEAT_INTERVAL` of Apache Mesos.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events queued for a subscriber that reads slowly, before its stream is cut.
const QUEUED_EVENTS: usize = 1 << 16;
/// The same in bytes.
const QUEUED_BYTES: usize = 64 << 20;

/// Who follows the event stream, the oldest first.
pub(crate) struct Subscribers {
    most: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    next: u64,
    streams: VecDeque<(u64, CancellationToken)>,
}

/// A place among the subscribers, free again when dropped.
struct Place {
    number: u64,
    closed: CancellationToken,
    open: Arc<Mutex<Open>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.streams.retain(|(number, _)| *number != self.number);
    }
}

impl Subscribers {
    /// At most `most` at a time.
    pub(crate) fn new(most: usize, metrics: &Metrics) -> Self {
        let open = Arc::new(Mutex::new(Open::default()));
        let counted = open.clone();
        metrics.read(
            "master/operator_event_stream_subscribers",
            "Clients that follow the operator event stream.",
            move || {
                let open = counted.lock().unwrap_or_else(PoisonError::into_inner);
                Some(crate::legacy::state::double(open.streams.len()))
            },
        );
        Self {
            most: most.max(1),
            open,
        }
    }

    /// Takes a place; when there are too many, the oldest stream is closed.
    fn enter(&self) -> Place {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let number = open.next;
        open.next += 1;
        let closed = CancellationToken::new();
        open.streams.push_back((number, closed.clone()));
        if open.streams.len() > self.most
            && let Some((_, oldest)) = open.streams.pop_front()
        {
            tracing::warn!(
                most = self.most,
                "closed the oldest operator event stream to make place for a new one"
            );
            oldest.cancel();
        }
        Place {
            number,
            closed,
            open: self.open.clone(),
        }
    }
}

/// Answers SUBSCRIBE.
pub(crate) fn subscribe(read: Arc<ReadSide>, viewer: Viewer, encoding: Encoding) -> Response {
    // In this order: what changes from here on is either in the snapshot or still to come.
    let leadership = read.master.leadership();
    let (snapshot, changes) = read.master.follow();
    let (sender, body) = record_stream(QUEUED_EVENTS, QUEUED_BYTES);
    let stream = Stream {
        place: read.subscribers.enter(),
        // The term may have ended just now: the next one's changes do not fit this state.
        stop: leadership
            .term()
            .map_or_else(|| read.stop.clone(), |term| term.over.clone()),
        frameworks: frameworks(&snapshot),
        after: snapshot.changes,
        sender,
        viewer,
        encoding,
    };
    tokio::spawn(stream.run(snapshot, changes));
    Response::stream(encoding.content_type(), body)
}

fn frameworks(snapshot: &Snapshot) -> HashMap<FrameworkId, Arc<FrameworkInfo>> {
    let known = snapshot.frameworks.values();
    known
        .map(|framework| (framework.id.clone(), framework.info.clone()))
        .collect()
}

struct Stream {
    place: Place,
    stop: CancellationToken,
    /// Whose tasks the changes are about, for asking whether the subscriber may see them.
    frameworks: HashMap<FrameworkId, Arc<FrameworkInfo>>,
    /// Changes up to this number are in the snapshot.
    after: u64,
    sender: RecordSender,
    viewer: Viewer,
    encoding: Encoding,
}

fn of(kind: Type) -> Event {
    let mut event = Event::default();
    event.set_type(kind);
    event
}

impl Stream {
    /// Writes until the client is gone, too slow, displaced, or the master stops.
    async fn run(mut self, snapshot: Arc<Snapshot>, mut changes: Receiver<(u64, Change)>) {
        let (viewer, encoding) = (self.viewer.clone(), self.encoding);
        let first = tokio::task::spawn_blocking(move || {
            let heartbeat = HEARTBEAT.as_secs_f64();
            RecordSender::frame(&state::subscribed_event(
                &snapshot, &viewer, encoding, heartbeat,
            ))
        });
        let Ok(first) = first.await else {
            tracing::error!("the state for an operator event stream could not be made");
            return;
        };
        let mut sent = self
            .sender
            .try_send_framed(first)
            .and_then(|()| self.send(&of(Type::Heartbeat)));
        let mut heartbeats = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        while sent.is_ok() {
            sent = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.place.closed.cancelled() => return,
                () = self.sender.closed() => return,
                _ = heartbeats.tick() => self.send(&of(Type::Heartbeat)),
                change = changes.recv() => match change {
                    Ok((number, change)) if number > self.after => self.change(&change),
                    Ok(_) => Ok(()),
                    Err(RecvError::Closed) => return,
                    Err(RecvError::Lagged(lost)) => {
                        tracing::warn!(lost, "cut an operator event stream that cannot keep up with the changes");
                        return;
                    }
                },
            };
        }
        if sent == Err(SendError::Full) {
            tracing::warn!(
                queued_bytes = self.sender.queued_bytes(),
                "cut an operator event stream whose client reads too slowly"
            );
            // No event of the operator API could tell it: its stream breaks off.
            self.sender.end(None, std::time::Duration::ZERO).await;
        }
    }

    fn send(&self, event: &Event) -> Result<(), SendError> {
        self.sender
            .try_send(&mesos_wire::encode(self.encoding, event))
    }

    fn may_see(&self, task: &Task) -> bool {
        self.frameworks
            .get(&task.framework_id)
            .is_some_and(|info| self.viewer.task(task, info))
    }

    fn change(&mut self, change: &Change) -> Result<(), SendError> {
        let event = match change {
            Change::TaskAdded(task) => {
                if !self.may_see(task) {
                    return Ok(());
                }
                let task_added = Some(event::TaskAdded {
                    task: task.to_wire(),
                });
                Event {
                    task_added,
                    ..of(Type::TaskAdded)
                }
            }
            Change::TaskUpdated {
                framework_id,
                status,
                state,
                task,
            } => {
                if !self.may_see(task) {
                    return Ok(());
                }
                let task_updated = event::TaskUpdated {
                    framework_id: framework_id.into(),
                    status: (**status).clone(),
                    state: (*state).into(),
                };
                Event {
                    task_updated: Some(task_updated),
                    ..of(Type::TaskUpdated)
                }
            }
            Change::FrameworkAdded(framework) | Change::FrameworkUpdated(framework) => {
                self.frameworks
                    .insert(framework.id.clone(), framework.info.clone());
                if !self.viewer.framework(framework) {
                    return Ok(());
                }
                let shown = answers::framework_event(framework);
                if matches!(change, Change::FrameworkAdded(_)) {
                    let framework_added = Some(event::FrameworkAdded { framework: shown });
                    Event {
                        framework_added,
                        ..of(Type::FrameworkAdded)
                    }
                } else {
                    let framework_updated = Some(event::FrameworkUpdated { framework: shown });
                    Event {
                        framework_updated,
                        ..of(Type::FrameworkUpdated)
                    }
                }
            }
            Change::FrameworkRemoved(framework) => {
                self.frameworks.remove(&framework.id);
                if !self.viewer.framework(framework) {
                    return Ok(());
                }
                let framework_info = (*framework.info).clone();
                let framework_removed = Some(event::FrameworkRemoved { framework_info });
                Event {
                    framework_removed,
                    ..of(Type::FrameworkRemoved)
                }
            }
            Change::AgentAdded(agent) => {
                let agent = answers::agent(agent, &self.viewer);
                let agent_added = Some(event::AgentAdded { agent });
                Event {
                    agent_added,
                    ..of(Type::AgentAdded)
                }
            }
            Change::AgentRemoved(id) => {
                let agent_removed = Some(event::AgentRemoved {
                    agent_id: id.into(),
                });
                Event {
                    agent_removed,
                    ..of(Type::AgentRemoved)
                }
            }
        };
        self.send(&event)
    }
}
