//! Offer operations of this agent: applied once, made durable, answered until acknowledged.
use mesos_control::v1::{AcknowledgeOperation, ApplyOperation};

use super::Core;

impl Core {
    pub(super) fn apply_operation(&mut self, apply: ApplyOperation) {
        tracing::warn!(operation_uuid = ?apply.operation_uuid, "operations are not built yet");
    }

    pub(super) fn operation_acknowledged(&mut self, ack: &AcknowledgeOperation) {
        tracing::warn!(operation_uuid = ?ack.operation_uuid, "the acknowledgement of an unknown operation");
    }
}
