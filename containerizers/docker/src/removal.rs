//! Removes ended containers after a while, and tries again until the engine has done it.

use std::{sync::Arc, time::Duration};

use bollard::query_parameters::RemoveContainerOptions;
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, time::DelayQueue};

use crate::engine::{Engine, EngineError};

/// Between two attempts.
const RETRY: Duration = Duration::from_secs(30);
/// When to look again for a container whose create call was not answered: the engine may still
/// make it.
const LINGER: [u64; 3] = [1, 15, 180];

/// Where removals are put.
#[derive(Debug, Clone)]
pub(crate) struct Removals(mpsc::UnboundedSender<(String, Duration)>);

impl Removals {
    /// Runs until `stop` fires. What is left then is found again by recovery.
    pub(crate) fn start(engine: Arc<Engine>, deadline: Duration, stop: CancellationToken) -> Self {
        let (sender, mut inbox) = mpsc::unbounded_channel::<(String, Duration)>();
        tokio::spawn(async move {
            let mut queue = DelayQueue::new();
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    Some((container, delay)) = inbox.recv() => {
                        queue.insert(container, delay);
                    }
                    Some(due) = queue.next(), if !queue.is_empty() => {
                        let container = due.into_inner();
                        if let Err(error) = remove(&engine, &container, deadline).await {
                            tracing::warn!(container, %error, "cannot remove a container yet");
                            queue.insert(container, RETRY);
                        }
                    }
                }
            }
        });
        Self(sender)
    }

    /// Removes a container later.
    pub(crate) fn after(&self, container: &str, delay: Duration) {
        let _stopping = self.0.send((container.to_owned(), delay));
    }

    /// Removes a container that may not exist yet.
    pub(crate) fn lingering(&self, container: &str) {
        for seconds in LINGER {
            self.after(container, Duration::from_secs(seconds));
        }
    }
}

/// Kills if need be and removes, with anonymous volumes. A container that is not there is removed.
pub(crate) async fn remove(
    engine: &Engine,
    container: &str,
    deadline: Duration,
) -> Result<(), EngineError> {
    let options = RemoveContainerOptions {
        force: true,
        v: true,
        ..RemoveContainerOptions::default()
    };
    let result = engine
        .call("remove container", deadline, |docker| async move {
            docker.remove_container(container, Some(options)).await
        })
        .await;
    match result {
        // "removal of container … is already in progress" is a conflict.
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        other => other,
    }
}

/// Seconds since 1970 of the engine's `FinishedAt`; `None` if it has not finished.
pub(crate) fn finished_at(text: &str) -> Option<u64> {
    logs_stamp(text).filter(|seconds| *seconds > 0)
}

fn logs_stamp(text: &str) -> Option<u64> {
    mesos_docker_logs::parse_stamp(text.as_bytes()).map(|(seconds, _)| seconds)
}
