//! A framework goes: its stream breaks, its time runs out, or it is torn down.
use std::{collections::BTreeSet, sync::Arc, time::Duration};

use mesos_control::v1::{ShutdownFramework, master_message::Body};
use mesos_types::{AgentId, FrameworkId};
use mesos_wire::v1::{TaskState, task_status::Reason};

use super::{Core, Effect, Reply, records::remember, timers::Timer};
use crate::state::{Change, Executor, Standing, TaskKey};

impl Core {
    /// The stream's client is gone, or was too slow.
    pub(super) fn stream_closed(&mut self, stream: u64) {
        let Some(id) = self.streams.remove(&stream) else {
            return;
        };
        let Some(framework) = self.framework_mut(&id) else {
            return;
        };
        if framework
            .subscription()
            .is_none_or(|current| current.stream != stream)
        {
            return;
        }
        framework.standing = Standing::Disconnected;
        let timeout = failover_timeout(framework.info.failover_timeout());
        tracing::info!(framework_id = %id, ?timeout, "a framework is disconnected");
        let now = self.now.seconds();
        if let Some(framework) = self.framework_mut(&id) {
            framework.unregistered_time = now;
        }
        self.effects.push(Effect::CloseStream { stream });
        self.allocation.deactivate_framework(&id);
        self.withdraw_offers_of(&id, false);
        self.timers.set(
            self.now.monotonic,
            timeout,
            Timer::FailoverTimeout(id.clone()),
        );
        self.framework_updated(&id);
    }

    /// The time to come back is over; the timer is cancelled when it comes back.
    pub(super) fn failover_timeout(&mut self, id: &FrameworkId) {
        tracing::info!(framework_id = %id, "a framework did not come back within its failover_timeout");
        self.remove_framework(id);
    }

    pub(super) fn teardown(&mut self, id: &FrameworkId) {
        tracing::info!(framework_id = %id, "a framework is torn down");
        self.remove_framework(id);
    }

    pub(super) fn operator_teardown(&mut self, request: u64, id: &FrameworkId) {
        let reply = if self.state.frameworks.contains_key(id) {
            self.teardown(id);
            Reply::Ok
        } else {
            Reply::BadRequest("No framework found with specified ID".to_owned())
        };
        self.reply(request, reply);
    }

    /// Ends everything of a framework and makes its id unusable as long as it is remembered.
    fn remove_framework(&mut self, id: &FrameworkId) {
        let Some(framework) = self.state.frameworks.get(id).cloned() else {
            return;
        };
        self.withdraw_offers_of(id, false);
        if let Some(subscription) = framework.subscription() {
            self.streams.remove(&subscription.stream);
            self.effects.push(Effect::CloseStream {
                stream: subscription.stream,
            });
        }
        let mut agents: BTreeSet<AgentId> = BTreeSet::new();
        for task in framework.tasks.values() {
            agents.insert(task.agent_id.clone());
            let key = task.key();
            if !task.is_terminal() {
                let status = self.status_without(
                    task,
                    TaskState::TaskKilled,
                    Reason::FrameworkRemoved,
                    format!("Framework {id} removed"),
                );
                // Into the record only: the framework does not want to hear of it.
                self.apply(&key, &status, TaskState::TaskKilled, None);
            }
            self.complete_task(&key);
        }
        for executor in framework.executors.values() {
            agents.insert(executor.agent_id.clone());
            self.remove_executor(executor);
        }
        for agent in agents {
            let shutdown = ShutdownFramework {
                framework_id: Some(id.into()),
            };
            self.tell(&agent, Body::ShutdownFramework(shutdown));
        }
        self.orphan_operations(id);
        self.allocation.remove_framework(id);
        self.timers.cancel(&Timer::FailoverTimeout(id.clone()));
        self.constraints.remove(id);
        let Some(mut framework) = self.state.frameworks.remove(id) else {
            return;
        };
        let ended = Arc::make_mut(&mut framework);
        ended.standing = Standing::Completed;
        ended.unregistered_time = self.now.seconds();
        let most = self.config.max_completed_tasks_per_framework;
        for task in std::mem::take(&mut ended.unreachable_tasks).values() {
            remember(ended, task.clone(), most);
        }
        self.state.completed_frameworks.push_back(framework.clone());
        while self.state.completed_frameworks.len() > self.config.max_completed_frameworks {
            if let Some(oldest) = self.state.completed_frameworks.pop_front() {
                self.counters.frameworks.forget(&oldest.id);
            }
        }
        self.changed(Change::FrameworkRemoved(framework));
    }

    /// Ends an executor's record; its tasks' ends come from the agent.
    pub(super) fn executor_of(
        &self,
        framework: &FrameworkId,
        agent: &AgentId,
        executor: &mesos_types::ExecutorId,
    ) -> Option<Arc<Executor>> {
        let known = self.state.frameworks.get(framework)?;
        known
            .executors
            .get(&(agent.clone(), executor.clone()))
            .cloned()
    }

    /// The names of everything a framework runs on an agent.
    pub(super) fn tasks_on(&self, agent: &AgentId) -> Vec<TaskKey> {
        self.state
            .agents
            .get(agent)
            .map(|agent| agent.tasks.iter().cloned().collect())
            .unwrap_or_default()
    }
}

/// Negative and unreadable times count as none; longer ones than 292 years were refused.
fn failover_timeout(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()
}
