//! The task that owns a container from its launch, or its recovery, to its end.

use std::sync::Arc;

use futures::future::select_all;
use mesos_containerizer_api::{ContainerConfig, ContainerError, Limitation, Running};
use mesos_isolator_api::update_all;
use mesos_isolator_linux::wait::Readable;
use tokio::sync::oneshot;

use crate::{
    container::{Container, Phase},
    containerizer::Shared,
    launch,
    teardown::{self, Outcome},
};

/// Launches, watches, tears down. Ends early, and leaves the container alone, when the agent stops.
pub(crate) async fn own(
    shared: Arc<Shared>,
    container: Arc<Container>,
    config: ContainerConfig,
    reply: oneshot::Sender<Result<Running, ContainerError>>,
) {
    let launched = tokio::select! {
        launched = launch::launch(&shared, &container, &config) => launched,
        () = shared.stop.cancelled() => return,
    };
    match launched {
        Ok(running) => {
            container.enter(Phase::Running);
            apply_late_update(&shared, &container, &config).await;
            // The caller may have gone; the container runs all the same.
            let _nobody_waits = reply.send(Ok(running));
            drop(config);
            watch(&shared, &container).await;
        }
        Err(error) => {
            let Some(termination) =
                teardown::tear_down(&shared, &container, Outcome::NeverRan).await
            else {
                return;
            };
            // An error says that everything has been undone, the memory of it too.
            shared.remove(&container);
            container.end(termination);
            let _nobody_waits = reply.send(Err(error));
        }
    }
}

/// From the moment the task runs to its end.
pub(crate) async fn watch(shared: &Arc<Shared>, container: &Arc<Container>) {
    let limitation = tokio::select! {
        biased;
        () = shared.stop.cancelled() => return,
        () = first_process_ends(container) => None,
        () = container.destroy.cancelled() => None,
        limitation = limitation(shared, container) => Some(limitation),
    };
    if let Some(termination) =
        teardown::tear_down(shared, container, Outcome::Ran { limitation }).await
    {
        container.end(termination);
    }
}

async fn first_process_ends(container: &Container) {
    let Some((_, fd)) = container.first() else {
        return;
    };
    if fd.has_ended() {
        return;
    }
    match Readable::new(fd) {
        Ok(end) if end.readable().await.is_ok() => {}
        // The runtime is shutting down.
        Ok(_) => std::future::pending().await,
        Err(error) => {
            tracing::error!(container_id = %container.id, %error, "the end of a container cannot be watched");
            std::future::pending::<()>().await;
        }
    }
}

/// The first bound that any isolator finds broken.
async fn limitation(shared: &Shared, container: &Container) -> Limitation {
    let isolators = &shared.settings.isolators;
    if isolators.is_empty() {
        return std::future::pending().await;
    }
    let (found, _, _) = select_all(
        isolators
            .iter()
            .map(|isolator| isolator.limitation(&container.id)),
    )
    .await;
    teardown::translate(found)
}

/// Resources that came while the container was launching.
async fn apply_late_update(shared: &Shared, container: &Container, config: &ContainerConfig) {
    let (resources, limits) = container.resources();
    if resources == config.resources && limits == config.limits {
        return;
    }
    if let Err(error) = update_all(
        &shared.settings.isolators,
        &container.id,
        &resources,
        &limits,
    )
    .await
    {
        tracing::warn!(container_id = %container.id, %error, "resources that came during the launch could not be applied");
    }
}
