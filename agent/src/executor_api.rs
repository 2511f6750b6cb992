//! `POST /api/v1/executor`: calls of executors go to the core as events, its events go out as streams.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use mesos_http::{
    Dialect, RecordSender, Request, Response, Router, StatusCode, negotiate, parse_call,
};
use mesos_wire::{
    Encoding,
    v1::{
        TaskState,
        executor::{self, call},
        task_status::Source,
    },
};
use tokio::sync::{mpsc, oneshot};

use crate::core::{ConnectionId, Event, Refusal, RequestId};

/// Events that may wait for a slow executor.
const STREAM_RECORDS: usize = 4096;
/// Bytes that may wait for it.
const STREAM_BYTES: usize = 64 << 20;
/// Before every text about a call of the wrong shape, as with Mesos.
const INVALID: &str = "Failed to validate Executor::Call: ";

#[derive(Debug, Default)]
struct Tables {
    streams: HashMap<ConnectionId, (RecordSender, Encoding)>,
    answers: HashMap<RequestId, oneshot::Sender<Result<(), Refusal>>>,
}

/// Event streams and waiting calls of executors. Clones share them.
#[derive(Debug, Clone)]
pub struct Executors {
    tables: Arc<Mutex<Tables>>,
    next: Arc<AtomicU64>,
    events: mpsc::Sender<Event>,
}

impl Executors {
    pub(crate) fn new(events: mpsc::Sender<Event>) -> Self {
        Self {
            tables: Arc::default(),
            next: Arc::new(AtomicU64::new(1)),
            events,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a call.
    pub(crate) fn answer(&self, request: RequestId, answer: Result<(), Refusal>) {
        if let Some(waiting) = self.lock().answers.remove(&request) {
            // The caller may be gone; the call counts all the same.
            let _ = waiting.send(answer);
        }
    }

    /// Sends an event. One that does not read is cut off; it subscribes again.
    pub(crate) fn send(&self, connection: ConnectionId, event: &executor::Event) {
        let mut tables = self.lock();
        let Some((stream, encoding)) = tables.streams.get(&connection) else {
            return;
        };
        if let Err(error) = stream.try_send(&mesos_wire::encode(*encoding, event)) {
            tracing::warn!(%error, "an executor's event stream is closed");
            tables.streams.remove(&connection);
        }
    }

    /// Ends a stream after what is queued.
    pub(crate) fn close(&self, connection: ConnectionId) {
        self.lock().streams.remove(&connection);
    }

    /// Adds the executor API to a router.
    pub fn route<S: Clone + Send + Sync + 'static>(&self, router: &mut Router<S>) {
        let executors = self.clone();
        router.post("/api/v1/executor", move |_: S, request| {
            let executors = executors.clone();
            async move {
                match executors.call(&request).await {
                    Ok(response) | Err(response) => response,
                }
            }
        });
    }

    async fn call(&self, request: &Request) -> Result<Response, Response> {
        let (_, call) = parse_call::<executor::Call>(Dialect::Executor, request)?;
        validate(&call).map_err(|problem| Response::bad_request(format!("{INVALID}{problem}")))?;
        let accepted = negotiate(Dialect::Executor, request)?;
        if call.r#type() != call::Type::Subscribe {
            self.ask(None, call).await?;
            return Ok(Response::accepted());
        }
        let connection = self.next.fetch_add(1, Ordering::Relaxed);
        let (stream, body) = mesos_http::record_stream(STREAM_RECORDS, STREAM_BYTES);
        self.lock()
            .streams
            .insert(connection, (stream.clone(), accepted));
        if let Err(response) = self.ask(Some(connection), call).await {
            self.close(connection);
            return Err(response);
        }
        let executors = self.clone();
        // Ends with the connection: the sender here keeps the stream open only as long as the table does.
        let watched = Watched(stream);
        tokio::spawn(async move {
            watched.ended(&executors, connection).await;
            executors.close(connection);
            let _ = executors.events.send(Event::ExecutorGone(connection)).await;
        });
        Ok(Response::stream(accepted.content_type(), body))
    }

    async fn ask(
        &self,
        connection: Option<ConnectionId>,
        call: executor::Call,
    ) -> Result<(), Response> {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.lock().answers.insert(request, sender);
        let event = Event::Executor {
            request,
            connection,
            call: Box::new(call),
        };
        let ended = || Response::unavailable("The agent is ending");
        if self.events.send(event).await.is_err() {
            self.lock().answers.remove(&request);
            return Err(ended());
        }
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Refusal::Bad(text))) => Err(Response::bad_request(text)),
            Ok(Err(Refusal::Forbidden(text))) => Err(Response::error(StatusCode::FORBIDDEN, text)),
            Err(_) => Err(ended()),
        }
    }
}

/// A stream whose end is awaited without keeping it open.
struct Watched(RecordSender);

impl Watched {
    /// Waits until the client is gone, or the table has let go of the stream.
    async fn ended(self, executors: &Executors, connection: ConnectionId) {
        loop {
            let closed =
                tokio::time::timeout(std::time::Duration::from_millis(500), self.0.closed());
            if closed.await.is_ok() || !executors.lock().streams.contains_key(&connection) {
                return;
            }
        }
    }
}

/// Checks a call's shape. Source: `executor::call::validate` of Mesos.
fn validate(call: &executor::Call) -> Result<(), String> {
    let missing = |field: &str| Err(format!("Expecting '{field}' to be present"));
    if call.r#type.is_none() {
        return missing("type");
    }
    match call.r#type() {
        call::Type::Subscribe if call.subscribe.is_none() => missing("subscribe"),
        call::Type::Message if call.message.is_none() => missing("message"),
        call::Type::Update => {
            let Some(update) = &call.update else {
                return missing("update");
            };
            let status = &update.status;
            let Some(uuid) = &status.uuid else {
                return missing("uuid");
            };
            if uuid.len() != 16 {
                return Err(format!(
                    "Not a valid UUID: it has {} bytes, not 16",
                    uuid.len()
                ));
            }
            let executor = &call.executor_id.value;
            if let Some(other) = status
                .executor_id
                .as_ref()
                .filter(|id| id.value != *executor)
            {
                return Err(format!(
                    "ExecutorID in Call: {executor} does not match ExecutorID in TaskStatus: {other}"
                ));
            }
            if status.source != Some(Source::Executor.into()) {
                return Err(format!(
                    "Received Call from executor {executor} of framework {} with invalid source, expecting 'SOURCE_EXECUTOR'",
                    call.framework_id
                ));
            }
            if status.state() == TaskState::TaskStaging {
                return Err(format!(
                    "Received TASK_STAGING from executor {executor} of framework {} which is not allowed",
                    call.framework_id
                ));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use mesos_wire::v1;

    use super::*;

    fn update(change: impl FnOnce(&mut v1::TaskStatus)) -> executor::Call {
        let mut status = v1::TaskStatus {
            task_id: "t".into(),
            state: TaskState::TaskRunning.into(),
            source: Some(Source::Executor.into()),
            uuid: Some(vec![1; 16]),
            ..Default::default()
        };
        change(&mut status);
        executor::Call {
            executor_id: "e".into(),
            framework_id: "f".into(),
            r#type: Some(call::Type::Update.into()),
            update: Some(call::Update { status }),
            ..Default::default()
        }
    }

    #[test]
    fn calls_of_the_wrong_shape_are_told_as_by_mesos() {
        let told = |call: executor::Call| validate(&call).unwrap_err();
        assert_eq!(
            told(executor::Call::default()),
            "Expecting 'type' to be present"
        );
        let subscribe = executor::Call {
            r#type: Some(call::Type::Subscribe.into()),
            ..Default::default()
        };
        assert_eq!(told(subscribe), "Expecting 'subscribe' to be present");
        assert_eq!(
            told(update(|s| s.uuid = None)),
            "Expecting 'uuid' to be present"
        );
        assert!(told(update(|s| s.uuid = Some(vec![1]))).contains("1 bytes"));
        assert!(told(update(|s| s.source = None)).contains("SOURCE_EXECUTOR"));
        assert!(told(update(|s| s.executor_id = Some("x".into()))).contains("does not match"));
        assert!(told(update(|s| s.state = TaskState::TaskStaging.into())).contains("TASK_STAGING"));
        validate(&update(|s| s.executor_id = Some("e".into()))).unwrap();
    }
}
