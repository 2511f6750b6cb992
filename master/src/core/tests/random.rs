//! Random sessions: whatever comes in whatever order, nothing panics, the books stay right (`World` checks
//! them after each event), and the allocator is never told anything that it refuses.
use std::{collections::BTreeMap, time::Duration};

use mesos_control::v1::{
    ApplyOperation, ExecutorExited, Unregister, agent_message, master_message::Body,
};
use mesos_types::{Format, FrameworkId, ResourceOperation, Resources};
use mesos_wire::v1::{OperationState, TaskState, master};

use super::{
    operations::{CAPABLE, DEV, answer, on, operate, reserved, shared, volume},
    world::{AWARE, Client, FakeAgent, RESOURCES, World, json, task},
};

/// Marsaglia's xorshift: the same sessions in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits fit") % sides
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let index = (!all.is_empty()).then(|| self.roll(all.len()))?;
        all.get(index)
    }
}

const STATES: [TaskState; 8] = [
    TaskState::TaskStarting,
    TaskState::TaskRunning,
    TaskState::TaskRunning,
    TaskState::TaskKilling,
    TaskState::TaskFinished,
    TaskState::TaskFailed,
    TaskState::TaskKilled,
    TaskState::TaskUnreachable,
];

struct Session {
    world: World,
    dice: Dice,
    clients: Vec<Client>,
    agents: Vec<FakeAgent>,
    /// What each agent remembers of its resources.
    checkpoints: BTreeMap<String, Resources>,
    tasks: usize,
}

impl Session {
    fn step(&mut self) {
        match self.dice.roll(35) {
            0 => self.subscribe(),
            1 if self.agents.len() < 4 => {
                let port = i32::try_from(self.dice.roll(5)).expect("small") + 5000;
                let agent = self.world.agent_at(port);
                self.agents.retain(|known| known.id != agent.id);
                self.agents.push(agent);
            }
            2..=7 => self.answer_offer(),
            8..=13 => self.update(),
            14 | 15 => self.acknowledge(),
            16 => self.with_client(|world, client| world.close_stream(client)),
            17 => self.with_agent(|world, agent| world.close_session(agent)),
            18 | 19 => self.come_back(),
            20 => self.call(),
            21 => self.leave(),
            22..=24 => self.operate(),
            25 => self.operate_as_operator(),
            26..=29 => self.carry_out(),
            32 => self.answer_inverse(),
            33 | 34 => self.order(),
            _ => {
                let millis = [1, 5, 700, 20_000, 80_000][self.dice.roll(5)];
                self.world.advance(Duration::from_millis(millis));
            }
        }
    }

    fn subscribe(&mut self) {
        if self.clients.len() >= 4 || self.dice.roll(2) == 0 {
            // Take over, or come back; also a removed one tries.
            let Some(old) = self.dice.pick(&self.clients).cloned() else {
                return;
            };
            let new = self
                .world
                .subscribe(&format!(r#""id":{{"value":"{}"}},{AWARE}"#, old.id));
            let known = FrameworkId::from(old.id.as_str());
            if !new.id.is_empty() {
                self.clients.retain(|client| client.id != old.id);
                self.clients.push(new);
            } else if !self.world.core.state().frameworks.contains_key(&known) {
                self.clients.retain(|client| client.id != old.id);
            }
            return;
        }
        let infos = [AWARE, r#""role":"dev","failover_timeout":5"#, DEV];
        let info = infos[self.dice.roll(3)];
        let client = self.world.subscribe(info);
        self.clients.push(client);
    }

    fn answer_offer(&mut self) {
        let offers: Vec<_> = self.world.core.state().offers.values().cloned().collect();
        let Some(offer) = self.dice.pick(&offers) else {
            return self.world.settle();
        };
        let owner = self
            .clients
            .iter()
            .find(|client| client.id == offer.framework_id.as_str())
            .cloned();
        let Some(client) = owner else { return };
        let refuse = [0.0, 0.5, 5.0][self.dice.roll(3)];
        if self.dice.roll(3) == 0 {
            self.world
                .decline(&client, &offer.to_wire(Format::PostRefinement), refuse);
            return;
        }
        let mut tasks = Vec::new();
        for _ in 0..self.dice.roll(4) {
            self.tasks += 1;
            // Some ids are used again, some tasks are too large.
            let id = format!("t{}", self.tasks % 40);
            let cpus = [0.5, 1.0, 9.0][self.dice.roll(3)];
            let mut info = task(&id, offer.agent_id.as_str(), cpus);
            if self.dice.roll(3) == 0 {
                let executor = r#""executor":{"executor_id":{"value":"e"},"command":{"value":"run"},
                    "resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.25}}]}"#;
                info = info.replace(r#""command":{"value":"true"}"#, executor);
            }
            tasks.push(info);
        }
        self.world.accept(
            &client,
            &[&offer.to_wire(Format::PostRefinement)],
            &tasks.join(","),
            refuse,
        );
    }

    /// Any task, known or not, from any agent.
    fn update(&mut self) {
        let (Some(client), Some(agent)) = (
            self.dice.pick(&self.clients).cloned(),
            self.dice.pick(&self.agents).cloned(),
        ) else {
            return;
        };
        let task = format!("t{}", self.dice.roll(40));
        let state = STATES[self.dice.roll(STATES.len())];
        let latest = STATES[self.dice.roll(STATES.len())];
        let uuid = u8::try_from(self.dice.roll(4)).expect("small");
        self.world
            .update_ahead(&agent, &client, &task, state, latest, uuid);
    }

    fn acknowledge(&mut self) {
        let (Some(client), Some(agent)) = (
            self.dice.pick(&self.clients).cloned(),
            self.dice.pick(&self.agents).cloned(),
        ) else {
            return;
        };
        let task = format!("t{}", self.dice.roll(40));
        let uuid = u8::try_from(self.dice.roll(4)).expect("small");
        self.world.acknowledge(&agent, &client, &task, uuid);
    }

    /// An agent opens a new session with some of what the master thinks it has.
    fn come_back(&mut self) {
        let Some(agent) = self.dice.pick(&self.agents).cloned() else {
            return;
        };
        let mut held = mesos_control::v1::Snapshot::default();
        let frameworks: Vec<_> = self
            .world
            .core
            .state()
            .frameworks
            .values()
            .cloned()
            .collect();
        for framework in frameworks {
            held.frameworks.push((*framework.info).clone());
            let there = framework
                .tasks
                .values()
                .chain(framework.unreachable_tasks.values());
            for task in there.filter(|task| task.agent_id.as_str() == agent.id) {
                if self.dice.roll(4) > 0 {
                    held.tasks.push(task.to_wire());
                }
            }
            for executor in framework.executors.values() {
                if executor.agent_id.as_str() == agent.id && self.dice.roll(4) > 0 {
                    held.executors.push((*executor.info).clone());
                }
            }
        }
        let checkpoint = self.checkpoints.get(&agent.id).cloned().unwrap_or_default();
        held.checkpointed_resources = checkpoint.to_wire(Format::PostRefinement);
        let back = self.world.hello(agent.clone(), Some(held));
        for body in self.world.messages(&back) {
            let Body::Welcome(welcome) = body else {
                continue;
            };
            for known in welcome.known_operations {
                let missed = ApplyOperation {
                    framework_id: known.framework_id,
                    operation_uuid: known.operation_uuid,
                    operation: None,
                };
                answer(
                    &mut self.world,
                    &back,
                    &missed,
                    OperationState::OperationDropped,
                    7,
                );
            }
        }
        self.agents.retain(|known| known.id != agent.id);
        self.agents.push(back);
    }

    /// Some list for some operation; it may make sense.
    fn operation(&mut self) -> (&'static str, String) {
        let id = ["a", "b"][self.dice.roll(2)];
        let made = volume(10.0, id);
        let made = if id == "a" { made } else { shared(&made) };
        match self.dice.roll(4) {
            0 => ("RESERVE", reserved(10.0, "dev")),
            1 => ("UNRESERVE", reserved(10.0, "dev")),
            2 => ("CREATE", made),
            _ => ("DESTROY", made),
        }
    }

    fn operate(&mut self) {
        let offers: Vec<_> = self.world.core.state().offers.values().cloned().collect();
        let Some(offer) = self.dice.pick(&offers) else {
            return self.world.settle();
        };
        let owner = self
            .clients
            .iter()
            .find(|client| client.id == offer.framework_id.as_str());
        let Some(client) = owner.cloned() else { return };
        let mut operations = Vec::new();
        for _ in 0..self.dice.roll(4) {
            let (kind, list) = self.operation();
            let id = ["", "x", "y"][self.dice.roll(3)];
            operations.push(on(kind, id, &list));
        }
        operate(
            &mut self.world,
            &client,
            &offer.to_wire(Format::PostRefinement),
            &operations,
        );
    }

    fn operate_as_operator(&mut self) {
        let Some(agent) = self.dice.pick(&self.agents).cloned() else {
            return;
        };
        let (kind, list) = self.operation();
        let (kind, field) = match kind {
            "RESERVE" => ("RESERVE_RESOURCES", "resources"),
            "UNRESERVE" => ("UNRESERVE_RESOURCES", "resources"),
            "CREATE" => ("CREATE_VOLUMES", "volumes"),
            _ => ("DESTROY_VOLUMES", "volumes"),
        };
        let call: master::Call = json(&format!(
            r#"{{"type":"{kind}","{}":{{"agent_id":{{"value":"{}"}},"{field}":[{list}]}}}}"#,
            kind.to_lowercase(),
            agent.id
        ));
        self.world.operate(None, call);
    }

    /// Operators change what is in service, planned, promised and weighed.
    fn order(&mut self) {
        let agent = self.dice.pick(&self.agents).cloned();
        let id = agent.map_or_else(|| "nobody".to_owned(), |agent| agent.id);
        let agent = |kind: &str, more: &str| {
            let field = kind.to_lowercase();
            format!(r#""type":"{kind}","{field}":{{"agent_id":{{"value":"{id}"}}{more}}}"#)
        };
        let machine = r#"{"hostname":"host","ip":"127.0.0.1"}"#;
        let start = self.dice.roll(3);
        let amount = self.dice.roll(4);
        let call = match self.dice.roll(14) {
            0 | 1 => agent("DRAIN_AGENT", ""),
            2 => agent("DRAIN_AGENT", r#","mark_gone":true"#),
            3 => agent("DEACTIVATE_AGENT", ""),
            4..=6 => agent("REACTIVATE_AGENT", ""),
            7 => agent("MARK_AGENT_GONE", ""),
            8 => format!(
                r#""type":"UPDATE_MAINTENANCE_SCHEDULE","update_maintenance_schedule":{{"schedule":{{"windows":[
                   {{"machine_ids":[{machine}],"unavailability":{{"start":{{"nanoseconds":{start}}}}}}}]}}}}"#
            ),
            9 => r#""type":"UPDATE_MAINTENANCE_SCHEDULE","update_maintenance_schedule":{"schedule":{}}"#.to_owned(),
            10 if amount == 0 => {
                format!(r#""type":"START_MAINTENANCE","start_maintenance":{{"machines":[{machine}]}}"#)
            }
            10 | 11 => {
                format!(r#""type":"STOP_MAINTENANCE","stop_maintenance":{{"machines":[{machine}]}}"#)
            }
            12 => format!(
                r#""type":"UPDATE_WEIGHTS","update_weights":{{"weight_infos":[{{"role":"dev","weight":{amount}}}]}}"#
            ),
            _ => format!(
                r#""type":"UPDATE_QUOTA","update_quota":{{"force":true,"quota_configs":[
                   {{"role":"dev","guarantees":{{"cpus":{{"value":{start}}}}},"limits":{{"cpus":{{"value":{amount}}}}}}}]}}"#
            ),
        };
        self.world.order(&call);
    }

    /// Answers to inverse offers, of whoever was asked.
    fn answer_inverse(&mut self) {
        let asked: Vec<_> = self
            .world
            .core
            .state()
            .inverse_offers
            .values()
            .cloned()
            .collect();
        let Some(offer) = self.dice.pick(&asked) else {
            return;
        };
        let owner = self
            .clients
            .iter()
            .find(|client| client.id == offer.framework_id.as_str());
        let Some(client) = owner.cloned() else { return };
        let kind = ["ACCEPT_INVERSE_OFFERS", "DECLINE_INVERSE_OFFERS"][self.dice.roll(2)];
        let call = format!(
            r#""type":"{kind}","{}":{{"inverse_offer_ids":[{{"value":"{}"}}],"filters":{{"refuse_seconds":0}}}}"#,
            kind.to_lowercase(),
            offer.id
        );
        self.world.call(&client, &call);
    }

    /// An agent does what it was told, or fails to, or never hears of it.
    fn carry_out(&mut self) {
        let Some(agent) = self.dice.pick(&self.agents).cloned() else {
            return;
        };
        for body in self.world.messages(&agent) {
            let Body::ApplyOperation(apply) = body else {
                continue;
            };
            if self.dice.roll(6) == 0 {
                continue;
            }
            let checkpoint = self.checkpoints.entry(agent.id.clone()).or_default();
            let wire = apply.operation.as_ref().expect("an operation");
            let operation = ResourceOperation::from_wire(wire).expect("the master has read it");
            let flags: Vec<mesos_wire::v1::Resource> = resources();
            let after = Resources::from_wire(&flags)
                .expect("flags are right")
                .apply_checkpointed(checkpoint)
                .expect("what was done fits")
                .apply_all(&operation.conversions());
            let state = match after {
                Ok(after) if self.dice.roll(6) > 0 => {
                    *checkpoint = after.checkpointed();
                    OperationState::OperationFinished
                }
                Ok(_) => OperationState::OperationFailed,
                Err(_) => OperationState::OperationDropped,
            };
            let uuid = u8::try_from(self.dice.roll(4)).expect("small");
            answer(&mut self.world, &agent, &apply, state, uuid);
        }
        let clients = self.clients.clone();
        if let Some(client) = self.dice.pick(&clients) {
            let id = ["x", "y"][self.dice.roll(2)];
            let uuid = u8::try_from(self.dice.roll(4)).expect("small");
            super::operations::acknowledge(&mut self.world, &agent, client, id, uuid);
        }
    }

    fn call(&mut self) {
        let Some(client) = self.dice.pick(&self.clients).cloned() else {
            return;
        };
        let task = format!("t{}", self.dice.roll(40));
        let calls = [
            r#""type":"REVIVE""#.to_owned(),
            r#""type":"SUPPRESS""#.to_owned(),
            r#""type":"RECONCILE","reconcile":{}"#.to_owned(),
            r#""type":"RECONCILE_OPERATIONS","reconcile_operations":{}"#.to_owned(),
            format!(r#""type":"KILL","kill":{{"task_id":{{"value":"{task}"}}}}"#),
            r#""type":"TEARDOWN""#.to_owned(),
        ];
        let call = calls[self.dice.roll(calls.len())].clone();
        self.world.call(&client, &call);
    }

    fn leave(&mut self) {
        let Some(agent) = self.dice.pick(&self.agents).cloned() else {
            return;
        };
        if self.dice.roll(2) == 0 {
            self.world
                .say(&agent, agent_message::Body::Unregister(Unregister {}));
            return;
        }
        let Some(client) = self.dice.pick(&self.clients) else {
            return;
        };
        let exited = ExecutorExited {
            framework_id: Some((&FrameworkId::from(client.id.as_str())).into()),
            executor_id: Some("e".into()),
            status: 9,
        };
        self.world
            .say(&agent, agent_message::Body::ExecutorExited(exited));
    }

    fn with_client(&mut self, act: impl FnOnce(&mut World, &Client)) {
        if let Some(client) = self.dice.pick(&self.clients).cloned() {
            act(&mut self.world, &client);
        }
    }

    fn with_agent(&mut self, act: impl FnOnce(&mut World, &FakeAgent)) {
        if let Some(agent) = self.dice.pick(&self.agents).cloned() {
            act(&mut self.world, &agent);
        }
    }
}

/// What flags give every agent.
fn resources() -> Vec<mesos_wire::v1::Resource> {
    let info: mesos_wire::v1::AgentInfo =
        json(&format!(r#"{{"hostname":"h","resources":{RESOURCES}}}"#));
    info.resources
}

#[test]
fn books_stay_right_whatever_happens() {
    for seed in 1..=60 {
        let dice = Dice(u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15));
        let mut session = Session {
            world: World::new(),
            dice,
            clients: Vec::new(),
            agents: Vec::new(),
            checkpoints: BTreeMap::new(),
            tasks: 0,
        };
        session.world.capabilities = CAPABLE.to_vec();
        for _ in 0..250 {
            session.step();
        }
        // In the end everything can be taken back.
        for client in session.clients.clone() {
            session.world.call(&client, r#""type":"TEARDOWN""#);
        }
        session.world.advance(Duration::from_secs(7200));
        let state = session.world.core.state();
        for agent in state.agents.values() {
            let recovered = state
                .frameworks
                .values()
                .any(|framework| framework.recovered());
            assert!(
                recovered || agent.used.is_empty(),
                "seed {seed}: {:?}",
                agent.used
            );
        }
    }
}
