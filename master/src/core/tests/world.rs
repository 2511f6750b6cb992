//! A master core with everything around it played by the test.
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use mesos_control::v1::{
    Hello, Pong, Snapshot, StatusUpdate, VersionRange, agent_message, master_message::Body,
};
use mesos_http::AllowAll;
use mesos_types::{AgentId, FrameworkId, Resources, TaskId};
use mesos_wire::{
    Encoding, WireMessage, decode, encode,
    v1::{self, AgentInfo, MasterInfo, TaskState, scheduler},
};

use crate::{
    clock::Now,
    config::MasterConfig,
    core::{AgentHello, Core, Effect, Event, Reply},
    counters::Counters,
    registry::{Change as RegistryChange, Registry},
    state::Identity,
};

/// Any message from its JSON.
pub fn json<M: WireMessage>(text: &str) -> M {
    decode(Encoding::Json, text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Any message as JSON.
pub fn text<M: WireMessage>(message: &M) -> String {
    String::from_utf8(encode(Encoding::Json, message)).expect("JSON is UTF-8")
}

pub struct World {
    pub core: Core,
    pub now: Now,
    /// Events by stream, oldest first, until they are taken.
    pub events: BTreeMap<u64, VecDeque<scheduler::Event>>,
    pub messages: BTreeMap<u64, VecDeque<Body>>,
    pub closed_streams: BTreeSet<u64>,
    pub closed_sessions: BTreeSet<u64>,
    pub registry: Vec<RegistryChange>,
    /// Tokens that wait when the registry is held.
    pub held: Option<Vec<u64>>,
    /// Whether agents answer pings.
    pub pong: bool,
    /// What further agents can do.
    pub capabilities: Vec<v1::agent_info::capability::Type>,
    aborted: Option<String>,
    numbers: u64,
    replies: BTreeMap<u64, Reply>,
}

/// A framework as a test sees it.
#[derive(Debug, Clone)]
pub struct Client {
    pub id: String,
    pub stream: u64,
    pub stream_id: String,
}

/// An agent as a test sees it.
#[derive(Debug, Clone)]
pub struct FakeAgent {
    pub id: String,
    pub session: u64,
    pub epoch: String,
    pub port: i32,
    pub resources: &'static str,
}

pub const RESOURCES: &str = r#"[
    {"name":"cpus","type":"SCALAR","scalar":{"value":4}},
    {"name":"mem","type":"SCALAR","scalar":{"value":4096}},
    {"name":"disk","type":"SCALAR","scalar":{"value":10000}},
    {"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31000,"end":32000}]}}]"#;

/// Capabilities that most tests use.
pub const AWARE: &str = r#""capabilities":[{"type":"MULTI_ROLE"},{"type":"PARTITION_AWARE"},{"type":"TASK_KILLING_STATE"}],"roles":["*"],"failover_timeout":60"#;

impl World {
    pub fn new() -> Self {
        Self::with(MasterConfig::default(), Registry::default())
    }

    pub fn with(config: MasterConfig, registry: Registry) -> Self {
        Self::named("M", config, registry)
    }

    /// A master of another id.
    pub fn named(id: &str, config: MasterConfig, registry: Registry) -> Self {
        let now = Now {
            monotonic: Instant::now(),
            wall: Duration::from_secs(1_700_000_000),
        };
        let identity = Identity {
            info: MasterInfo {
                id: id.to_owned(),
                port: 5050,
                ..MasterInfo::default()
            },
            cluster: None,
            start_time: now.seconds(),
            elected_time: now.seconds(),
        };
        let core = Core::new(
            Arc::new(config),
            identity,
            registry,
            Arc::new(AllowAll),
            Arc::new(Counters::default()),
            now,
        );
        Self {
            core,
            now,
            events: BTreeMap::new(),
            messages: BTreeMap::new(),
            closed_streams: BTreeSet::new(),
            closed_sessions: BTreeSet::new(),
            registry: Vec::new(),
            held: None,
            pong: true,
            capabilities: {
                use v1::agent_info::capability::Type;
                vec![
                    Type::MultiRole,
                    Type::HierarchicalRole,
                    Type::ReservationRefinement,
                ]
            },
            aborted: None,
            numbers: 0,
            replies: BTreeMap::new(),
        }
    }

    pub fn event(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for effect in self.core.handle(self.now, event) {
                match effect {
                    Effect::Reply { request, reply } => {
                        assert!(
                            self.replies.insert(request, reply).is_none(),
                            "one reply to each request"
                        );
                    }
                    Effect::Event { stream, event } => {
                        assert!(
                            !self.closed_streams.contains(&stream),
                            "no event after the end of a stream"
                        );
                        self.events.entry(stream).or_default().push_back(*event);
                    }
                    Effect::CloseStream { stream } => {
                        self.closed_streams.insert(stream);
                    }
                    Effect::Message { session, body } => {
                        assert!(
                            !self.closed_sessions.contains(&session),
                            "no message after the end of a session"
                        );
                        if let (Body::Ping(_), true) = (&*body, self.pong) {
                            let body = Box::new(agent_message::Body::Pong(Pong {}));
                            events.push_back(Event::Agent { session, body });
                            continue;
                        }
                        self.messages.entry(session).or_default().push_back(*body);
                    }
                    Effect::Abort(why) => self.aborted = Some(why),
                    Effect::CloseSession { session } => {
                        self.closed_sessions.insert(session);
                    }
                    Effect::Registry { token, change } => {
                        self.registry.push(change);
                        match &mut self.held {
                            Some(held) => held.push(token),
                            None => events.push_back(Event::Registered { token }),
                        }
                    }
                }
            }
        }
        self.check_books();
    }

    /// Lets the registry answer everything that waits.
    pub fn release_registry(&mut self) {
        for token in self.held.take().unwrap_or_default() {
            self.event(Event::Registered { token });
        }
    }

    /// Moves the clock, stopping wherever something is due.
    pub fn advance(&mut self, by: Duration) {
        let end = self.now.monotonic + by;
        loop {
            let due = self.core.deadline().filter(|due| *due <= end);
            let next = due.unwrap_or(end).max(self.now.monotonic);
            self.now.wall += next - self.now.monotonic;
            self.now.monotonic = next;
            self.event(Event::Tick);
            if due.is_none() {
                return;
            }
        }
    }

    /// Long enough for an allocation that was woken up.
    pub fn settle(&mut self) {
        self.advance(Duration::from_millis(10));
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// What holds after every event: sums agree with what they sum up, links lead both ways.
    fn check_books(&mut self) {
        let state = self.core.state();
        for framework in state.frameworks.values() {
            let mut used: BTreeMap<AgentId, Resources> = BTreeMap::new();
            for task in framework
                .tasks
                .values()
                .filter(|task| task.holds_resources())
            {
                *used.entry(task.agent_id.clone()).or_default() += &task.resources;
            }
            for executor in framework.executors.values() {
                *used.entry(executor.agent_id.clone()).or_default() += &executor.resources;
            }
            let kept: BTreeMap<_, _> = framework.used_on.clone().into_iter().collect();
            assert_eq!(kept, used, "used of {}", framework.id);
            let mut offered: BTreeMap<AgentId, Resources> = BTreeMap::new();
            for offer in &framework.offers {
                let offer = &state.offers[offer];
                *offered.entry(offer.agent_id.clone()).or_default() += &offer.resources;
            }
            let kept: BTreeMap<_, _> = framework.offered_on.clone().into_iter().collect();
            assert_eq!(kept, offered, "offered of {}", framework.id);
        }
        for agent in state.agents.values() {
            let mut held = agent.offered.clone();
            for (framework, used) in &agent.used {
                assert!(!used.is_empty() && state.frameworks.contains_key(framework));
                held += used;
            }
            let own = held.unallocated().filter(|r| !r.meta.shared);
            let shared = held.unallocated().filter(|r| r.meta.shared);
            assert!(
                agent.total.contains(&own)
                    && shared
                        .distinct()
                        .all(|r| agent.total.contains(&r.clone().into())),
                "agent {} has {} and {} is held",
                agent.id,
                agent.total,
                held
            );
            let (total, booked) = self.core.allocation.books(&agent.id);
            assert_eq!(total, agent.total, "total of {}", agent.id);
            assert_eq!(booked, held, "held on {}", agent.id);
            for key in &agent.tasks {
                assert_eq!(
                    state.task(key).expect("an agent's task is known").agent_id,
                    agent.id
                );
            }
            for offer in &agent.offers {
                assert!(state.offers.contains_key(offer));
            }
        }
        for agent in state.agents.values().filter(|agent| !agent.active()) {
            assert!(agent.offers.is_empty(), "{} is not offered", agent.id);
            let planned = agent.planned.as_ref();
            assert!(planned.is_none_or(|planned| planned.inverse_offers.is_empty()));
        }
        for (id, offer) in &state.inverse_offers {
            assert!(
                state.frameworks[&offer.framework_id]
                    .inverse_offers
                    .contains(id)
            );
            let planned = state.agents[&offer.agent_id].planned.as_ref();
            assert!(planned.expect("a plan").inverse_offers.contains(id));
        }
        let asked: usize = state
            .frameworks
            .values()
            .map(|one| one.inverse_offers.len())
            .sum();
        assert_eq!(asked, state.inverse_offers.len());
        let on_agents: usize = state.agents.values().map(|agent| agent.tasks.len()).sum();
        let of_frameworks: usize = state
            .frameworks
            .values()
            .map(|framework| framework.tasks.len())
            .sum();
        assert_eq!(on_agents, of_frameworks);
    }

    // Frameworks.

    pub fn subscribe(&mut self, info: &str) -> Client {
        let subscribe = format!(r#"{{"framework_info":{{"user":"u","name":"n",{info}}}}}"#);
        self.subscribe_with(&subscribe)
    }

    pub fn subscribe_with(&mut self, subscribe: &str) -> Client {
        let (request, stream) = (self.number(), self.number());
        let stream_id = format!("stream-{stream}");
        self.event(Event::Subscribe {
            request,
            stream,
            stream_id: stream_id.clone(),
            subscribe: Box::new(json(subscribe)),
            principal: None,
        });
        assert_eq!(self.replies.remove(&request), Some(Reply::Stream));
        let first = self.events.get(&stream).and_then(|events| events.front());
        let id = first
            .and_then(|event| event.subscribed.as_ref())
            .map(|subscribed| subscribed.framework_id.value.clone())
            .unwrap_or_default();
        Client {
            id,
            stream,
            stream_id,
        }
    }

    /// A call of the framework: `"type":"KILL","kill":{...}`.
    pub fn call(&mut self, client: &Client, call: &str) -> Reply {
        self.call_as(client, Some(&client.stream_id.clone()), call)
    }

    pub fn call_as(&mut self, client: &Client, stream_id: Option<&str>, call: &str) -> Reply {
        let request = self.number();
        let call: scheduler::Call = json(&format!(
            r#"{{"framework_id":{{"value":"{}"}},{call}}}"#,
            client.id
        ));
        crate::validation::call::validate(&call, None).expect("the test's call is valid in itself");
        self.event(Event::Call {
            request,
            stream_id: stream_id.map(str::to_owned),
            principal: None,
            call: Box::new(call),
        });
        self.replies
            .remove(&request)
            .expect("every call is answered at once")
    }

    /// An operator's call that is answered at once.
    pub fn operate(&mut self, principal: Option<&str>, call: v1::master::Call) -> Reply {
        let request = self.number();
        self.event(Event::Operator {
            request,
            principal: principal.map(str::to_owned),
            call: Box::new(call),
        });
        self.replies
            .remove(&request)
            .expect("the call is answered at once")
    }

    /// An operator's call: `"type":"DRAIN_AGENT","drain_agent":{...}`. Answered at once, as the registry is.
    pub fn order(&mut self, call: &str) -> Reply {
        let request = self.order_later(call);
        self.answer(request).expect("the call is answered")
    }

    /// An operator's call that may be answered later.
    pub fn order_later(&mut self, call: &str) -> u64 {
        let request = self.number();
        self.event(Event::Operator {
            request,
            principal: None,
            call: Box::new(json(&format!("{{{call}}}"))),
        });
        request
    }

    /// Takes the answer to a request, if there is one.
    pub fn answer(&mut self, request: u64) -> Option<Reply> {
        self.replies.remove(&request)
    }

    /// Why the core wanted the master to end.
    pub fn aborted(&mut self) -> Option<String> {
        self.aborted.take()
    }

    /// Takes the stream's events, each in one line of JSON.
    pub fn take(&mut self, client: &Client) -> Vec<String> {
        let events = self.events.remove(&client.stream).unwrap_or_default();
        events.iter().map(text).collect()
    }

    /// Takes the stream's updates as `task STATE REASON`, `-` without a reason.
    pub fn updates(&mut self, client: &Client) -> Vec<String> {
        let events = self.events.remove(&client.stream).unwrap_or_default();
        events
            .into_iter()
            .filter_map(|event| event.update)
            .map(|update| {
                let status = update.status;
                let reason = status.reason.map_or("-", |_| status.reason().as_str_name());
                format!(
                    "{} {} {reason}",
                    status.task_id,
                    status.state().as_str_name()
                )
            })
            .collect()
    }

    /// Takes the offers of the stream, dropping other events.
    pub fn offers(&mut self, client: &Client) -> Vec<v1::Offer> {
        let events = self.events.remove(&client.stream).unwrap_or_default();
        events
            .into_iter()
            .filter_map(|event| event.offers)
            .flat_map(|offers| offers.offers)
            .collect()
    }

    /// Takes the only offer.
    pub fn offer(&mut self, client: &Client) -> v1::Offer {
        self.settle();
        let mut offers = self.offers(client);
        assert_eq!(offers.len(), 1, "one offer is there");
        offers.remove(0)
    }

    pub fn accept(
        &mut self,
        client: &Client,
        offers: &[&v1::Offer],
        tasks: &str,
        refuse: f64,
    ) -> Reply {
        let ids: Vec<String> = offers
            .iter()
            .map(|offer| format!(r#"{{"value":"{}"}}"#, offer.id))
            .collect();
        self.call(
            client,
            &format!(
                r#""type":"ACCEPT","accept":{{"offer_ids":[{}],"filters":{{"refuse_seconds":{refuse}}},
                   "operations":[{{"type":"LAUNCH","launch":{{"task_infos":[{tasks}]}}}}]}}"#,
                ids.join(",")
            ),
        )
    }

    pub fn decline(&mut self, client: &Client, offer: &v1::Offer, refuse: f64) -> Reply {
        self.call(
            client,
            &format!(
                r#""type":"DECLINE","decline":{{"offer_ids":[{{"value":"{}"}}],"filters":{{"refuse_seconds":{refuse}}}}}"#,
                offer.id
            ),
        )
    }

    pub fn close_stream(&mut self, client: &Client) {
        self.event(Event::StreamClosed {
            stream: client.stream,
        });
    }

    // Agents.

    pub fn agent(&mut self) -> FakeAgent {
        self.agent_at(5051)
    }

    pub fn agent_at(&mut self, port: i32) -> FakeAgent {
        let agent = FakeAgent {
            id: String::new(),
            session: 0,
            epoch: format!("epoch-{port}"),
            port,
            resources: RESOURCES,
        };
        self.hello(agent, None)
    }

    /// The agent opens a new session, with what it holds when it has an id.
    pub fn hello(&mut self, mut agent: FakeAgent, snapshot: Option<Snapshot>) -> FakeAgent {
        agent.session = self.number();
        let mut info: AgentInfo = json(&format!(
            r#"{{"hostname":"host","port":{},"resources":{}}}"#,
            agent.port, agent.resources
        ));
        let agent_id = (!agent.id.is_empty()).then(|| v1::AgentId::from(agent.id.as_str()));
        info.id.clone_from(&agent_id);
        let snapshot = agent_id.is_some().then(|| snapshot.unwrap_or_default());
        let hello = Hello {
            protocol: Some(VersionRange {
                lowest: 1,
                highest: 1,
            }),
            agent_id,
            process_epoch: agent.epoch.clone(),
            agent: Some(info),
            version: "1.11.0".to_owned(),
            capabilities: self
                .capabilities
                .iter()
                .map(|kind| v1::agent_info::Capability {
                    r#type: Some((*kind).into()),
                })
                .collect(),
            snapshot_follows: snapshot.is_some(),
            ..Hello::default()
        };
        self.event(Event::Hello(Box::new(AgentHello {
            session: agent.session,
            peer: "127.0.0.1".to_owned(),
            hello,
            snapshot,
        })));
        if let Some(Body::Welcome(welcome)) = self
            .messages
            .get(&agent.session)
            .and_then(|all| all.front())
        {
            agent.id = welcome
                .agent_id
                .as_ref()
                .expect("a welcome names the agent")
                .value
                .clone();
        }
        agent
    }

    /// Takes the messages to an agent.
    pub fn messages(&mut self, agent: &FakeAgent) -> Vec<Body> {
        self.messages
            .remove(&agent.session)
            .unwrap_or_default()
            .into()
    }

    pub fn say(&mut self, agent: &FakeAgent, body: agent_message::Body) {
        self.event(Event::Agent {
            session: agent.session,
            body: Box::new(body),
        });
    }

    /// A status update with the uuid of sixteen times `uuid`.
    pub fn update(
        &mut self,
        agent: &FakeAgent,
        client: &Client,
        task: &str,
        state: TaskState,
        uuid: u8,
    ) {
        self.update_ahead(agent, client, task, state, state, uuid);
    }

    pub fn update_ahead(
        &mut self,
        agent: &FakeAgent,
        client: &Client,
        task: &str,
        state: TaskState,
        latest: TaskState,
        uuid: u8,
    ) {
        let status = v1::TaskStatus {
            task_id: task.into(),
            state: state.into(),
            source: Some(v1::task_status::Source::Executor.into()),
            agent_id: Some(agent.id.as_str().into()),
            executor_id: Some(task.into()),
            uuid: Some(vec![uuid; 16]),
            timestamp: Some(1.0),
            ..v1::TaskStatus::default()
        };
        let update = StatusUpdate {
            framework_id: Some(client.id.as_str().into()),
            executor_id: Some(task.into()),
            status: Some(status),
            latest_state: Some(latest.into()),
        };
        self.say(agent, agent_message::Body::Update(update));
    }

    pub fn acknowledge(
        &mut self,
        agent: &FakeAgent,
        client: &Client,
        task: &str,
        uuid: u8,
    ) -> Reply {
        let call = scheduler::Call {
            acknowledge: Some(scheduler::call::Acknowledge {
                agent_id: agent.id.as_str().into(),
                task_id: task.into(),
                uuid: vec![uuid; 16],
            }),
            ..scheduler::Call::default()
        };
        let text = text(&call);
        self.call(
            client,
            &format!(r#""type":"ACKNOWLEDGE",{}"#, &text[1..text.len() - 1]),
        )
    }

    pub fn close_session(&mut self, agent: &FakeAgent) {
        self.event(Event::SessionClosed {
            session: agent.session,
        });
    }

    /// What an agent holds that runs these tasks of a framework, as the master knows them.
    pub fn holds(&self, client: &Client, tasks: &[&str]) -> Snapshot {
        let framework = &self.core.state().frameworks[&FrameworkId::from(client.id.as_str())];
        Snapshot {
            frameworks: vec![(*framework.info).clone()],
            tasks: tasks
                .iter()
                .map(|task| framework.tasks[&TaskId::from(*task)].to_wire())
                .collect(),
            executors: framework
                .executors
                .values()
                .map(|executor| (*executor.info).clone())
                .collect(),
            ..Snapshot::default()
        }
    }

    /// An agent with one offer out to a framework.
    pub fn pair(&mut self) -> (Client, FakeAgent) {
        let client = self.subscribe(AWARE);
        let agent = self.agent();
        (client, agent)
    }

    /// A framework with tasks that run on an agent; all events so far are taken.
    pub fn running(&mut self, tasks: &[&str]) -> (Client, FakeAgent) {
        let (client, agent) = self.pair();
        self.run(&client, &agent, tasks);
        (client, agent)
    }

    pub fn run(&mut self, client: &Client, agent: &FakeAgent, tasks: &[&str]) {
        let offer = self.offer(client);
        let infos: Vec<String> = tasks.iter().map(|id| task(id, &agent.id, 1.0)).collect();
        self.accept(client, &[&offer], &infos.join(","), 3600.0);
        for id in tasks {
            self.update(agent, client, id, TaskState::TaskRunning, 1);
            self.acknowledge(agent, client, id, 1);
        }
        self.settle();
        self.take(client);
        self.messages(agent);
    }

    pub fn task_state(&self, client: &Client, task: &str) -> Option<TaskState> {
        let framework = self
            .core
            .state()
            .frameworks
            .get(&FrameworkId::from(client.id.as_str()))?;
        framework
            .tasks
            .get(&TaskId::from(task))
            .map(|task| task.state)
    }

    pub fn knows_agent(&self, agent: &FakeAgent) -> bool {
        self.core
            .state()
            .agents
            .contains_key(&AgentId::from(agent.id.as_str()))
    }
}

/// A command task.
pub fn task(id: &str, agent: &str, cpus: f64) -> String {
    format!(
        r#"{{"name":"{id}","task_id":{{"value":"{id}"}},"agent_id":{{"value":"{agent}"}},
            "resources":[{{"name":"cpus","type":"SCALAR","scalar":{{"value":{cpus}}}}},
                         {{"name":"mem","type":"SCALAR","scalar":{{"value":32}}}}],
            "command":{{"value":"true"}}}}"#
    )
}

/// The kinds of messages to an agent, with the task where there is one.
pub fn kinds(messages: &[Body]) -> Vec<String> {
    messages
        .iter()
        .map(|body| match body {
            Body::Welcome(_) => "welcome".to_owned(),
            Body::Refused(refused) => format!("refused shutdown={}", refused.shutdown),
            Body::RunTask(run) => format!("run {}", run.task.as_ref().expect("a task").task_id),
            Body::KillTask(kill) => format!("kill {}", kill.task_id.as_ref().expect("a task")),
            Body::AcknowledgeUpdate(ack) => {
                format!(
                    "ack {} {}",
                    ack.task_id.as_ref().expect("a task"),
                    ack.uuid[0]
                )
            }
            Body::ShutdownExecutor(_) => "shutdown-executor".to_owned(),
            Body::ShutdownFramework(_) => "shutdown-framework".to_owned(),
            Body::UpdateFramework(_) => "update-framework".to_owned(),
            Body::FrameworkMessage(_) => "message".to_owned(),
            Body::Ping(_) => "ping".to_owned(),
            Body::Shutdown(_) => "shutdown".to_owned(),
            Body::ApplyOperation(apply) => format!(
                "apply {}",
                apply
                    .operation
                    .as_ref()
                    .expect("an operation")
                    .r#type()
                    .as_str_name()
            ),
            Body::AcknowledgeOperation(_) => "ack-operation".to_owned(),
            Body::DrainAgent(_) => "drain".to_owned(),
            Body::Nothing(_) => "nothing".to_owned(),
        })
        .collect()
}
