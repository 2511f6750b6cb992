//! A scheduler on the v1 HTTP API, in JSON, that acknowledges what it reads.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{self, Next, Records, Response};
use crate::task::Task;
use crate::wait::PATIENCE;

const PATH: &str = "/api/v1/scheduler";

/// States after which a task does not change any more.
pub const TERMINAL: [&str; 10] = [
    "TASK_FINISHED",
    "TASK_FAILED",
    "TASK_KILLED",
    "TASK_ERROR",
    "TASK_LOST",
    "TASK_DROPPED",
    "TASK_GONE",
    "TASK_GONE_BY_OPERATOR",
    "TASK_UNKNOWN",
    "TASK_UNREACHABLE",
];

/// A subscribed framework.
#[derive(Debug)]
pub struct Scheduler {
    master: SocketAddr,
    info: Value,
    framework_id: String,
    stream_id: String,
    events: Records,
    /// Read while waiting for something else.
    unread: VecDeque<Value>,
    /// Every status that came, in order, resent ones too.
    statuses: Vec<Value>,
    acknowledges: bool,
}

/// A FrameworkInfo for a test: checkpointing, partition aware, one role.
pub fn framework_info(name: &str) -> Value {
    json!({
        "user": "root",
        "name": name,
        "roles": ["*"],
        "checkpoint": true,
        "failover_timeout": 120.0,
        "capabilities": [
            {"type": "MULTI_ROLE"},
            {"type": "PARTITION_AWARE"},
            {"type": "TASK_KILLING_STATE"},
        ],
    })
}

impl Scheduler {
    /// Subscribes with [`framework_info`].
    ///
    /// # Panics
    /// When the master does not accept it.
    pub fn subscribe(master: SocketAddr, name: &str) -> Self {
        Self::subscribe_with(master, framework_info(name))
    }

    /// Subscribes with a FrameworkInfo of the test's own.
    ///
    /// # Panics
    /// When the master does not accept it.
    pub fn subscribe_with(master: SocketAddr, info: Value) -> Self {
        let (events, stream_id, framework_id) = open(master, &info, None).unwrap_or_else(|error| {
            panic!("the master at {master} does not take a framework: {error}")
        });
        Self {
            master,
            info,
            framework_id,
            stream_id,
            events,
            unread: VecDeque::new(),
            statuses: Vec::new(),
            acknowledges: true,
        }
    }

    /// Subscribes again as the same framework, after its stream broke or to take over.
    ///
    /// # Panics
    /// When the master does not accept it in time.
    pub fn resubscribe(&mut self) {
        let (events, stream_id, framework_id) =
            crate::wait_for("the framework is subscribed again", || {
                open(self.master, &self.info, Some(&self.framework_id))
            });
        assert_eq!(framework_id, self.framework_id, "a framework keeps its id");
        self.events = events;
        self.stream_id = stream_id;
        // Offers of the old stream are gone with it; statuses come again until acknowledged.
        self.unread.clear();
    }

    /// The framework's id.
    pub fn id(&self) -> &str {
        &self.framework_id
    }

    /// The id of its stream.
    pub fn stream_id(&self) -> &str {
        &self.stream_id
    }

    /// From now on, updates are acknowledged by the test itself, or not at all.
    pub fn acknowledge_nothing(&mut self) {
        self.acknowledges = false;
    }

    /// From now on, updates are acknowledged when they are read.
    pub fn acknowledge_all(&mut self) {
        self.acknowledges = true;
    }

    /// Sends a call, with framework id and stream id, and gives the answer.
    ///
    /// # Panics
    /// When the master is not there.
    pub fn send(&self, mut call: Value) -> Response {
        call["framework_id"] = json!({"value": self.framework_id});
        let headers = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
            ("Mesos-Stream-Id", self.stream_id.as_str()),
        ];
        http::request(
            self.master,
            "POST",
            PATH,
            &headers,
            call.to_string().as_bytes(),
        )
        .unwrap_or_else(|error| panic!("{call}: {error}"))
    }

    /// Sends a call that must be accepted.
    ///
    /// # Panics
    /// When the answer is not a 202 without body.
    pub fn call(&self, call: Value) {
        let response = self.send(call.clone());
        assert_eq!(
            (response.status, response.text().as_str()),
            (202, ""),
            "{call}"
        );
    }

    /// The next event, acknowledged if it is an update. `None` after `limit`.
    ///
    /// # Panics
    /// When the master ends the stream.
    pub fn event(&mut self, limit: Duration) -> Option<Value> {
        if let Some(event) = self.unread.pop_front() {
            return Some(event);
        }
        self.read(limit)
    }

    fn read(&mut self, limit: Duration) -> Option<Value> {
        let event = match self.events.next_json(limit) {
            Next::Got(event) => event,
            Next::Timeout => return None,
            Next::Closed => panic!(
                "the master ended the stream; statuses until then: {:#?}",
                self.statuses
            ),
        };
        if event["type"] == "UPDATE" {
            let status = &event["update"]["status"];
            self.statuses.push(status.clone());
            if self.acknowledges && !status["uuid"].is_null() {
                self.acknowledge(status);
            }
        }
        Some(event)
    }

    /// Reads events until `pick` takes one; the others stay for later.
    ///
    /// # Panics
    /// When none comes within [`PATIENCE`].
    pub fn find<T>(&mut self, what: &str, mut pick: impl FnMut(&Value) -> Option<T>) -> T {
        for at in 0..self.unread.len() {
            if let Some(found) = pick(&self.unread[at]) {
                self.unread.remove(at);
                return found;
            }
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Some(event) = self.read(left) else {
                panic!(
                    "no event came for: {what}; statuses: {:#?}; other events: {:#?}",
                    self.statuses, self.unread
                )
            };
            if let Some(found) = pick(&event) {
                return found;
            }
            // Heartbeats tell nothing later.
            if event["type"] != "HEARTBEAT" {
                self.unread.push_back(event);
            }
        }
    }

    /// The next offer. Further offers of the same event stay for later.
    ///
    /// # Panics
    /// When none comes.
    pub fn offer(&mut self) -> Value {
        let mut offers = self.find("an offer", |event| {
            (event["type"] == "OFFERS").then(|| {
                event["offers"]["offers"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default()
            })
        });
        assert!(!offers.is_empty(), "an OFFERS event without offers");
        let first = offers.remove(0);
        if !offers.is_empty() {
            self.unread
                .push_front(json!({"type": "OFFERS", "offers": {"offers": offers}}));
        }
        first
    }

    /// Waits for an offer and launches the tasks on it. What is left is offered again at once.
    ///
    /// # Panics
    /// When no offer comes.
    pub fn launch(&mut self, tasks: Vec<Task>) -> Value {
        let offer = self.offer();
        self.launch_on(&offer, tasks);
        offer
    }

    /// Launches the tasks on an offer.
    pub fn launch_on(&self, offer: &Value, tasks: Vec<Task>) {
        let infos: Vec<Value> = tasks.into_iter().map(|task| task.on(offer)).collect();
        self.accept(
            offer,
            json!([{"type": "LAUNCH", "launch": {"task_infos": infos}}]),
        );
    }

    /// Accepts an offer with these operations, without filters.
    pub fn accept(&self, offer: &Value, operations: Value) {
        self.call(json!({
            "type": "ACCEPT",
            "accept": {"offer_ids": [offer["id"]], "operations": operations, "filters": {"refuse_seconds": 0.0}},
        }));
    }

    /// Declines an offer for that many seconds.
    pub fn decline(&self, offer: &Value, refuse_seconds: f64) {
        self.call(json!({
            "type": "DECLINE",
            "decline": {"offer_ids": [offer["id"]], "filters": {"refuse_seconds": refuse_seconds}},
        }));
    }

    /// Kills a task.
    pub fn kill(&self, task: &str) {
        self.call(json!({"type": "KILL", "kill": {"task_id": {"value": task}}}));
    }

    /// Asks for the present state of tasks; of all, with an empty list.
    pub fn reconcile(&self, tasks: &[&str]) {
        let tasks: Vec<Value> = tasks
            .iter()
            .map(|task| json!({"task_id": {"value": task}}))
            .collect();
        self.call(json!({"type": "RECONCILE", "reconcile": {"tasks": tasks}}));
    }

    /// Acknowledges a status.
    pub fn acknowledge(&self, status: &Value) {
        self.call(json!({
            "type": "ACKNOWLEDGE",
            "acknowledge": {
                "agent_id": status["agent_id"],
                "task_id": status["task_id"],
                "uuid": status["uuid"],
            },
        }));
    }

    /// Ends the framework and its tasks.
    pub fn teardown(self) {
        self.call(json!({"type": "TEARDOWN"}));
    }

    /// The next status of a task that has not been looked at yet.
    ///
    /// # Panics
    /// When none comes.
    pub fn status(&mut self, task: &str) -> Value {
        self.find(&format!("a status of {task}"), |event| {
            let status = &event["update"]["status"];
            (event["type"] == "UPDATE" && status["task_id"]["value"] == task)
                .then(|| status.clone())
        })
    }

    /// Reads statuses of a task until it is in `state`.
    ///
    /// # Panics
    /// When it ends in another state, or does not get there.
    pub fn wait_state(&mut self, task: &str, state: &str) -> Value {
        loop {
            let status = self.status(task);
            if status["state"] == state {
                return status;
            }
            let terminal = TERMINAL.iter().any(|terminal| status["state"] == *terminal);
            assert!(
                !terminal,
                "{task} should come to {state} and ended: {status:#}"
            );
        }
    }

    /// Reads statuses of a task until it has ended.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_end(&mut self, task: &str) -> Value {
        loop {
            let status = self.status(task);
            if TERMINAL.iter().any(|terminal| status["state"] == *terminal) {
                return status;
            }
        }
    }

    /// States of a task in the order they came, the same one in a row once.
    pub fn states(&self, task: &str) -> Vec<String> {
        let mut states: Vec<String> = self
            .statuses
            .iter()
            .filter(|status| status["task_id"]["value"] == task)
            .map(|status| status["state"].as_str().unwrap_or_default().to_owned())
            .collect();
        states.dedup();
        states
    }

    /// Reads all that comes within `time` and fails on a terminal status.
    ///
    /// # Panics
    /// When a task ends.
    pub fn nothing_ends_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Some(event) = self.read(until.saturating_duration_since(Instant::now())) {
            let state = &event["update"]["status"]["state"];
            assert!(
                !TERMINAL.iter().any(|terminal| state == *terminal),
                "a task ended: {event:#}"
            );
        }
    }
}

/// The stream, its id, and the framework's id.
fn open(
    master: SocketAddr,
    info: &Value,
    framework_id: Option<&str>,
) -> Result<(Records, String, String), String> {
    let mut info = info.clone();
    let mut call = json!({"type": "SUBSCRIBE"});
    if let Some(id) = framework_id {
        info["id"] = json!({"value": id});
        call["framework_id"] = json!({"value": id});
    }
    call["subscribe"] = json!({"framework_info": info});
    let headers = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
    ];
    let stream = http::post_stream(master, PATH, &headers, call.to_string().as_bytes())
        .map_err(|error| error.to_string())?;
    if stream.status != 200 {
        let body = match stream.next(PATIENCE) {
            Next::Got(body) => String::from_utf8_lossy(&body).into_owned(),
            Next::Timeout | Next::Closed => String::new(),
        };
        return Err(format!("{}: {body}", stream.status));
    }
    let stream_id = stream
        .header("mesos-stream-id")
        .ok_or("no Mesos-Stream-Id")?
        .to_owned();
    let mut events = Records::new(stream);
    match events.next_json(PATIENCE) {
        Next::Got(first) if first["type"] == "SUBSCRIBED" => {
            let id = first["subscribed"]["framework_id"]["value"]
                .as_str()
                .ok_or("SUBSCRIBED without id")?;
            Ok((events, stream_id, id.to_owned()))
        }
        other => Err(format!("SUBSCRIBED should come first: {other:?}")),
    }
}
