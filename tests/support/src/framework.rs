//! A framework that follows its masters: it finds the leader, subscribes again, and notes all that it is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{self, Next, Records, Response};
use crate::scheduler::TERMINAL;
use crate::task::Task;
use crate::wait::wait_for;

const PATH: &str = "/api/v1/scheduler";
/// How long a master may take for one answer before it counts as gone.
const ANSWER: Duration = Duration::from_secs(2);
/// How long the stream may be silent before the master is asked whether it still leads.
const SILENCE: Duration = Duration::from_millis(500);
/// Pause between two rounds of looking for a leader.
const PAUSE: Duration = Duration::from_millis(50);

/// What a framework was told.
#[derive(Debug, Default)]
pub struct Notes {
    /// Its id, once it has one.
    pub id: Option<String>,
    /// The leader whose stream is open, and the stream's id.
    pub stream: Option<(SocketAddr, String)>,
    /// Offers of the open stream that were neither used nor rescinded.
    pub offers: Vec<Value>,
    /// All statuses of each task, in the order they came.
    pub statuses: HashMap<String, Vec<Value>>,
    /// When each subscription succeeded, and with which master.
    pub subscriptions: Vec<(Instant, SocketAddr)>,
    /// What should not have come to pass.
    pub problems: Vec<String>,
}

/// What became of one attempt to launch a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launched {
    /// There was no such offer, or the master refused the call.
    No,
    /// The master took the call, for this agent.
    Yes(String),
    /// Nobody knows whether the call came to a master; it was for this agent.
    Perhaps(String),
}

/// A subscribed framework on a thread of its own. It acknowledges every update that it has noted.
#[derive(Debug)]
pub struct Framework {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    masters: Vec<SocketAddr>,
    info: Value,
    notes: Mutex<Notes>,
    over: AtomicBool,
}

impl Framework {
    /// Begins to look for the leader among these masters, and subscribes there.
    ///
    /// # Panics
    /// When none takes it.
    pub fn start(masters: Vec<SocketAddr>, info: Value) -> Self {
        let shared = Arc::new(Shared {
            masters,
            info,
            notes: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let worker = shared.clone();
        let framework = Self {
            shared,
            thread: Some(std::thread::spawn(move || worker.run())),
        };
        wait_for("the framework is subscribed", || {
            let notes = framework.notes();
            notes.stream.as_ref().map(|_| ()).ok_or("not yet")
        });
        framework
    }

    /// All that it was told so far. Nothing more is noted while this is held.
    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        self.shared.notes()
    }

    /// Its id.
    ///
    /// # Panics
    /// Before it has one.
    pub fn id(&self) -> String {
        self.notes().id.clone().expect("it has subscribed")
    }

    /// The newest status of a task.
    pub fn status(&self, task: &str) -> Option<Value> {
        self.notes().statuses.get(task)?.last().cloned()
    }

    /// The newest state of a task; empty when there was none.
    pub fn state(&self, task: &str) -> String {
        let status = self.status(task).unwrap_or_default();
        status["state"].as_str().unwrap_or_default().to_owned()
    }

    /// The first terminal status of a task.
    pub fn end(&self, task: &str) -> Option<Value> {
        let notes = self.notes();
        let all = notes.statuses.get(task)?;
        all.iter()
            .find(|status| TERMINAL.iter().any(|end| status["state"] == *end))
            .cloned()
    }

    /// Waits until a task's newest state is this one.
    ///
    /// # Panics
    /// When it ends otherwise, or does not get there.
    pub fn wait_state(&self, task: &str, state: &str) -> Value {
        wait_for(&format!("{task} comes to {state}"), || {
            let status = self.status(task).unwrap_or_default();
            if status["state"] == state {
                return Ok(status);
            }
            if let Some(end) = self.end(task) {
                panic!("{task} should come to {state} and ended: {end:#}");
            }
            Err(status)
        })
    }

    /// Waits until a master other than `old` has taken it.
    ///
    /// # Panics
    /// When none does.
    pub fn wait_for_master(&self, master: SocketAddr) {
        wait_for("the framework is subscribed with the leader", || {
            let stream = self.notes().stream.clone();
            match stream {
                Some((at, _)) if at == master => Ok(()),
                other => Err(other),
            }
        });
    }

    /// Launches a task once, on an offer of that agent, or of any.
    pub fn try_launch(&self, task: Task, agent: Option<&str>) -> Launched {
        let offer = {
            let mut notes = self.notes();
            let at = notes.offers.iter().position(|offer| {
                let on = offer["agent_id"]["value"].as_str();
                has_room(offer) && (agent.is_none() || on == agent)
            });
            at.map(|at| notes.offers.remove(at))
        };
        let Some(offer) = offer else {
            return Launched::No;
        };
        let on = offer["agent_id"]["value"].as_str().unwrap_or_default();
        let call = json!({
            "type": "ACCEPT",
            "accept": {
                "offer_ids": [offer["id"]],
                "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task.on(&offer)]}}],
                "filters": {"refuse_seconds": 0.0},
            },
        });
        match self.send(call) {
            Ok(answer) if answer.status == 202 => Launched::Yes(on.to_owned()),
            Ok(_) => Launched::No,
            Err(_) => Launched::Perhaps(on.to_owned()),
        }
    }

    /// Launches a task, and waits until it runs.
    ///
    /// # Panics
    /// When it does not.
    pub fn launch(&self, task: Task, agent: Option<&str>) -> Value {
        let id = task.id().to_owned();
        wait_for("an offer that takes the task", || {
            match self.try_launch(task.clone(), agent) {
                Launched::Yes(_) => Ok(()),
                other => Err(other),
            }
        });
        self.wait_state(&id, "TASK_RUNNING")
    }

    /// Sends a call to the leader.
    ///
    /// # Errors
    /// When there is none, or it does not answer.
    pub fn send(&self, mut call: Value) -> Result<Response, String> {
        let (master, stream) = self.notes().stream.clone().ok_or("no leader")?;
        call["framework_id"] = json!({"value": self.id()});
        post(master, Some(&stream), &call)
    }

    /// Asks for the state of these tasks on their agents; of all, with an empty list. False: nobody took the
    /// call.
    pub fn reconcile(&self, tasks: &[(String, String)]) -> bool {
        let tasks: Vec<Value> = tasks
            .iter()
            .map(|(task, agent)| json!({"task_id": {"value": task}, "agent_id": {"value": agent}}))
            .collect();
        let call = json!({"type": "RECONCILE", "reconcile": {"tasks": tasks}});
        self.send(call).is_ok_and(|answer| answer.status == 202)
    }

    /// Kills a task. False: nobody took the call.
    pub fn kill(&self, task: &str) -> bool {
        let call = json!({"type": "KILL", "kill": {"task_id": {"value": task}}});
        self.send(call).is_ok_and(|answer| answer.status == 202)
    }

    /// Ends the framework and its tasks.
    ///
    /// # Panics
    /// When no leader takes the call.
    pub fn teardown(mut self) {
        wait_for("the framework is torn down", || {
            let answer = self.send(json!({"type": "TEARDOWN"}))?;
            match answer.status {
                202 => Ok(()),
                status => Err(format!("{status}: {}", answer.text())),
            }
        });
        self.end_thread();
    }

    fn end_thread(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // Its panics have been shown by the thread itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Framework {
    fn drop(&mut self) {
        self.end_thread();
    }
}

/// Whether an offer has room for a small task.
fn has_room(offer: &Value) -> bool {
    let amount = |name: &str| {
        let all = offer["resources"].as_array().into_iter().flatten();
        all.filter(|resource| resource["name"] == name)
            .filter_map(|resource| resource["scalar"]["value"].as_f64())
            .sum::<f64>()
    };
    amount("cpus") >= 0.1 && amount("mem") >= 32.0
}

fn post(master: SocketAddr, stream: Option<&str>, call: &Value) -> Result<Response, String> {
    let mut headers = vec![
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
    ];
    headers.extend(stream.map(|stream| ("Mesos-Stream-Id", stream)));
    let body = call.to_string();
    http::request_within(ANSWER, master, "POST", PATH, &headers, body.as_bytes())
        .map_err(|error| error.to_string())
}

impl Shared {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        // A test that failed while it looked must not hide its own words behind ours.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    fn run(&self) {
        while !self.over() {
            if let Some(master) = self.leader()
                && let Ok(events) = self.subscribe(master)
            {
                self.follow(master, events);
                let mut notes = self.notes();
                notes.stream = None;
                notes.offers.clear();
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// A master that says of itself that it leads.
    fn leader(&self) -> Option<SocketAddr> {
        let leads = |master: &&SocketAddr| leads(**master);
        self.masters.iter().find(leads).copied()
    }

    fn subscribe(&self, master: SocketAddr) -> Result<Records, String> {
        let mut info = self.info.clone();
        let mut call = json!({"type": "SUBSCRIBE"});
        let old = self.notes().id.clone();
        if let Some(id) = &old {
            info["id"] = json!({"value": id});
            call["framework_id"] = json!({"value": id});
        }
        call["subscribe"] = json!({"framework_info": info});
        let headers = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
        ];
        let body = call.to_string();
        let stream = http::post_stream_within(ANSWER, master, PATH, &headers, body.as_bytes())
            .map_err(|error| error.to_string())?;
        let stream_id = stream.header("mesos-stream-id").map(str::to_owned);
        let (200, Some(stream_id)) = (stream.status, stream_id) else {
            return Err(format!("{}", stream.status));
        };
        let mut events = Records::new(stream);
        let Next::Got(first) = events.next_json(ANSWER) else {
            return Err("no event".to_owned());
        };
        let id = first["subscribed"]["framework_id"]["value"].as_str();
        let mut notes = self.notes();
        match (id, old) {
            (None, _) => {
                notes
                    .problems
                    .push(format!("instead of SUBSCRIBED: {first}"));
                return Err("not subscribed".to_owned());
            }
            (Some(id), Some(old)) if id != old => {
                notes.problems.push(format!("{old} was renamed {id}"));
            }
            (Some(_), _) => {}
        }
        notes.id = id.map(str::to_owned);
        notes.stream = Some((master, stream_id));
        notes.subscriptions.push((Instant::now(), master));
        Ok(events)
    }

    /// Reads events until the stream ends, or its master leads no more.
    fn follow(&self, master: SocketAddr, mut events: Records) {
        let mut looked = Instant::now();
        while !self.over() {
            match events.next_json(SILENCE) {
                Next::Got(event) => self.note(master, &event),
                Next::Closed => return,
                Next::Timeout => {}
            }
            // One that is frozen does not close its streams; whoever leads meanwhile says so.
            if looked.elapsed() >= SILENCE {
                looked = Instant::now();
                if !leads(master) && self.leader().is_some_and(|leader| leader != master) {
                    return;
                }
            }
        }
    }

    fn note(&self, master: SocketAddr, event: &Value) {
        let mut notes = self.notes();
        match event["type"].as_str().unwrap_or_default() {
            "OFFERS" => {
                let offers = event["offers"]["offers"].as_array();
                notes.offers.extend(offers.into_iter().flatten().cloned());
            }
            "RESCIND" => {
                let gone = &event["rescind"]["offer_id"];
                notes.offers.retain(|offer| offer["id"] != *gone);
            }
            "ERROR" => notes.problems.push(event.to_string()),
            "UPDATE" => {
                let status = event["update"]["status"].clone();
                let task = status["task_id"]["value"].as_str().unwrap_or_default();
                let all = notes.statuses.entry(task.to_owned()).or_default();
                all.push(status.clone());
                let (id, stream) = (notes.id.clone(), notes.stream.clone());
                drop(notes);
                if !status["uuid"].is_null() {
                    let call = json!({
                        "type": "ACKNOWLEDGE",
                        "framework_id": {"value": id},
                        "acknowledge": {
                            "agent_id": status["agent_id"],
                            "task_id": status["task_id"],
                            "uuid": status["uuid"],
                        },
                    });
                    // One that is lost is asked for by the update that comes again.
                    let _ = post(master, stream.as_ref().map(|(_, id)| id.as_str()), &call);
                }
            }
            _ => {}
        }
    }
}

/// Whether a master says that it leads.
pub fn leads(master: SocketAddr) -> bool {
    let answer = http::request_within(ANSWER, master, "GET", "/slaves", &[], b"");
    answer.is_ok_and(|answer| answer.status == 200)
}
