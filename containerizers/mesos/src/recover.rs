//! Takes containers back after a restart of the agent.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use mesos_containerizer_api::{ContainerConfig, ContainerError};
use mesos_isolator_api::{Recovered, recover_all};
use mesos_types::{ContainerId, Limits, Resources};

use crate::{
    container::{Container, Phase},
    containerizer::Shared,
    launch, lifecycle, validate,
};

/// How long recovery waits for orphans to end; they are destroyed in any case.
const ORPHANS: Duration = Duration::from_secs(5);

/// Reattaches to `known`; destroys what the runtime directory names besides.
pub(crate) async fn recover(
    shared: &Arc<Shared>,
    known: &[ContainerConfig],
) -> Result<(), ContainerError> {
    if let Err(error) = shared.server.warm_up() {
        let helper = shared.settings.helper.display();
        tracing::error!(%error, %helper, "no container can be launched until the helper starts");
    }
    let present = shared
        .runtime_dir
        .list()
        .map_err(|error| ContainerError::Recover {
            message: format!(
                "cannot read {}: {error}",
                shared.runtime_dir.path().display()
            ),
        })?;
    let known: Vec<&ContainerConfig> = known
        .iter()
        .filter(|config| validate::accepts(config))
        .collect();
    let known_ids: BTreeSet<&ContainerId> = known.iter().map(|config| &config.id).collect();
    let orphans: Vec<ContainerId> = present
        .iter()
        .filter(|id| !known_ids.contains(id))
        .cloned()
        .collect();

    let mut recovered = Vec::new();
    let mut owned = Vec::new();
    for config in &known {
        let container = reattach(shared, &config.id, config.resources.clone(), config.limits)?;
        let pid = container.pid();
        tracing::info!(container_id = %config.id, pid, "recovered a container");
        recovered.push(Recovered {
            config: launch::isolator_config(config),
            pid,
        });
        owned.push(container);
    }
    let mut doomed = Vec::new();
    for id in &orphans {
        let container = reattach(shared, id, Resources::new(), Limits::default())?;
        tracing::info!(container_id = %id, pid = container.pid(), config = container.dir.describe(), "destroying a container that no task belongs to");
        container.destroy.cancel();
        doomed.push(container);
    }
    name_strangers(shared, &present);
    recover_all(&shared.settings.isolators, &recovered, &orphans)
        .await
        .map_err(|error| ContainerError::Recover {
            message: error.to_string(),
        })?;

    for container in owned {
        shared.insert(&container);
        let shared = shared.clone();
        tokio::spawn(async move { lifecycle::watch(&shared, &container).await });
    }
    let mut ends = Vec::new();
    for container in doomed {
        shared.insert(&container);
        let shared = shared.clone();
        ends.push(tokio::spawn(async move {
            lifecycle::watch(&shared, &container).await;
            shared.forget(&container);
        }));
    }
    // Those that take longer end in the background.
    let _slow = tokio::time::timeout(ORPHANS, futures::future::join_all(ends)).await;
    Ok(())
}

/// A container as the runtime directory and the kernel show it now.
fn reattach(
    shared: &Shared,
    id: &ContainerId,
    resources: Resources,
    limits: Limits,
) -> Result<Arc<Container>, ContainerError> {
    let dir = shared.runtime_dir.container(id);
    let container = Container::new(id.clone(), dir, resources, limits);
    if let Some(key) = container.dir.pid() {
        match key.open() {
            Ok(Some(fd)) => {
                container.set_first(key.pid, Arc::new(fd));
                // Signals and new resources reach it as before the restart.
                container.enter(Phase::Running);
            }
            Ok(None) => {}
            Err(error) => {
                return Err(ContainerError::Recover {
                    message: format!(
                        "cannot look at process {} of container {id}: {error}",
                        key.pid
                    ),
                });
            }
        }
    }
    Ok(container)
}

/// Cgroups that no record of ours names are somebody else's: said, and never touched.
fn name_strangers(shared: &Shared, present: &[ContainerId]) {
    for name in shared.settings.launcher.names() {
        if !present.iter().any(|id| id.value() == name) {
            tracing::warn!(
                cgroup = name,
                "a cgroup beneath ours is none of this agent's containers; it is left alone"
            );
        }
    }
}
