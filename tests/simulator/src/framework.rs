//! A small scheduler for measurements: protobuf over one HTTP/2 connection, so that it costs little itself.
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesos_recordio::Decoder;
use mesos_wire::v1::{
    self, FrameworkInfo, TaskInfo, TaskStatus,
    scheduler::{Call, Event, call, event::Type},
};
use prost::Message as _;
use tokio::{net::TcpStream, sync::mpsc};

/// Bytes of the largest record that is taken: offers of 100,000 agents.
const RECORD: usize = 1 << 30;
/// Bytes the master may send before it waits.
const WINDOW: u32 = 64 << 20;
const PATH: &str = "/api/v1/scheduler";

/// Why the framework cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FrameworkError {
    /// The connection.
    #[error("cannot reach the master at {0}")]
    Connect(String, #[source] std::io::Error),
    /// HTTP.
    #[error("the connection to the master broke")]
    Http(#[from] hyper::Error),
    /// The request is not one.
    #[error("a request could not be made")]
    Request(#[from] http::Error),
    /// Refused.
    #[error("the master answered {0}: {1}")]
    Refused(StatusCode, String),
    /// The stream ended.
    #[error("the event stream has ended")]
    Ended,
    /// Nothing came.
    #[error("no {0:?} within {1:?}")]
    Late(Type, Duration),
}

/// A framework with an open stream.
pub struct Framework {
    id: v1::FrameworkId,
    stream_id: String,
    requests: http2::SendRequest<Full<Bytes>>,
    events: mpsc::UnboundedReceiver<(Instant, Event)>,
}

/// What makes calls in the name of a framework; clones share its connection.
#[derive(Clone)]
pub struct Caller {
    id: v1::FrameworkId,
    stream_id: String,
    requests: http2::SendRequest<Full<Bytes>>,
}

fn post(body: Vec<u8>, stream_id: Option<&str>) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request = Request::post(format!("http://master{PATH}"))
        .header(header::CONTENT_TYPE, "application/x-protobuf")
        .header(header::ACCEPT, "application/x-protobuf");
    if let Some(id) = stream_id {
        request = request.header("Mesos-Stream-Id", id);
    }
    request.body(Full::new(Bytes::from(body)))
}

impl Framework {
    /// Subscribes under `name` with one role. The first event, SUBSCRIBED, has been read.
    ///
    /// # Errors
    /// The master cannot be reached or refuses.
    pub async fn subscribe(master: &str, name: &str, role: &str) -> Result<Self, FrameworkError> {
        let stream = TcpStream::connect(master)
            .await
            .map_err(|error| FrameworkError::Connect(master.to_owned(), error))?;
        // Not decisive for anything but latency.
        let _ = stream.set_nodelay(true);
        let (mut requests, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_frame_size(1 << 20)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::spawn(connection);
        use v1::framework_info::{Capability, capability::Type as Can};
        let capability = |kind: Can| Capability {
            r#type: Some(kind.into()),
        };
        let framework_info = FrameworkInfo {
            user: "root".to_owned(),
            name: name.to_owned(),
            roles: vec![role.to_owned()],
            failover_timeout: Some(3600.0),
            capabilities: vec![
                capability(Can::MultiRole),
                capability(Can::PartitionAware),
                capability(Can::ReservationRefinement),
            ],
            ..FrameworkInfo::default()
        };
        let mut call = Call {
            subscribe: Some(call::Subscribe {
                framework_info,
                ..call::Subscribe::default()
            }),
            ..Call::default()
        };
        call.set_type(call::Type::Subscribe);
        let response = requests
            .send_request(post(call.encode_to_vec(), None)?)
            .await?;
        let status = response.status();
        let stream_id = response
            .headers()
            .get("Mesos-Stream-Id")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        if status != StatusCode::OK {
            let text = response.into_body().collect().await?.to_bytes();
            let text = String::from_utf8_lossy(&text).into_owned();
            return Err(FrameworkError::Refused(status, text));
        }
        let (found, events) = mpsc::unbounded_channel();
        tokio::spawn(read(response.into_body(), found));
        let mut framework = Self {
            id: v1::FrameworkId::default(),
            stream_id,
            requests,
            events,
        };
        let (_, first) = framework
            .next_of(Type::Subscribed, Duration::from_secs(60))
            .await?;
        framework.id = first.subscribed.unwrap_or_default().framework_id;
        Ok(framework)
    }

    /// To make calls beside the reading of events.
    pub fn caller(&self) -> Caller {
        Caller {
            id: self.id.clone(),
            stream_id: self.stream_id.clone(),
            requests: self.requests.clone(),
        }
    }

    /// The next event, and when it was read.
    ///
    /// # Errors
    /// The stream has ended.
    pub async fn next(&mut self) -> Result<(Instant, Event), FrameworkError> {
        self.events.recv().await.ok_or(FrameworkError::Ended)
    }

    /// An event that is here already.
    pub fn try_next(&mut self) -> Option<(Instant, Event)> {
        self.events.try_recv().ok()
    }

    /// The next event of a type; others are dropped.
    ///
    /// # Errors
    /// The stream has ended, or nothing came in time.
    pub async fn next_of(
        &mut self,
        kind: Type,
        at_most: Duration,
    ) -> Result<(Instant, Event), FrameworkError> {
        let wait = async {
            loop {
                let (at, event) = self.next().await?;
                if event.r#type() == kind {
                    return Ok((at, event));
                }
            }
        };
        tokio::time::timeout(at_most, wait)
            .await
            .unwrap_or(Err(FrameworkError::Late(kind, at_most)))
    }

    /// Offers until there are `count` of them, and when the last one came.
    ///
    /// # Errors
    /// The stream has ended, or they did not come in time.
    pub async fn offers(
        &mut self,
        count: usize,
        at_most: Duration,
    ) -> Result<(Instant, Vec<v1::Offer>), FrameworkError> {
        let mut offers = Vec::with_capacity(count);
        loop {
            let (at, event) = self.next_of(Type::Offers, at_most).await?;
            offers.extend(event.offers.unwrap_or_default().offers);
            if offers.len() >= count {
                return Ok((at, offers));
            }
        }
    }
}

impl Caller {
    async fn call(&self, kind: call::Type, mut call: Call) -> Result<(), FrameworkError> {
        call.framework_id = Some(self.id.clone());
        call.set_type(kind);
        let request = post(call.encode_to_vec(), Some(&self.stream_id))?;
        let mut requests = self.requests.clone();
        requests.ready().await?;
        let response = requests.send_request(request).await?;
        let status = response.status();
        if status == StatusCode::ACCEPTED {
            return Ok(());
        }
        let text = response.into_body().collect().await?.to_bytes();
        Err(FrameworkError::Refused(
            status,
            String::from_utf8_lossy(&text).into_owned(),
        ))
    }

    /// Launches tasks with an offer. What is left is refused for `refuse_seconds`.
    ///
    /// # Errors
    /// The connection broke or the master refuses.
    pub async fn launch(
        &self,
        offers: Vec<v1::OfferId>,
        tasks: Vec<TaskInfo>,
        refuse_seconds: f64,
    ) -> Result<(), FrameworkError> {
        let mut operation = v1::offer::Operation {
            launch: Some(v1::offer::operation::Launch { task_infos: tasks }),
            ..v1::offer::Operation::default()
        };
        operation.set_type(v1::offer::operation::Type::Launch);
        let accept = call::Accept {
            offer_ids: offers,
            operations: vec![operation],
            filters: Some(v1::Filters {
                refuse_seconds: Some(refuse_seconds),
            }),
        };
        let call = Call {
            accept: Some(accept),
            ..Call::default()
        };
        self.call(call::Type::Accept, call).await
    }

    /// Declines offers for that long.
    ///
    /// # Errors
    /// The connection broke or the master refuses.
    pub async fn decline(
        &self,
        offers: Vec<v1::OfferId>,
        refuse_seconds: f64,
    ) -> Result<(), FrameworkError> {
        let decline = call::Decline {
            offer_ids: offers,
            filters: Some(v1::Filters {
                refuse_seconds: Some(refuse_seconds),
            }),
        };
        let call = Call {
            decline: Some(decline),
            ..Call::default()
        };
        self.call(call::Type::Decline, call).await
    }

    /// Acknowledges an update.
    ///
    /// # Errors
    /// The connection broke or the master refuses.
    pub async fn acknowledge(&self, status: &TaskStatus) -> Result<(), FrameworkError> {
        let acknowledge = call::Acknowledge {
            agent_id: status.agent_id.clone().unwrap_or_default(),
            task_id: status.task_id.clone(),
            uuid: status.uuid.clone().unwrap_or_default(),
        };
        let call = Call {
            acknowledge: Some(acknowledge),
            ..Call::default()
        };
        self.call(call::Type::Acknowledge, call).await
    }

    /// Asks for a task's end.
    ///
    /// # Errors
    /// The connection broke or the master refuses.
    pub async fn kill(&self, task: &v1::TaskId) -> Result<(), FrameworkError> {
        let call = Call {
            kill: Some(call::Kill {
                task_id: task.clone(),
                ..call::Kill::default()
            }),
            ..Call::default()
        };
        self.call(call::Type::Kill, call).await
    }

    /// A call without content: REVIVE, SUPPRESS, TEARDOWN.
    ///
    /// # Errors
    /// The connection broke or the master refuses.
    pub async fn plain(&self, kind: call::Type) -> Result<(), FrameworkError> {
        self.call(kind, Call::default()).await
    }
}

async fn read(mut body: Incoming, found: mpsc::UnboundedSender<(Instant, Event)>) {
    let mut decoder = Decoder::new(RECORD);
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else {
            continue;
        };
        decoder.push(&data);
        while let Ok(Some(record)) = decoder.next() {
            let Ok(event) = Event::decode(record) else {
                return;
            };
            if found.send((Instant::now(), event)).is_err() {
                return;
            }
        }
    }
}

/// A command task for an offer.
pub fn command_task(id: &str, agent: &v1::AgentId, cpus: f64, mem: f64) -> TaskInfo {
    let scalar = |name: &str, value: f64| v1::Resource {
        name: name.to_owned(),
        r#type: v1::value::Type::Scalar.into(),
        scalar: Some(v1::value::Scalar { value }),
        ..v1::Resource::default()
    };
    TaskInfo {
        name: id.to_owned(),
        task_id: v1::TaskId {
            value: id.to_owned(),
        },
        agent_id: agent.clone(),
        resources: vec![scalar("cpus", cpus), scalar("mem", mem)],
        command: Some(v1::CommandInfo {
            value: Some("sleep 1000".to_owned()),
            ..v1::CommandInfo::default()
        }),
        ..TaskInfo::default()
    }
}
