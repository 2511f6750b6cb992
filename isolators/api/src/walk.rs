//! Walks over a container's isolators: setup stops at the first error, teardown runs to the end.

use std::sync::Arc;

use mesos_types::{ContainerId, Resources};
use tracing::Instrument as _;

use crate::{Isolator, IsolatorConfig, IsolatorError, LaunchInfo, Limits, Recovered};

/// One isolator that could not clean up.
#[derive(Debug, thiserror::Error)]
#[error("cleanup of isolator `{isolator}` failed")]
pub struct CleanupFailure {
    /// Which one.
    pub isolator: &'static str,
    /// Why.
    pub source: IsolatorError,
}

/// Tells every isolator which containers are still there.
pub async fn recover_all(
    isolators: &[Arc<dyn Isolator>],
    known: &[Recovered],
    orphans: &[ContainerId],
) -> Result<(), IsolatorError> {
    for isolator in isolators {
        let span = tracing::info_span!("isolator.recover", isolator = isolator.name());
        isolator.recover(known, orphans).instrument(span).await?;
    }
    Ok(())
}

/// Prepares in order and merges what the isolators ask for.
pub async fn prepare_all(
    isolators: &[Arc<dyn Isolator>],
    config: &IsolatorConfig,
) -> Result<LaunchInfo, IsolatorError> {
    let mut merged = LaunchInfo::default();
    for isolator in isolators {
        let span = tracing::info_span!("isolator.prepare", isolator = isolator.name(), container_id = %config.id);
        merged.merge(isolator.prepare(config).instrument(span).await?);
    }
    Ok(merged)
}

/// Takes the held-back first process in, in order.
pub async fn isolate_all(
    isolators: &[Arc<dyn Isolator>],
    id: &ContainerId,
    pid: u32,
) -> Result<(), IsolatorError> {
    for isolator in isolators {
        let span =
            tracing::info_span!("isolator.isolate", isolator = isolator.name(), container_id = %id);
        isolator.isolate(id, pid).instrument(span).await?;
    }
    Ok(())
}

/// Applies new resources, in order.
pub async fn update_all(
    isolators: &[Arc<dyn Isolator>],
    id: &ContainerId,
    resources: &Resources,
    limits: &Limits,
) -> Result<(), IsolatorError> {
    for isolator in isolators {
        let span =
            tracing::info_span!("isolator.update", isolator = isolator.name(), container_id = %id);
        isolator
            .update(id, resources, limits)
            .instrument(span)
            .await?;
    }
    Ok(())
}

/// Cleans up in reverse order, all of them, and returns every failure.
pub async fn cleanup_all(isolators: &[Arc<dyn Isolator>], id: &ContainerId) -> Vec<CleanupFailure> {
    let mut failures = Vec::new();
    for isolator in isolators.iter().rev() {
        let span =
            tracing::info_span!("isolator.cleanup", isolator = isolator.name(), container_id = %id);
        if let Err(source) = isolator.cleanup(id).instrument(span).await {
            failures.push(CleanupFailure {
                isolator: isolator.name(),
                source,
            });
        }
    }
    failures
}
