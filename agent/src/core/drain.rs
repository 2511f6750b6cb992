//! Draining: every task is killed, nothing new is launched. Survives restarts of the agent.

use std::{sync::Arc, time::Duration};

use mesos_types::{FrameworkId, TaskId};
use mesos_wire::v1::{
    DrainConfig, DurationInfo, KillPolicy, TaskState, TaskStatus, task_status::Reason,
};

use super::{Core, generate};
use crate::state::Drain;

impl Core {
    pub(super) fn drain_tasks(&mut self, config: DrainConfig) {
        self.drain_confirmed = true;
        let is_known = self
            .state
            .drain
            .as_ref()
            .is_some_and(|drain| drain.config == config);
        if !is_known {
            tracing::info!(?config, "draining: ending all tasks, launching no more");
            self.state.drain = Some(Arc::new(Drain {
                config,
                since: self.now.wall,
            }));
            self.persist_drain();
        }
        self.kill_drained();
    }

    /// Kills every task by the terms of the drain, if there is one.
    pub(super) fn kill_drained(&mut self) {
        let Some(drain) = self.state.drain.clone() else {
            return;
        };
        let longest = generate::duration(drain.config.max_grace_period.as_ref());
        let tasks: Vec<(FrameworkId, TaskId, Option<Duration>)> = self
            .state
            .executors()
            .flat_map(|(framework, executor)| {
                executor.tasks.values().map(|task| {
                    let own = generate::grace(task.info.kill_policy.as_ref());
                    let grace = match (longest, own) {
                        (Some(longest), own) => Some(own.unwrap_or(longest).min(longest)),
                        (None, own) => own,
                    };
                    (framework.id.clone(), task.id.clone(), grace)
                })
            })
            .collect();
        for (framework, task, grace) in tasks {
            let policy = grace.map(|grace| KillPolicy {
                grace_period: Some(DurationInfo {
                    nanoseconds: i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX),
                }),
            });
            self.kill_task(&framework, &task, policy.as_ref());
        }
    }

    /// Whether a drain keeps new tasks away. Once nothing is left here the master alone decides.
    pub(super) fn refuses_tasks(&self) -> bool {
        self.state.drain.is_some()
            && !(self.state.frameworks.is_empty() && self.state.operations.is_empty())
    }

    /// The drain is over: the master has not asked for it again, or launches once more.
    pub(super) fn end_drain(&mut self) {
        if self.state.drain.take().is_some() {
            tracing::info!("draining is over");
            self.persist_drain();
        }
    }

    /// A master that took us in since the drain began goes on with other things.
    pub(super) fn end_unconfirmed_drain(&mut self) {
        if !self.drain_confirmed {
            self.end_drain();
        }
    }

    /// Updates of killed tasks say that it was the drain.
    pub(super) fn mark_drained(&self, framework: &FrameworkId, status: &mut TaskStatus) {
        let Some(drain) = &self.state.drain else {
            return;
        };
        let state = status.state();
        if !matches!(state, TaskState::TaskKilling | TaskState::TaskKilled) {
            return;
        }
        status.reason = Some(Reason::AgentDraining.into());
        let is_partition_aware = self
            .state
            .frameworks
            .get(framework)
            .is_some_and(|framework| framework.capabilities.partition_aware);
        if drain.config.mark_gone() && is_partition_aware && state == TaskState::TaskKilled {
            status.state = TaskState::TaskGoneByOperator.into();
        }
    }
}
