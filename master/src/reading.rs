//! What the reading endpoints share: the newest state, who looks at it, and bodies made once for all who ask.
use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use mesos_http::{
    Action, Authorizer, Bytes, Metrics, Object, Request, Response, Router, StatusCode, files::Files,
    logging::LogLevel, metrics::Counter,
};
use mesos_types::FrameworkId;
use mesos_wire::v1::{ExecutorInfo, FrameworkInfo};
use tokio_util::sync::CancellationToken;

use crate::{
    config::MasterConfig,
    legacy, operator,
    state::{Executor, Framework, Published, Snapshot, Task},
};

/// Ends a framework: the one thing the reading side asks of the owner of the state.
pub trait Teardown: Send + Sync {
    /// Done when the new state is published; `false`: there is no such framework.
    fn teardown(&self, id: FrameworkId) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;
}

/// Everything that the operator API and the older endpoints read.
pub struct ReadSide {
    /// The newest state, and its changes.
    pub published: Arc<Published>,
    /// How the master was configured.
    pub config: Arc<MasterConfig>,
    /// All metrics of the daemon.
    pub metrics: Metrics,
    /// Files that clients may see.
    pub files: Files,
    /// Verbosity of the log.
    pub log_level: LogLevel,
    /// Ends frameworks.
    pub teardown: Arc<dyn Teardown>,
    /// The master stops: event streams end.
    pub stop: CancellationToken,
    /// Subscribers of the operator event stream.
    pub subscribers: operator::Subscribers,
    /// Bodies made lately.
    pub bodies: Bodies,
}

impl ReadSide {
    /// A reading side; declares the metrics that it keeps itself.
    pub fn new(
        published: Arc<Published>,
        config: Arc<MasterConfig>,
        metrics: Metrics,
        files: Files,
        log_level: LogLevel,
        teardown: Arc<dyn Teardown>,
        stop: CancellationToken,
    ) -> Self {
        let hits = metrics.counter(
            "master/http_cache_hits",
            "Answers of reading endpoints that were shared with an earlier request for the same state.",
        );
        let subscribers =
            operator::Subscribers::new(config.max_operator_event_stream_subscribers, &metrics);
        Self {
            published,
            config,
            metrics,
            files,
            log_level,
            teardown,
            stop,
            subscribers,
            bodies: Bodies::new(hits),
        }
    }
}

/// Adds the operator API, the older endpoints and what every daemon serves.
pub fn routes<S: Clone + Send + Sync + 'static>(router: &mut Router<S>, read: ReadSide) {
    let read = Arc::new(read);
    operator::routes(router, &read);
    legacy::routes(router, &read);
}

/// Who looks, for everything that may be shown to some and not to others.
#[derive(Clone)]
pub(crate) struct Viewer {
    authorizer: Arc<dyn Authorizer>,
    principal: Option<String>,
}

impl Viewer {
    pub(crate) fn of(request: &Request) -> Self {
        Self { authorizer: request.authorizer(), principal: request.principal.clone() }
    }

    pub(crate) fn may(&self, action: Action, object: Object<'_>) -> bool {
        self.authorizer.authorize(self.principal.as_deref(), action, object)
    }

    pub(crate) fn framework(&self, framework: &Framework) -> bool {
        self.may(Action::ViewFramework, Object::Framework(&framework.info))
    }

    pub(crate) fn task(&self, task: &Task, of: &FrameworkInfo) -> bool {
        self.may(Action::ViewTask, Object::Task(&task.spec, of))
    }

    pub(crate) fn executor(&self, executor: &Executor, of: &FrameworkInfo) -> bool {
        self.executor_info(&executor.info, of)
    }

    fn executor_info(&self, info: &ExecutorInfo, of: &FrameworkInfo) -> bool {
        self.may(Action::ViewExecutor, Object::Executor(info, of))
    }

    pub(crate) fn role(&self, role: &str) -> bool {
        self.may(Action::ViewRole, Object::Named(role))
    }

    #[cfg(test)]
    pub(crate) fn everything() -> Self {
        Self { authorizer: Arc::new(mesos_http::AllowAll), principal: None }
    }
}

/// What makes two requests ask for the same body.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    body: &'static str,
    principal: Option<String>,
}

struct Made {
    version: u64,
    bytes: Bytes,
}

type Slot = Arc<tokio::sync::Mutex<Option<Made>>>;

/// Principals whose bodies are kept at a time; with more, bodies are made for each request.
const KEPT: usize = 64;

/// The last body of each kind, with the version of the state it shows. Requests for the same body wait
/// for the one that makes it, so a crowd costs as much as one.
pub struct Bodies {
    slots: Mutex<HashMap<Key, Slot>>,
    hits: Counter,
}

impl Bodies {
    fn new(hits: Counter) -> Self {
        Self { slots: Mutex::default(), hits }
    }

    fn slot(&self, key: Key) -> Option<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= KEPT && !slots.contains_key(&key) {
            return None;
        }
        Some(slots.entry(key).or_default().clone())
    }

    /// The body called `name` of a state at least as new as the newest one now. `make` runs on a thread
    /// where it may take long.
    async fn get(
        &self,
        name: &'static str,
        read: &ReadSide,
        viewer: &Viewer,
        make: impl FnOnce(&Snapshot, &Viewer) -> Vec<u8> + Send + 'static,
    ) -> Result<Bytes, Response> {
        let wanted = read.published.load().version;
        let slot = self.slot(Key { body: name, principal: viewer.principal.clone() });
        let mut kept = match &slot {
            Some(slot) => Some(slot.lock().await),
            None => None,
        };
        if let Some(Some(made)) = kept.as_deref()
            && made.version >= wanted
        {
            self.hits.inc();
            return Ok(made.bytes.clone());
        }
        let (snapshot, viewer) = (read.published.load(), viewer.clone());
        let version = snapshot.version;
        let bytes = tokio::task::spawn_blocking(move || Bytes::from(make(&snapshot, &viewer)))
            .await
            .map_err(|error| {
                tracing::error!(%error, body = name, "an answer could not be made");
                Response::status_text(StatusCode::INTERNAL_SERVER_ERROR)
            })?;
        if let Some(kept) = &mut kept {
            **kept = Some(Made { version, bytes: bytes.clone() });
        }
        Ok(bytes)
    }
}

impl ReadSide {
    /// See [`Bodies`].
    pub(crate) async fn body(
        &self,
        name: &'static str,
        viewer: &Viewer,
        make: impl FnOnce(&Snapshot, &Viewer) -> Vec<u8> + Send + 'static,
    ) -> Result<Bytes, Response> {
        self.bodies.get(name, self, viewer, make).await
    }
}
