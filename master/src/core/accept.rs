//! ACCEPT: what a framework makes of its offers.
use std::sync::Arc;

use mesos_control::v1::{RunTask, master_message::Body};
use mesos_http::{Action, Object};
use mesos_types::{Format, FrameworkId, OfferId, Resources};
use mesos_wire::v1::{
    self, ExecutorInfo, TaskInfo, TaskState, TaskStatus,
    offer::{Operation, operation::Type},
    scheduler::call,
    task_status::Reason,
};

use super::{Core, allocation::refusal, event::events, operations::Pool, status::for_awareness};
use crate::{
    metrics::Fate,
    state::{Executor, Framework, Offer, Task},
    validation::{
        health,
        task::{Ground, validate},
    },
};

impl Core {
    pub(super) fn accept(
        &mut self,
        id: &FrameworkId,
        principal: Option<&str>,
        accept: call::Accept,
    ) {
        let offers = match self.take_offers(id, &accept.offer_ids) {
            Ok(offers) => offers,
            Err(why) => return self.drop_all(id, &accept, &why),
        };
        self.counters
            .frameworks
            .offers(id, Fate::Accepted, offers.len());
        let Some(first) = offers.first() else { return };
        let offered = offers
            .iter()
            .fold(Resources::default(), |sum, offer| &sum + &offer.resources);
        let mut pool = Pool {
            agent_id: first.agent_id.clone(),
            role: first.role.clone(),
            left: offered.clone(),
            later: Resources::default(),
        };
        for operation in accept.operations {
            self.apply_operation(id, principal, operation, &mut pool);
        }
        let refused = refusal(accept.filters.as_ref());
        // What operations have made is new to everybody.
        let made = &(&pool.left - &offered) + &pool.later;
        let left = &pool.left - &made;
        // What is left of an offer that was used is not declined: without a filter it is free at once.
        let untouched = made.is_empty() && left == offered;
        let refused = (untouched || !refused.is_zero()).then_some(refused);
        if !made.is_empty() {
            self.free(id, &pool.agent_id, &made, None);
        }
        if !left.is_empty() {
            self.free(id, &pool.agent_id, &left, refused);
        }
    }

    /// Takes the offers out of the books when they go together; else those of them that are the
    /// framework's own are given back.
    fn take_offers(
        &mut self,
        id: &FrameworkId,
        ids: &[v1::OfferId],
    ) -> Result<Vec<Arc<Offer>>, String> {
        let checked = self.check_offers(id, ids);
        let mut taken = Vec::new();
        for offer_id in ids {
            let offer_id = OfferId::from(offer_id);
            if self
                .state
                .offers
                .get(&offer_id)
                .is_some_and(|offer| offer.framework_id == *id)
                && let Some(offer) = self.take_offer(&offer_id)
            {
                taken.push(offer);
            }
        }
        if let Err(why) = checked {
            for offer in taken {
                self.free(id, &offer.agent_id, &offer.resources, None);
            }
            return Err(why);
        }
        Ok(taken)
    }

    fn check_offers(&self, id: &FrameworkId, ids: &[v1::OfferId]) -> Result<(), String> {
        if ids.is_empty() {
            return Err("No offers specified".to_owned());
        }
        let mut first: Option<&Arc<Offer>> = None;
        let mut seen = std::collections::HashSet::new();
        for offer_id in ids {
            if !seen.insert(offer_id.as_str()) {
                return Err(format!("Duplicate offer {offer_id} in offer list"));
            }
            let Some(offer) = self.state.offers.get(offer_id.as_str()) else {
                return Err(format!("Offer {offer_id} is no longer valid"));
            };
            if offer.framework_id != *id {
                return Err(format!(
                    "Offer {offer_id} has invalid framework {} while framework {id} is expected",
                    offer.framework_id
                ));
            }
            let first = first.get_or_insert(offer);
            if offer.agent_id != first.agent_id {
                return Err(format!(
                    "Aggregated offers must belong to one single agent. Offer {offer_id} uses agent {} and agent {}",
                    offer.agent_id, first.agent_id
                ));
            }
            if offer.role != first.role {
                return Err(format!(
                    "Aggregated offers must be allocated to the same role. Offer {offer_id} uses role '{}' but another is using role '{}'",
                    offer.role, first.role
                ));
            }
        }
        Ok(())
    }

    /// The offers are no good: every task is dropped, every operation refused.
    fn drop_all(&mut self, id: &FrameworkId, accept: &call::Accept, why: &str) {
        tracing::warn!(framework_id = %id, why, "an ACCEPT with invalid offers");
        let Some(framework) = self.state.frameworks.get(id).cloned() else {
            return;
        };
        let state = for_awareness(&framework, TaskState::TaskDropped);
        for operation in &accept.operations {
            let message = format!("Task launched with invalid offers: {why}");
            match operation.r#type() {
                Type::Launch | Type::LaunchGroup => {
                    for task in tasks_of(operation) {
                        self.refuse_task(id, task, state, Reason::InvalidOffers, &message);
                    }
                }
                _ => self.refuse_operation(
                    id,
                    None,
                    operation,
                    &format!("Operation attempted with invalid offers: {why}"),
                ),
            }
        }
    }

    fn apply_operation(
        &mut self,
        id: &FrameworkId,
        principal: Option<&str>,
        operation: Operation,
        pool: &mut Pool,
    ) {
        match operation.r#type() {
            Type::Launch => {
                self.counters.frameworks.operation(id, Type::Launch);
                if operation.id.is_some() {
                    let message =
                        "The `id` field cannot be set on LAUNCH and LAUNCH_GROUP operations";
                    for task in tasks_of(&operation) {
                        self.refuse_task(
                            id,
                            task,
                            TaskState::TaskError,
                            Reason::TaskInvalid,
                            message,
                        );
                    }
                    return;
                }
                for task in operation.launch.unwrap_or_default().task_infos {
                    self.launch(id, principal, task, pool);
                }
            }
            Type::LaunchGroup => {
                self.counters.frameworks.operation(id, Type::LaunchGroup);
                let message = "Task groups (LAUNCH_GROUP) are not built yet";
                for task in tasks_of(&operation) {
                    self.refuse_task(
                        id,
                        task,
                        TaskState::TaskError,
                        Reason::TaskGroupInvalid,
                        message,
                    );
                }
            }
            Type::Unknown
            | Type::Reserve
            | Type::Unreserve
            | Type::Create
            | Type::Destroy
            | Type::GrowVolume
            | Type::ShrinkVolume
            | Type::CreateDisk
            | Type::DestroyDisk => {
                self.perform(id, &operation, pool);
            }
        }
    }

    fn launch(
        &mut self,
        id: &FrameworkId,
        principal: Option<&str>,
        mut task: TaskInfo,
        pool: &mut Pool,
    ) {
        let Some(framework) = self.state.frameworks.get(id).cloned() else {
            return;
        };
        let Some(agent) = self.state.agents.get(&pool.agent_id).cloned() else {
            let state = for_awareness(&framework, TaskState::TaskDropped);
            let message = "Agent removed while the task was launched";
            return self.refuse_task(id, &task, state, Reason::AgentRemoved, message);
        };
        if !agent.connected() {
            let state = for_awareness(&framework, TaskState::TaskDropped);
            let message = "Agent disconnected while the task was launched";
            return self.refuse_task(id, &task, state, Reason::AgentDisconnected, message);
        }
        prepare(&mut task, &framework, &pool.role);
        if !self.authorizer.authorize(
            principal,
            Action::RunTask,
            Object::TaskInfo(&task, &framework.info),
        ) {
            let message = format!(
                "Not authorized to launch as user '{}'",
                user_of(&task, &framework)
            );
            return self.refuse_task(
                id,
                &task,
                TaskState::TaskError,
                Reason::TaskUnauthorized,
                &message,
            );
        }
        let ground = Ground {
            framework: &framework,
            agent: &agent,
            left: &pool.left,
        };
        let needs = match validate(&task, ground) {
            Ok(needs) => needs,
            Err(invalid) => {
                return self.refuse_task(
                    id,
                    &task,
                    TaskState::TaskError,
                    Reason::TaskInvalid,
                    &invalid.0,
                );
            }
        };
        // A shared volume is still there for the next one; each user counts.
        let shared = needs.task.filter(|resource| resource.meta.shared);
        if !shared.is_empty() {
            self.allocation.charge(id, &agent.id, &shared);
        }
        pool.left -= &needs.task.filter(|resource| !resource.meta.shared);
        pool.left -= &needs.executor;
        // One form inside, whatever the framework wrote.
        task.resources = needs.task.to_wire(Format::PostRefinement);
        if let Some(executor) = &task.executor
            && !agent
                .executors
                .contains_key(&(id.clone(), (&executor.executor_id).into()))
        {
            self.add_executor(Executor {
                id: (&executor.executor_id).into(),
                info: Arc::new(executor.clone()),
                resources: needs.executor,
                agent_id: agent.id.clone(),
                framework_id: id.clone(),
            });
        }
        tracing::debug!(framework_id = %id, task_id = %task.task_id, agent_id = %agent.id, "launching a task");
        self.add_task(Task::new(record_of(&task, id), needs.task));
        let run = RunTask {
            framework: Some((*framework.info).clone()),
            task: Some(task),
        };
        self.tell(&agent.id, Body::RunTask(run));
    }

    /// Answers a task that never came to be.
    fn refuse_task(
        &mut self,
        id: &FrameworkId,
        task: &TaskInfo,
        state: TaskState,
        reason: Reason,
        message: &str,
    ) {
        let status: TaskStatus = self.status(
            task.task_id.clone(),
            Some(task.agent_id.clone()),
            state,
            reason,
            message,
        );
        self.counters.ended(id, state, &status);
        self.send(id, events::update(status));
    }
}

fn tasks_of(operation: &Operation) -> &[TaskInfo] {
    if let Some(launch) = &operation.launch {
        return &launch.task_infos;
    }
    operation
        .launch_group
        .as_ref()
        .map_or(&[], |group| &group.task_group.tasks)
}

/// Fills in what frameworks may leave out: the allocation, the executor's framework, the type of an old
/// health check.
fn prepare(task: &mut TaskInfo, framework: &Framework, role: &str) {
    let allocate = |resources: &mut Vec<v1::Resource>| {
        for resource in resources {
            if resource.allocation_info.is_none() {
                resource.allocation_info = Some(v1::resource::AllocationInfo {
                    role: Some(role.to_owned()),
                });
            }
        }
    };
    allocate(&mut task.resources);
    if let Some(executor) = &mut task.executor {
        prepare_executor(executor, &framework.id);
        allocate(&mut executor.resources);
    }
    if let Some(check) = &mut task.health_check {
        health::infer_type(check);
    }
}

fn prepare_executor(executor: &mut ExecutorInfo, framework: &FrameworkId) {
    if executor.framework_id.is_none() {
        executor.framework_id = Some(framework.into());
    }
    if executor.r#type.is_none() {
        executor.set_type(v1::executor_info::Type::Custom);
    }
}

/// What the master remembers of a task.
fn record_of(task: &TaskInfo, framework: &FrameworkId) -> v1::Task {
    let command = task.command.as_ref();
    let of_executor = task
        .executor
        .as_ref()
        .and_then(|executor| executor.command.as_ref());
    v1::Task {
        name: task.name.clone(),
        task_id: task.task_id.clone(),
        framework_id: framework.into(),
        executor_id: task
            .executor
            .as_ref()
            .map(|executor| executor.executor_id.clone()),
        agent_id: task.agent_id.clone(),
        state: TaskState::TaskStaging.into(),
        resources: task.resources.clone(),
        labels: task.labels.clone(),
        discovery: task.discovery.clone(),
        container: task.container.clone(),
        health_check: task.health_check.clone(),
        kill_policy: task.kill_policy,
        user: command
            .or(of_executor)
            .and_then(|command| command.user.clone()),
        limits: task.limits.clone(),
        ..v1::Task::default()
    }
}

fn user_of<'a>(task: &'a TaskInfo, framework: &'a Framework) -> &'a str {
    let command = task.command.as_ref().or(task
        .executor
        .as_ref()
        .and_then(|executor| executor.command.as_ref()));
    command
        .and_then(|command| command.user.as_deref())
        .unwrap_or(&framework.info.user)
}
