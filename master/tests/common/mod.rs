//! A real master on a port of its own, a framework that speaks HTTP, an agent that speaks the control protocol.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

pub mod recorded;

use std::{collections::VecDeque, time::Duration};

use mesos_control::v1::{
    AgentMessage, Hello, MasterMessage, Snapshot, SnapshotChunk, VersionRange,
    agent_control_client::AgentControlClient, agent_message, master_message::Body,
};
use mesos_http::logging::LogLevel;
use mesos_master::{MasterConfig, Running};
use mesos_wire::{Encoding, decode, v1};
use serde_json::Value;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct TestMaster {
    pub running: Running,
    pub stop: CancellationToken,
}

impl TestMaster {
    pub async fn start(mut config: MasterConfig) -> Self {
        config.listen = "127.0.0.1:0".parse().unwrap();
        Self::start_at(config).await
    }

    pub async fn start_at(config: MasterConfig) -> Self {
        let stop = CancellationToken::new();
        let level = LogLevel::new(0, |_| {});
        let running = mesos_master::start(config, level, stop.clone())
            .await
            .expect("the master starts");
        Self { running, stop }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.address)
    }

    pub async fn stop(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.running.wait())
            .await
            .expect("the master stops")
            .expect("in order");
    }
}

/// Waits until `found` answers, asking again and again.
pub async fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited in vain for {what}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A framework with an open stream.
pub struct Client {
    pub id: String,
    pub stream_id: String,
    url: String,
    http: reqwest::Client,
    stream: reqwest::Response,
    buffer: Vec<u8>,
    seen: VecDeque<Value>,
}

impl Client {
    pub async fn subscribe(master: &TestMaster, info: &str) -> Self {
        let http = reqwest::Client::new();
        let url = master.url("/api/v1/scheduler");
        let id =
            serde_json::from_str::<Value>(&format!("{{{info}}}")).expect("the info is JSON")["id"]
                .clone();
        let framework_id = if id.is_null() {
            String::new()
        } else {
            format!(r#""framework_id":{id},"#)
        };
        let body = format!(
            r#"{{"type":"SUBSCRIBE",{framework_id}"subscribe":{{"framework_info":{{"user":"u","name":"n",{info}}}}}}}"#
        );
        let request = http
            .post(&url)
            .header("Content-Type", "application/json")
            .body(body);
        let stream = timeout(PATIENCE, request.send())
            .await
            .expect("an answer")
            .expect("a response");
        assert_eq!(stream.status(), 200);
        let stream_id = stream.headers()["mesos-stream-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let mut client = Self {
            id: String::new(),
            stream_id,
            url,
            http,
            stream,
            buffer: Vec::new(),
            seen: VecDeque::new(),
        };
        let first = client.next().await;
        client.id = first["subscribed"]["framework_id"]["value"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        client.seen.push_front(first);
        client
    }

    /// The next event.
    pub async fn next(&mut self) -> Value {
        self.try_next().await.expect("the stream is open")
    }

    /// The next event; `None` at the end of the stream.
    pub async fn try_next(&mut self) -> Option<Value> {
        if let Some(event) = self.seen.pop_front() {
            return Some(event);
        }
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let length: usize = std::str::from_utf8(&self.buffer[..end])
                    .unwrap()
                    .parse()
                    .unwrap();
                if self.buffer.len() > end + length {
                    let record: Vec<u8> = self
                        .buffer
                        .drain(..end + 1 + length)
                        .skip(end + 1)
                        .collect();
                    return Some(serde_json::from_slice(&record).expect("an event is JSON"));
                }
            }
            match timeout(PATIENCE, self.stream.chunk())
                .await
                .expect("an event in time")
            {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// The next event of a type, dropping others.
    pub async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next().await;
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// The next update of a task in a state, dropping others.
    pub async fn update_of(&mut self, task: &str, state: &str) -> Value {
        loop {
            let event = self.next_of("UPDATE").await;
            let status = &event["update"]["status"];
            if status["task_id"]["value"] == task && status["state"] == state {
                return event;
            }
        }
    }

    pub async fn call(&self, call: &str) -> (u16, String) {
        let body = format!(r#"{{"framework_id":{{"value":"{}"}},{call}}}"#, self.id);
        let request = self
            .http
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("Mesos-Stream-Id", &self.stream_id)
            .body(body);
        let response = timeout(PATIENCE, request.send())
            .await
            .expect("an answer")
            .expect("a response");
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// A call that is accepted.
    pub async fn accepted(&self, call: &str) {
        assert_eq!(self.call(call).await, (202, String::new()), "{call}");
    }

    pub async fn launch(&self, offer: &Value, tasks: &[String]) {
        self.accepted(&format!(
            r#""type":"ACCEPT","accept":{{"offer_ids":[{}],"filters":{{"refuse_seconds":0}},
               "operations":[{{"type":"LAUNCH","launch":{{"task_infos":[{}]}}}}]}}"#,
            offer["id"],
            tasks.join(",")
        ))
        .await;
    }

    pub async fn acknowledge(&self, event: &Value) {
        self.acknowledging(event).await;
    }

    /// The acknowledgement of an update, to be waited for beside other things.
    pub fn acknowledging(&self, event: &Value) -> impl Future<Output = ()> + Send + 'static {
        let status = &event["update"]["status"];
        let call = format!(
            r#"{{"framework_id":{{"value":"{}"}},"type":"ACKNOWLEDGE","acknowledge":{{"agent_id":{},"task_id":{},"uuid":{}}}}}"#,
            self.id, status["agent_id"], status["task_id"], status["uuid"]
        );
        let request = self
            .http
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("Mesos-Stream-Id", &self.stream_id)
            .body(call);
        async move {
            let response = timeout(PATIENCE, request.send())
                .await
                .expect("an answer")
                .expect("a response");
            assert_eq!(response.status(), 202);
        }
    }
}

/// A command task on the agent of an offer.
pub fn task(id: &str, offer: &Value) -> String {
    format!(
        r#"{{"name":"{id}","task_id":{{"value":"{id}"}},"agent_id":{},
            "resources":[{{"name":"cpus","type":"SCALAR","scalar":{{"value":0.1}}}},
                         {{"name":"mem","type":"SCALAR","scalar":{{"value":32}}}}],
            "command":{{"value":"true"}}}}"#,
        offer["agent_id"]
    )
}

/// An agent with an open session.
pub struct Agent {
    pub id: String,
    out: mpsc::Sender<AgentMessage>,
    incoming: tonic::Streaming<MasterMessage>,
    sequence: u64,
    pub last: Option<MasterMessage>,
}

impl Agent {
    pub async fn register(master: &TestMaster) -> Self {
        Self::open(master, "", None).await
    }

    pub async fn register_at(master: &TestMaster, port: i32) -> Self {
        Self::open_at(master, "", None, port).await
    }

    pub async fn open(master: &TestMaster, id: &str, snapshot: Option<Snapshot>) -> Self {
        Self::open_at(master, id, snapshot, 5251).await
    }

    async fn open_at(master: &TestMaster, id: &str, snapshot: Option<Snapshot>, port: i32) -> Self {
        let mut info: v1::AgentInfo = decode(
            Encoding::Json,
            br#"{"hostname":"localhost","port":5251,
                "attributes":[{"name":"rack","type":"TEXT","text":{"value":"r1"}},
                              {"name":"num","type":"SCALAR","scalar":{"value":3}}],
                "resources":[
                {"name":"cpus","type":"SCALAR","scalar":{"value":4}},
                {"name":"mem","type":"SCALAR","scalar":{"value":4096}},
                {"name":"disk","type":"SCALAR","scalar":{"value":10000}},
                {"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31000,"end":32000}]}}]}"#,
        )
        .unwrap();
        let agent_id = (!id.is_empty()).then(|| v1::AgentId::from(id));
        info.id.clone_from(&agent_id);
        info.port = Some(port);
        let hello = Hello {
            protocol: Some(VersionRange {
                lowest: 1,
                highest: 1,
            }),
            snapshot_follows: agent_id.is_some(),
            agent_id,
            process_epoch: "e".to_owned(),
            session_epoch: 1,
            agent: Some(info),
            version: "1.11.0".to_owned(),
            capabilities: [
                "MULTI_ROLE",
                "HIERARCHICAL_ROLE",
                "RESERVATION_REFINEMENT",
                "RESIZE_VOLUME",
                "AGENT_OPERATION_FEEDBACK",
                "AGENT_DRAINING",
            ]
            .iter()
            .filter_map(|name| v1::agent_info::capability::Type::from_str_name(name))
            .map(|kind| v1::agent_info::Capability {
                r#type: Some(kind.into()),
            })
            .collect(),
            ..Hello::default()
        };
        let with_snapshot = hello.snapshot_follows;
        let (out, stream) = mpsc::channel(1024);
        let mut client = AgentControlClient::connect(master.url(""))
            .await
            .expect("the control service is there");
        let opened = client
            .session(ReceiverStream::new(stream))
            .await
            .expect("a session");
        let mut agent = Self {
            id: id.to_owned(),
            out,
            incoming: opened.into_inner(),
            sequence: 0,
            last: None,
        };
        agent.say(agent_message::Body::Hello(hello)).await;
        if with_snapshot {
            let bytes = prost::Message::encode_to_vec(&snapshot.unwrap_or_default());
            // In two pieces, as a large one would be.
            let half = bytes.len() / 2;
            for (data, last) in [(&bytes[..half], false), (&bytes[half..], true)] {
                let chunk = SnapshotChunk {
                    data: data.to_vec(),
                    last,
                };
                agent.say(agent_message::Body::Snapshot(chunk)).await;
            }
        }
        agent
    }

    /// Waits for the welcome and takes the id from it.
    pub async fn welcomed(mut self) -> Self {
        let Body::Welcome(welcome) = self.next().await else {
            panic!("not welcomed")
        };
        self.id = welcome.agent_id.unwrap().value;
        self
    }

    pub async fn say(&mut self, body: agent_message::Body) {
        self.sequence += 1;
        let message = AgentMessage {
            sequence: self.sequence,
            acknowledged: 0,
            body: Some(body),
        };
        self.out.send(message).await.expect("the session is open");
    }

    /// The next message that says something; pings are answered.
    pub async fn next(&mut self) -> Body {
        self.try_next().await.expect("the session is open")
    }

    pub async fn try_next(&mut self) -> Option<Body> {
        loop {
            let message = timeout(PATIENCE, self.incoming.message())
                .await
                .expect("a message in time")
                .ok()??;
            self.last = Some(message.clone());
            match message.body {
                Some(Body::Ping(_)) => {
                    self.say(agent_message::Body::Pong(mesos_control::v1::Pong {}))
                        .await
                }
                Some(Body::Nothing(_)) | None => {}
                Some(body) => return Some(body),
            }
        }
    }

    pub async fn update(&mut self, framework: &str, task: &str, state: v1::TaskState, uuid: u8) {
        let container = r#"{"container_id":{"value":"c"},"network_infos":[{"ip_addresses":[
            {"protocol":"IPv4","ip_address":"127.0.0.1"}]}],"executor_pid":7}"#;
        let status = v1::TaskStatus {
            task_id: task.into(),
            state: state.into(),
            source: Some(v1::task_status::Source::Executor.into()),
            agent_id: Some(self.id.as_str().into()),
            executor_id: Some(task.into()),
            uuid: Some(vec![uuid; 16]),
            timestamp: Some(1.5),
            container_status: Some(decode(Encoding::Json, container.as_bytes()).unwrap()),
            ..v1::TaskStatus::default()
        };
        let update = mesos_control::v1::StatusUpdate {
            framework_id: Some(framework.into()),
            executor_id: Some(task.into()),
            status: Some(status),
            latest_state: Some(state.into()),
        };
        self.say(agent_message::Body::Update(update)).await;
    }
}
