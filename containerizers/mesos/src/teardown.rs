//! Ends every process of a container and removes its traces, from whatever stage it has reached.
//!
//! Every step may be repeated, and is, until it works: processes are killed for as long as there
//! are any; traces that resist for [`PATIENCE`] are named in the termination and removed in the
//! background.

use std::{sync::Arc, time::Duration};

use mesos_containerizer_api::{Limitation, Termination};
use mesos_isolator_api::cleanup_all;
use mesos_isolator_linux::{Cgroup, kill::Left};
use tokio::time::Instant;

use crate::{
    container::{Container, Phase},
    containerizer::Shared,
};

/// How long the end of a container is held back for traces that cannot be removed.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a person is told about processes that do not end.
const COMPLAIN: Duration = Duration::from_secs(60);
/// Raw wait status of a process killed by SIGKILL: what Apache Mesos reports when it has none.
const KILLED: i32 = 9;

/// How the container came to its end.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The task was never let go, or its launch failed.
    NeverRan,
    /// It ran; a bound may have ended it.
    Ran { limitation: Option<Limitation> },
}

/// From an isolator's words to the containerizer's.
pub(crate) fn translate(found: mesos_isolator_api::Limitation) -> Limitation {
    Limitation {
        reason: found.reason,
        message: found.message,
        resources: found.resources,
    }
}

/// Does it all. `None`: the agent stops, and the container is left as it is.
pub(crate) async fn tear_down(
    shared: &Arc<Shared>,
    container: &Arc<Container>,
    outcome: Outcome,
) -> Option<Termination> {
    container.enter(Phase::Destroying);
    tokio::select! {
        () = kill_everything(shared, container) => {}
        () = shared.stop.cancelled() => return None,
    }
    let mut termination = Termination::default();
    match outcome {
        Outcome::NeverRan => {
            if let Err(problem) = remove_traces(shared, container).await {
                termination.message = Some(problem);
            }
            let _kept_for_recovery = container.dir.remove();
        }
        Outcome::Ran { limitation } => {
            // A process that could not write its status was killed, if it ran at all: an agent's
            // end may have cut the launch short.
            let released = container.was_released() || container.dir.was_released();
            termination.status = container.dir.status().or(released.then_some(KILLED));
            termination.limitation = match limitation.or_else(|| container.dir.limitation()) {
                Some(found) => Some(found),
                None => last_limitation(shared, container).await,
            };
            if let Some(limitation) = &termination.limitation
                && let Err(error) = container.dir.write_limitation(limitation)
            {
                tracing::warn!(container_id = %container.id, %error, "why the container ended would not survive a restart now");
            }
            if let Err(problem) = remove_traces(shared, container).await {
                termination.message = Some(problem);
            }
        }
    }
    Some(termination)
}

/// Ends when no process is left and ours has been reaped.
async fn kill_everything(shared: &Shared, container: &Container) {
    let launcher = &shared.settings.launcher;
    let first = container.first();
    let mut complain = Instant::now() + COMPLAIN;
    let mut round = 0_u32;
    loop {
        let left = launcher.kill_round(&container.id, first.as_ref().map(|(pid, _)| *pid), round);
        let mut ended = true;
        if let Some((_, fd)) = &first {
            ended = fd.has_ended();
            let more = matches!(left, Ok(Left::Processes(_)));
            // Where only the tree tells what belongs to it, the root of the tree goes last.
            let by_tree = launcher.cgroup(&container.id).is_none();
            if !(ended || by_tree && more) {
                let _ended_meanwhile = fd.signal(KILLED);
            }
        }
        match left {
            Ok(Left::Nothing) if ended => break,
            Ok(Left::Nothing | Left::Processes(_)) => {}
            Err(error) => {
                tracing::warn!(container_id = %container.id, %error, "killing a container's processes failed; trying again");
            }
        }
        if Instant::now() >= complain {
            complain = Instant::now() + COMPLAIN;
            tracing::error!(container_id = %container.id, "processes of a container do not end; perhaps they hang in the kernel");
        }
        tokio::time::sleep(pause(round)).await;
        round = round.saturating_add(1);
    }
    if let Some((_, fd)) = &first {
        fd.reap();
    }
}

/// 1 ms at first, 1 s in the end.
fn pause(round: u32) -> Duration {
    Duration::from_millis(match round {
        0..50 => 1,
        50..100 => 10,
        100..150 => 100,
        _ => 1000,
    })
}

/// What isolators find out only now; several are put together, the first one's reason counts.
async fn last_limitation(shared: &Shared, container: &Container) -> Option<Limitation> {
    let mut all: Option<Limitation> = None;
    for isolator in &shared.settings.isolators {
        let Some(found) = isolator.last_limitation(&container.id).await.map(translate) else {
            continue;
        };
        match &mut all {
            None => all = Some(found),
            Some(all) => {
                all.message = format!("{}; {}", all.message, found.message);
                all.resources += &found.resources;
            }
        }
    }
    all
}

/// Isolators in reverse order, then the launcher's cgroup. After [`PATIENCE`] it goes on in the
/// background and answers what is still there.
async fn remove_traces(shared: &Arc<Shared>, container: &Arc<Container>) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    let mut round = 0;
    loop {
        let Err(problem) = remove_once(shared, container).await else {
            return Ok(());
        };
        if Instant::now() >= deadline {
            tracing::error!(container_id = %container.id, problem, "traces of a container cannot be removed; still trying");
            let (shared, container) = (shared.clone(), container.clone());
            tokio::spawn(async move {
                let again = async {
                    while remove_once(&shared, &container).await.is_err() {
                        tokio::time::sleep(Duration::from_secs(10)).await;
                    }
                };
                tokio::select! {
                    () = again => {}
                    () = shared.stop.cancelled() => {}
                }
            });
            return Err(problem);
        }
        tokio::time::sleep(pause(round)).await;
        round += 10;
    }
}

async fn remove_once(shared: &Shared, container: &Container) -> Result<(), String> {
    let failures = cleanup_all(&shared.settings.isolators, &container.id).await;
    if !failures.is_empty() {
        let texts: Vec<String> = failures
            .iter()
            .map(|failure| format!("{failure}: {}", failure.source.message))
            .collect();
        return Err(texts.join("; "));
    }
    match shared.settings.launcher.cgroup(&container.id) {
        Some(cgroup) => remove_cgroup(&cgroup).await,
        None => Ok(()),
    }
}

/// The kernel may need a moment after the last process.
async fn remove_cgroup(cgroup: &Cgroup) -> Result<(), String> {
    for _ in 0..1000 {
        match cgroup.remove() {
            Ok(true) => return Ok(()),
            Ok(false) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(format!("cgroup {} stays busy", cgroup.path().display()))
}
