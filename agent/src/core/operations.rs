//! Offer operations of this agent: applied once, made durable, answered until acknowledged.
//!
//! What an operation changes is written down with the operation, in one step that survives power loss;
//! then directories of volumes are made or removed, then the master is told. A crash anywhere leaves an
//! operation that is PENDING in the journal, and the next start goes on with it.

use std::{sync::Arc, time::Duration};

use mesos_control::v1::{
    AcknowledgeOperation, ApplyOperation, KnownOperation, OperationUpdate, agent_message::Body,
};
use mesos_types::{FrameworkId, PersistentVolume, ResourceOperation, Resources};
use mesos_wire::v1::{self, OperationState};
use uuid::Uuid;

use super::{Core, Effect, Timer};
use crate::{
    checkpoint::{OperationRecord, ResourceImage, resources},
    state::{ExecutorPhase, Operation},
    volumes::VolumeWork,
};

/// First pause before an update is sent again, as for those of tasks. Source:
/// `STATUS_UPDATE_RETRY_INTERVAL_MIN` of Mesos.
const RETRY_MIN: Duration = Duration::from_secs(10);
/// Longest pause. Source: `STATUS_UPDATE_RETRY_INTERVAL_MAX`.
const RETRY_MAX: Duration = Duration::from_secs(600);
/// Operations that may wait for their acknowledgement; more are dropped.
const MAX_OPERATIONS: usize = 16_384;
/// Acknowledged operations that are remembered, in case that one comes again.
const MAX_SETTLED: usize = 1024;

/// An operation that cannot be: how it ends.
type Refusal = (OperationState, String);

fn failed(problem: impl ToString) -> Refusal {
    (OperationState::OperationFailed, problem.to_string())
}

impl Core {
    pub(super) fn apply_operation(&mut self, apply: ApplyOperation) {
        let Ok(uuid) = Uuid::from_slice(&apply.operation_uuid) else {
            tracing::warn!(uuid = ?apply.operation_uuid, "an operation without a proper uuid is passed over");
            return;
        };
        let Some(info) = apply.operation else {
            tracing::warn!(%uuid, "an operation without description is passed over");
            return;
        };
        if self.state.operations.contains_key(&uuid) {
            // The master sends again what it does not know to have arrived.
            self.forward_operation(uuid);
            return;
        }
        if self.settled.contains(&uuid) {
            return;
        }
        tracing::info!(%uuid, kind = info.r#type().as_str_name(), "applying an operation");
        self.operations_seen += 1;
        let operation = Operation {
            uuid,
            framework: apply.framework_id.as_ref().map(FrameworkId::from),
            status: self.operation_status(info.id.clone(), OperationState::OperationPending, None),
            info: Some(info),
            number: self.operations_seen,
        };
        if self.state.operations.len() >= MAX_OPERATIONS {
            let text = format!("{MAX_OPERATIONS} operations wait for their acknowledgement");
            self.send_unkept(operation, text);
            return;
        }
        let converted = self.convert(operation.info.as_ref());
        self.state.operations.insert(uuid, Arc::new(operation));
        match converted {
            Err((state, message)) => self.settle(uuid, state, Some(message)),
            Ok((after, work)) => {
                self.state.resources = after;
                self.persist_resources();
                if work.make.is_empty() && work.remove.is_empty() {
                    self.settle(uuid, OperationState::OperationFinished, None);
                } else {
                    self.persist_operation(uuid);
                    self.effect(Effect::Volumes(Box::new(VolumeWork {
                        operation: uuid,
                        ..work
                    })));
                }
            }
        }
    }

    /// What the agent has after an operation, and which directories it wants.
    fn convert(
        &self,
        info: Option<&v1::offer::Operation>,
    ) -> Result<(Resources, VolumeWork), Refusal> {
        let dropped = |text: &str| Err((OperationState::OperationDropped, text.to_owned()));
        if self.is_terminating() {
            return dropped("The agent is shutting down");
        }
        if self.stalled {
            return dropped(
                "The agent cannot write its checkpoints; free some space on the file system of its work_dir",
            );
        }
        let operation = read(info).map_err(failed)?;
        let steps = operation.conversions();
        let after = self.state.resources.apply_all(&steps).map_err(failed)?;
        after.check_unique_volumes().map_err(failed)?;
        for step in &steps {
            self.check_unused(&step.consumed.persistent_volumes())?;
        }
        let work = self.volume_work(&operation).map_err(failed)?;
        Ok((after, work))
    }

    /// Volumes that a container has are left alone.
    fn check_unused(&self, volumes: &Resources) -> Result<(), Refusal> {
        for volume in volumes.distinct() {
            let user = self.state.executors().find(|(_, executor)| {
                executor.phase != ExecutorPhase::Terminated
                    && executor
                        .allocated()
                        .unallocated()
                        .distinct()
                        .any(|held| held == volume)
            });
            if let Some((framework, executor)) = user {
                return Err(failed(format!(
                    "Persistent volume {} is in use by executor {} of framework {}",
                    Resources::from(volume.clone()),
                    executor.id,
                    framework.id
                )));
            }
        }
        Ok(())
    }

    fn volume_work(&self, operation: &ResourceOperation) -> Result<VolumeWork, String> {
        let all = |volumes: &Resources| {
            PersistentVolume::all(volumes, &self.config.work_dir).map_err(|error| error.to_string())
        };
        let mut work = VolumeWork {
            operation: Uuid::nil(),
            make: Vec::new(),
            remove: Vec::new(),
        };
        match operation {
            ResourceOperation::Create { volumes } => work.make = all(volumes)?,
            ResourceOperation::Destroy { volumes } => work.remove = all(volumes)?,
            ResourceOperation::Reserve { .. }
            | ResourceOperation::Unreserve { .. }
            | ResourceOperation::Grow { .. }
            | ResourceOperation::Shrink { .. } => {}
        }
        Ok(work)
    }

    /// The directories of an operation are as it wants them, or cannot be.
    pub(super) fn volumes_done(&mut self, uuid: Uuid, result: Result<(), String>) {
        let Some(operation) = self.state.operations.get(&uuid).cloned() else {
            return;
        };
        if operation.is_settled() {
            return;
        }
        let problem = match result {
            Ok(()) => {
                self.settle(uuid, OperationState::OperationFinished, None);
                return;
            }
            Err(problem) => problem,
        };
        tracing::error!(%uuid, problem, "an operation failed");
        if let Ok(operation) = read(operation.info.as_ref()) {
            let steps: Vec<_> = operation.conversions();
            let back: Vec<_> = steps.iter().rev().map(|step| step.inverse()).collect();
            match self.state.resources.apply_all(&back) {
                Ok(before) => {
                    self.state.resources = before;
                    self.persist_resources();
                }
                Err(error) => {
                    tracing::error!(%uuid, %error, "what a failed operation changed cannot be undone, because later ones build on it");
                }
            }
        }
        self.settle(uuid, OperationState::OperationFailed, Some(problem));
    }

    /// An operation has come to its end.
    fn settle(&mut self, uuid: Uuid, state: OperationState, message: Option<String>) {
        let Some(operation) = self.state.operations.get(&uuid) else {
            return;
        };
        let mut done = (**operation).clone();
        done.status = self.operation_status(done.status.operation_id.take(), state, message);
        done.status.uuid = Some(v1::Uuid {
            value: Uuid::new_v4().into_bytes().to_vec(),
        });
        self.state.operations.insert(uuid, Arc::new(done));
        self.persist_operation(uuid);
        self.forward_operation(uuid);
    }

    fn operation_status(
        &self,
        operation_id: Option<v1::OperationId>,
        state: OperationState,
        message: Option<String>,
    ) -> v1::OperationStatus {
        v1::OperationStatus {
            operation_id,
            state: state.into(),
            message,
            agent_id: self.state.id.as_ref().map(Into::into),
            ..Default::default()
        }
    }

    /// Tells the master what became of an operation, if it has come to its end and there is a master.
    pub(super) fn forward_operation(&mut self, uuid: Uuid) {
        let is_connected = self.session.as_ref().is_some_and(|s| s.welcomed);
        let Some(operation) = self.state.operations.get(&uuid) else {
            return;
        };
        if !operation.is_settled() || !is_connected {
            return;
        }
        let message = OperationUpdate {
            framework_id: operation.framework.as_ref().map(Into::into),
            operation_uuid: uuid.as_bytes().to_vec(),
            status: Some(operation.status.clone()),
        };
        let pause = self.operation_pauses.get(&uuid);
        let pause = pause.map_or(RETRY_MIN, |pause| (*pause * 2).min(RETRY_MAX));
        self.operation_pauses.insert(uuid, pause);
        let at = self.after(pause);
        self.timers.set(Timer::Operation(uuid), at);
        self.send(Body::OperationUpdate(message));
    }

    /// The end of an operation that is not even remembered.
    fn send_unkept(&mut self, operation: Operation, message: String) {
        let mut status = operation.status;
        status.state = OperationState::OperationDropped.into();
        status.message = Some(message);
        status.uuid = Some(v1::Uuid {
            value: Uuid::new_v4().into_bytes().to_vec(),
        });
        self.send(Body::OperationUpdate(OperationUpdate {
            framework_id: operation.framework.as_ref().map(Into::into),
            operation_uuid: operation.uuid.as_bytes().to_vec(),
            status: Some(status),
        }));
    }

    /// A master took us in: the ends of all operations go out at once.
    pub(super) fn resend_operations(&mut self) {
        self.operation_pauses.clear();
        let all: Vec<Uuid> = self.state.operations.keys().copied().collect();
        for uuid in all {
            self.forward_operation(uuid);
        }
    }

    /// Nobody listens.
    pub(super) fn pause_operations(&mut self) {
        let all: Vec<Uuid> = self.state.operations.keys().copied().collect();
        for uuid in all {
            self.timers.cancel(&Timer::Operation(uuid));
        }
    }

    /// The master waits for an operation; if it never arrived, the agent says so.
    pub(super) fn reconcile_operation(&mut self, known: KnownOperation) {
        let Ok(uuid) = Uuid::from_slice(&known.operation_uuid) else {
            return;
        };
        if self.state.operations.contains_key(&uuid) || self.settled.contains(&uuid) {
            return;
        }
        let operation = Operation {
            uuid,
            framework: known.framework_id.as_ref().map(FrameworkId::from),
            info: None,
            status: self.operation_status(
                known.operation_id,
                OperationState::OperationPending,
                None,
            ),
            number: 0,
        };
        let text = "Reconciliation: operation unknown to the agent";
        if self.state.operations.len() >= MAX_OPERATIONS {
            self.send_unkept(operation, text.to_owned());
            return;
        }
        self.state.operations.insert(uuid, Arc::new(operation));
        self.settle(
            uuid,
            OperationState::OperationDropped,
            Some(text.to_owned()),
        );
    }

    pub(super) fn operation_acknowledged(&mut self, ack: &AcknowledgeOperation) {
        let Ok(uuid) = Uuid::from_slice(&ack.operation_uuid) else {
            return;
        };
        let is_its = self
            .state
            .operations
            .get(&uuid)
            .and_then(|operation| operation.status.uuid.as_ref())
            .is_some_and(|status| status.value == ack.status_uuid);
        if !is_its {
            tracing::debug!(%uuid, "an acknowledgement that is not of an operation's end is passed over");
            return;
        }
        self.state.operations.remove(&uuid);
        self.operation_pauses.remove(&uuid);
        self.timers.cancel(&Timer::Operation(uuid));
        self.resource_changes
            .extend(resources::delete_operation(uuid));
        self.settled.push_back(uuid);
        if self.settled.len() > MAX_SETTLED {
            self.settled.pop_front();
        }
    }

    /// What the agent must tell masters besides its flags' resources.
    pub(super) fn checkpointed(&self) -> Resources {
        self.state.resources.checkpointed()
    }

    fn persist_resources(&mut self) {
        let change = resources::put_resources(&self.checkpointed());
        self.resource_changes.push(change);
    }

    /// One that never arrived is not written down: the master asks again.
    fn persist_operation(&mut self, uuid: Uuid) {
        let Some(operation) = self.state.operations.get(&uuid) else {
            return;
        };
        if operation.info.is_none() {
            return;
        }
        let record = OperationRecord {
            framework: operation.framework.as_ref().map(ToString::to_string),
            info: operation.info.clone(),
            status: Some(operation.status.clone()),
            number: operation.number,
        };
        self.resource_changes
            .push(resources::put_operation(uuid, &record));
    }

    /// Rebuilds what an earlier process had; `total` is what the agent has, with the checkpointed
    /// resources of `image`. Comes before any event.
    #[must_use]
    pub fn restore_resources(mut self, total: Resources, image: ResourceImage) -> Self {
        self.state.resources = total;
        for (uuid, record) in image.operations {
            self.operations_seen = self.operations_seen.max(record.number);
            let operation = Operation {
                uuid,
                framework: record.framework.as_deref().map(FrameworkId::from),
                info: record.info,
                status: record.status.unwrap_or_default(),
                number: record.number,
            };
            self.state.operations.insert(uuid, Arc::new(operation));
        }
        self.carried_out = image.carried_out;
        self
    }

    /// Goes on with operations that a crash cut short, in their order.
    pub(super) fn resume_operations(&mut self) {
        let mut pending: Vec<Arc<Operation>> = self
            .state
            .operations
            .values()
            .filter(|operation| !operation.is_settled())
            .cloned()
            .collect();
        pending.sort_by_key(|operation| operation.number);
        for operation in pending {
            let uuid = operation.uuid;
            if self.carried_out.remove(&uuid) {
                self.settle(uuid, OperationState::OperationFinished, None);
                continue;
            }
            let work =
                read(operation.info.as_ref()).and_then(|operation| self.volume_work(&operation));
            match work {
                Ok(work) => self.effect(Effect::Volumes(Box::new(VolumeWork {
                    operation: uuid,
                    ..work
                }))),
                Err(problem) => self.settle(uuid, OperationState::OperationFailed, Some(problem)),
            }
        }
    }
}

fn read(info: Option<&v1::offer::Operation>) -> Result<ResourceOperation, String> {
    let info = info.ok_or("the operation has no description")?;
    ResourceOperation::from_wire(info)
        .map(|operation| operation.unallocated())
        .map_err(|error| error.to_string())
}
