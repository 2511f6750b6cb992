//! `POST /api/v1/scheduler`: calls of frameworks, and the event stream of each.
use std::time::Duration;

use mesos_http::{
    Dialect, HeaderName, RecordSender, Request, Response, Router, negotiate, parse_call,
    record_stream,
};
use mesos_wire::{
    Encoding, encode,
    v1::{
        master_info,
        scheduler::{Call, Event, call::Type},
    },
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    core::events,
    handle::{Handle, Stopped},
    owner::Command,
    validation::call::validate,
};

const STREAM_ID: HeaderName = HeaderName::from_static("mesos-stream-id");

/// How long a client may take to read the rest of a stream that has ended.
const LINGER: Duration = Duration::from_secs(5);

/// Adds the scheduler API.
pub fn route(router: &mut Router<Handle>) {
    router.post("/api/v1/scheduler", answer);
}

async fn answer(master: Handle, request: Request) -> Response {
    let call: Call = match parse_call(Dialect::Scheduler, &request) {
        Ok((_, call)) => call,
        Err(refusal) => return refusal,
    };
    if let Err(invalid) = validate(&call, request.principal.as_deref()) {
        return Response::bad_request(format!("Failed to validate scheduler::Call: {invalid}"));
    }
    let answered = if call.r#type() == Type::Subscribe {
        subscribe(&master, &request, call).await
    } else {
        other(&master, &request, call).await
    };
    answered.unwrap_or_else(|stopped| Response::unavailable(stopped.to_string()))
}

async fn subscribe(master: &Handle, request: &Request, call: Call) -> Result<Response, Stopped> {
    let encoding = match negotiate(Dialect::Scheduler, request) {
        Ok(encoding) => encoding,
        Err(refusal) => return Ok(refusal),
    };
    if request.headers.contains_key(STREAM_ID) {
        return Ok(Response::bad_request(
            "Subscribe calls should not include the 'Mesos-Stream-Id' header",
        ));
    }
    let config = master.config();
    let (records, body) = record_stream(config.stream_records, config.stream_bytes);
    let (events, queue) = mpsc::channel(config.stream_records);
    let (reply, answer) = oneshot::channel();
    let stream = master.number();
    let stream_id = uuid::Uuid::new_v4().to_string();
    let command = Command::Subscribe {
        stream,
        stream_id: stream_id.clone(),
        subscribe: Box::new(call.subscribe.unwrap_or_default()),
        principal: request.principal.clone(),
        events,
        reply,
    };
    // Before the command: should this future be dropped, the stream is seen to be closed all the same.
    tokio::spawn(write(master.clone(), stream, queue, records, encoding));
    master.send(command).await?;
    answer.await.map_err(|_| Stopped)?;
    Ok(Response::stream(encoding.content_type(), body).header(STREAM_ID, &stream_id))
}

async fn other(master: &Handle, request: &Request, call: Call) -> Result<Response, Stopped> {
    if call.r#type() == Type::ReconcileOperations
        && let Err(refusal) = negotiate(Dialect::Scheduler, request)
    {
        return Ok(refusal);
    }
    let (reply, answer) = oneshot::channel();
    let command = Command::Call {
        stream_id: request.header(STREAM_ID.as_str()).map(str::to_owned),
        principal: request.principal.clone(),
        call: Box::new(call),
        reply,
    };
    master.send(command).await?;
    Ok(answer.await.map_err(|_| Stopped)?.into())
}

/// Encodes a framework's events beside the owner, and tells the owner when nobody reads them any more.
async fn write(
    master: Handle,
    stream: u64,
    mut queue: mpsc::Receiver<Box<Event>>,
    records: RecordSender,
    encoding: Encoding,
) {
    let mut last = None;
    loop {
        let event = tokio::select! {
            event = queue.recv() => event,
            () = records.closed() => break,
        };
        let Some(mut event) = event else {
            // The owner has ended the stream: what was sent is delivered, then it ends in order.
            return records.end(None, LINGER).await;
        };
        if encoding == Encoding::Json {
            hide_quota_v2(&mut event);
        }
        if let Err(error) = records.try_send(&encode(encoding, &*event)) {
            tracing::warn!(stream, %error, "a framework's stream is cut");
            // Whoever reads on after all is told why there is no more.
            let why = format!("The event stream was cut: {error}");
            last = Some(encode(encoding, &events::error(why)));
            break;
        }
    }
    // The master is stopping: nobody needs to know.
    let _ = master.send(Command::StreamClosed { stream }).await;
    records.end(last.as_deref(), LINGER).await;
}

/// QUOTA_V2 has no name in the JSON of Mesos's v1 API: clients get an empty object there.
fn hide_quota_v2(event: &mut Event) {
    let info = event
        .subscribed
        .as_mut()
        .and_then(|subscribed| subscribed.master_info.as_mut());
    for capability in info.into_iter().flat_map(|info| &mut info.capabilities) {
        if capability.r#type() == master_info::capability::Type::QuotaV2 {
            capability.r#type = None;
        }
    }
}
