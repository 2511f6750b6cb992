//! A framework as this agent sees it.

use std::sync::Arc;

use imbl::{OrdMap, Vector};
use mesos_types::{ExecutorId, FrameworkCapabilities, FrameworkId};
use mesos_wire::v1;

use super::Executor;

/// Whether a framework may still run things here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameworkPhase {
    /// It may.
    Running,
    /// It was shut down; its executors are ending, and nobody acknowledges updates any more.
    Terminating,
}

/// A framework with its executors.
#[derive(Debug, Clone)]
pub struct Framework {
    /// Its id.
    pub id: FrameworkId,
    /// As the master gave it last.
    pub info: Arc<v1::FrameworkInfo>,
    /// Those of `info`.
    pub capabilities: FrameworkCapabilities,
    /// Whether it may still run things here.
    pub phase: FrameworkPhase,
    /// Executors that run, or have ended with updates that wait for an acknowledgement.
    pub executors: OrdMap<ExecutorId, Arc<Executor>>,
    /// Those that are done with, oldest first, as many as `--max_completed_executors_per_framework`.
    pub completed_executors: Vector<Arc<Executor>>,
}

impl Framework {
    /// A framework without executors.
    pub fn new(id: FrameworkId, info: v1::FrameworkInfo) -> Self {
        Self {
            id,
            capabilities: FrameworkCapabilities::from(&info),
            info: Arc::new(info),
            phase: FrameworkPhase::Running,
            executors: OrdMap::new(),
            completed_executors: Vector::new(),
        }
    }
}
