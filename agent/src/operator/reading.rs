//! What the reading endpoints share: the newest state, who looks at it, and what else they ask.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use mesos_containerizer_api::SharedContainerizer;
use mesos_gc::Gc;
use mesos_http::{
    Action, Authorizer, Metrics, Object, Request, Response, Router, StatusCode, files::Files,
    logging::LogLevel,
};
use mesos_wire::v1::FrameworkInfo;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    files, legacy, metrics, operator,
    state::{AgentState, Executor, Framework, Phase, Snapshots, Task},
};

/// Everything that the operator API and the older endpoints read. None of it makes the core wait.
pub struct ReadSide {
    /// The newest state.
    pub snapshots: Snapshots,
    /// Asked for the use and the status of containers, with a deadline.
    pub containerizer: SharedContainerizer,
    /// Asked for its statistics.
    pub gc: Gc,
    /// The flags' effective values as text, without secrets.
    pub flags: Arc<BTreeMap<String, String>>,
    /// Where others reach this agent.
    pub address: SocketAddr,
    /// The agent's own log, if it is written to a file; shown as `/slave/log`.
    pub log_file: Option<PathBuf>,
    /// Verbosity of the log.
    pub log_level: LogLevel,
    /// Who may see what; the same as the router's.
    pub authorizer: Arc<dyn Authorizer>,
    /// All metrics of the daemon. [`routes`] declares those that follow from the state.
    pub metrics: Metrics,
    /// Numbers that containerizers and the fetcher keep themselves.
    pub parts: Vec<metrics::Source>,
    /// Files that clients may see. [`routes`] keeps it in step with the state.
    pub files: Files,
}

/// Adds the operator API (`/api/v1`), the older endpoints, and what every daemon serves. They answer 503
/// while the agent recovers on their own, and are not subject to the router's gate.
///
/// What comes back keeps the table of files in step with the state until `stop` fires; the caller awaits
/// it. Needs a tokio runtime.
#[must_use]
pub fn routes<S: Clone + Send + Sync + 'static>(
    router: &mut Router<S>,
    read: ReadSide,
    stop: CancellationToken,
) -> JoinHandle<()> {
    metrics::declare(&read.metrics, &read.snapshots, &read.gc, &read.parts);
    let follower = files::Follower::new(read.files.clone(), read.authorizer.clone());
    if let Some(log) = &read.log_file {
        follower.attach_log(log);
    }
    let following = tokio::spawn(follower.run(read.snapshots.clone(), stop));
    let read = Arc::new(read);
    operator::api::route(router, &read);
    legacy::routes(router, &read);
    following
}

impl ReadSide {
    /// The newest state, or 503 while the agent recovers.
    pub(crate) fn recovered(&self) -> Result<Arc<AgentState>, Response> {
        let state = self.snapshots.load();
        if state.phase == Phase::Recovering {
            return Err(Response::unavailable("Agent has not finished recovery"));
        }
        Ok(state)
    }
}

/// Runs work that may take long off the caller's thread.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Response> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "an answer could not be made");
        Response::status_text(StatusCode::INTERNAL_SERVER_ERROR)
    })
}

/// Who looks, for everything that may be shown to some and not to others.
#[derive(Clone)]
pub(crate) struct Viewer {
    authorizer: Arc<dyn Authorizer>,
    principal: Option<String>,
}

impl Viewer {
    pub(crate) fn of(request: &Request) -> Self {
        Self {
            authorizer: request.authorizer(),
            principal: request.principal.clone(),
        }
    }

    pub(crate) fn may(&self, action: Action, object: Object<'_>) -> bool {
        self.authorizer
            .authorize(self.principal.as_deref(), action, object)
    }

    pub(crate) fn framework(&self, framework: &Framework) -> bool {
        self.may(Action::ViewFramework, Object::Framework(&framework.info))
    }

    pub(crate) fn executor(&self, executor: &Executor, of: &FrameworkInfo) -> bool {
        self.may(Action::ViewExecutor, Object::Executor(&executor.info, of))
    }

    pub(crate) fn container(&self, executor: &Executor, of: &FrameworkInfo) -> bool {
        self.may(Action::ViewContainer, Object::Executor(&executor.info, of))
    }

    pub(crate) fn task(&self, task: &Task, of: &FrameworkInfo) -> bool {
        self.may(Action::ViewTask, Object::TaskInfo(&task.info, of))
    }

    pub(crate) fn role(&self, role: &str) -> bool {
        self.may(Action::ViewRole, Object::Named(role))
    }
}
