//! Draining: every task is killed, nothing new is launched.
use mesos_wire::v1::DrainConfig;

use super::Core;

impl Core {
    pub(super) fn drain_tasks(&mut self, config: DrainConfig) {
        tracing::warn!(?config, "draining is not built yet");
    }
}
