//! Containers with what they use now, asked of the containerizer within a deadline.

use std::{collections::HashSet, future::Future, sync::Arc, time::Duration};

use futures::future::join_all;
use mesos_containerizer_api::ContainerError;
use mesos_types::ContainerId;
use mesos_wire::v1;
use tokio::time::{Instant, timeout_at};

use super::{ReadSide, Viewer};
use crate::state::{AgentState, Executor, ExecutorPhase, Framework};

/// How long all containers together have to tell what they use. What is late is left out.
const DEADLINE: Duration = Duration::from_secs(1);

/// One container. What could not be had is `None`.
pub(crate) struct Container {
    pub(crate) id: ContainerId,
    /// Whose it is, unless it is within another container or stands alone.
    pub(crate) of: Option<(Arc<Framework>, Arc<Executor>)>,
    pub(crate) status: Option<v1::ContainerStatus>,
    pub(crate) statistics: Option<v1::ResourceStatistics>,
}

/// Which containers, and what of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Only the one with this id.
    pub(crate) only: Option<String>,
    /// Those within others too.
    pub(crate) nested: bool,
    /// Where they are, beside what they use.
    pub(crate) status: bool,
}

/// The containers that the viewer may see, executors' first.
pub(crate) async fn containers(
    read: &ReadSide,
    state: &AgentState,
    viewer: &Viewer,
    wanted: &Wanted,
) -> Vec<Container> {
    let chosen = |id: &ContainerId| wanted.only.as_deref().is_none_or(|only| only == id.value());
    let mut found = Vec::new();
    let mut roots = HashSet::new();
    for (framework, executor) in state.executors() {
        if executor.phase != ExecutorPhase::Terminated
            && viewer.container(executor, &framework.info)
        {
            roots.insert(&executor.container);
            if chosen(&executor.container) {
                let of = (framework.clone(), executor.clone());
                found.push((executor.container.clone(), Some(of)));
            }
        }
    }
    let deadline = Instant::now() + DEADLINE;
    if wanted.nested {
        let all = timeout_at(deadline, read.containerizer.containers()).await;
        let nested = all.unwrap_or_default().into_iter();
        found.extend(
            nested
                .filter(|id| id.parent().is_some() && roots.contains(id.root()) && chosen(id))
                .map(|id| (id, None)),
        );
    }
    join_all(found.into_iter().map(|(id, of)| async move {
        let containerizer = &read.containerizer;
        let status = async {
            if !wanted.status {
                return None;
            }
            let answer = ask("status", &id, deadline, containerizer.status(&id)).await?;
            Some(v1::ContainerStatus {
                container_id: Some((&id).into()),
                network_infos: answer.network_infos,
                cgroup_info: answer.cgroup_info,
                executor_pid: answer.pid,
            })
        };
        let usage = ask("usage", &id, deadline, containerizer.usage(&id));
        let (status, usage) = futures::join!(status, usage);
        Container {
            status,
            statistics: usage.map(|usage| usage.statistics),
            id,
            of,
        }
    }))
    .await
}

async fn ask<T>(
    what: &'static str,
    id: &ContainerId,
    deadline: Instant,
    answer: impl Future<Output = Result<Option<T>, ContainerError>>,
) -> Option<T> {
    match timeout_at(deadline, answer).await {
        // Nothing is what a container that has just ended answers.
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::warn!(container_id = %id, what, %error, "left out of an answer: it could not be had");
            None
        }
        Err(_) => {
            tracing::warn!(container_id = %id, what, limit = ?DEADLINE, "left out of an answer: it took too long");
            None
        }
    }
}
