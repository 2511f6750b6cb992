//! What the reading endpoints share: the newest state, who looks at it, and bodies made once for all who ask.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use mesos_http::{
    Action, AllowAll, Authorizer, Bytes, Metrics, Object, Request, Response, Router, Service,
    StatusCode, files::Files, logging::LogLevel, metrics::Counter,
};
use mesos_wire::{Encoding, v1::FrameworkInfo};
use tokio_util::sync::CancellationToken;

use crate::{
    Handle, MasterConfig, legacy, metrics, operator,
    state::{Executor, Framework, Published, Snapshot, Task},
};

/// Everything that the operator API and the older endpoints read.
pub(crate) struct ReadSide {
    /// The newest state, and its changes.
    pub(crate) master: Handle,
    /// Files that clients may see.
    pub(crate) files: Files,
    /// The master stops: event streams end.
    pub(crate) stop: CancellationToken,
    /// Subscribers of the operator event stream.
    pub(crate) subscribers: operator::Subscribers,
    bodies: Bodies,
}

impl ReadSide {
    pub(crate) fn new(master: Handle, stop: CancellationToken) -> Self {
        let files = Files::new();
        if let Some(log) = &master.config().log_file {
            let authorizer = master.authorizer().clone();
            let guard = move |principal: Option<&str>| {
                authorizer.authorize(principal, Action::AccessMesosLog, Object::Any)
            };
            files.attach("/master/log", log, Some(Arc::new(guard)));
        }
        let most = master.config().max_operator_event_stream_subscribers;
        let subscribers = operator::Subscribers::new(most, master.metrics());
        let bodies = Bodies::new(master.metrics());
        Self {
            master,
            files,
            stop,
            subscribers,
            bodies,
        }
    }
}

/// Adds the operator API, the older endpoints and what every daemon serves, and declares the metrics.
/// Event streams end at `stop`.
pub fn routes(router: &mut Router<Handle>, master: &Handle, stop: CancellationToken) {
    metrics::declare(master);
    let read = Arc::new(ReadSide::new(master.clone(), stop));
    operator::routes(router, &read);
    legacy::routes(router, &read);
}

/// The same endpoints over a state that nobody changes: what reading costs can be measured with it. A
/// request to change something is answered as by a master that does not lead.
pub fn still(snapshot: Snapshot, config: MasterConfig) -> Service {
    let authorizer: Arc<dyn Authorizer> = Arc::new(AllowAll);
    let master = Handle::new(
        Arc::new(Published::new(snapshot)),
        Arc::new(config),
        Arc::default(),
        authorizer.clone(),
        Metrics::new(),
        LogLevel::new(0, |_| {}),
    );
    let mut router = Router::new(master.clone())
        .prefix("/master")
        .authorizer(authorizer);
    routes(&mut router, &master, CancellationToken::new());
    router.finish()
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

    pub(crate) fn task(&self, task: &Task, of: &FrameworkInfo) -> bool {
        self.may(Action::ViewTask, Object::Task(&task.spec, of))
    }

    pub(crate) fn executor(&self, executor: &Executor, of: &FrameworkInfo) -> bool {
        self.may(Action::ViewExecutor, Object::Executor(&executor.info, of))
    }

    pub(crate) fn role(&self, role: &str) -> bool {
        self.may(Action::ViewRole, Object::Named(role))
    }

    #[cfg(test)]
    pub(crate) fn everything() -> Self {
        Self {
            authorizer: Arc::new(mesos_http::AllowAll),
            principal: None,
        }
    }
}

/// A body: the path or the call, and in which encoding.
pub(crate) type Name = (&'static str, Encoding);

/// What makes two requests ask for the same body.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    body: Name,
    principal: Option<String>,
}

/// A body, and the version of the state that it shows.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) version: u64,
    pub(crate) bytes: Bytes,
}

type Slot = Arc<tokio::sync::Mutex<Option<Made>>>;

/// Principals whose bodies are kept at a time; with more, bodies are made for each request.
const KEPT: usize = 64;

/// The last body of each kind, with the version of the state it shows. Requests for the same body wait
/// for the one that makes it, so a crowd costs as much as one.
struct Bodies {
    slots: Mutex<HashMap<Key, Slot>>,
    hits: Counter,
}

impl Bodies {
    fn new(metrics: &Metrics) -> Self {
        let hits = metrics.counter(
            "master/http_cache_hits",
            "Answers of reading endpoints that were shared with an earlier request for the same state.",
        );
        Self {
            slots: Mutex::default(),
            hits,
        }
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
        name: Name,
        read: &ReadSide,
        viewer: &Viewer,
        make: impl FnOnce(&Snapshot, &Viewer) -> Vec<u8> + Send + 'static,
    ) -> Result<Made, Response> {
        let wanted = read.master.snapshot().version;
        let slot = self.slot(Key {
            body: name,
            principal: viewer.principal.clone(),
        });
        let mut kept = match &slot {
            Some(slot) => Some(slot.lock().await),
            None => None,
        };
        if let Some(Some(made)) = kept.as_deref()
            && made.version >= wanted
        {
            self.hits.inc();
            return Ok(made.clone());
        }
        let (snapshot, viewer) = (read.master.snapshot(), viewer.clone());
        let version = snapshot.version;
        let bytes = tokio::task::spawn_blocking(move || Bytes::from(make(&snapshot, &viewer)))
            .await
            .map_err(|error| {
                tracing::error!(%error, body = name.0, "an answer could not be made");
                Response::status_text(StatusCode::INTERNAL_SERVER_ERROR)
            })?;
        let made = Made { version, bytes };
        if let Some(kept) = &mut kept {
            **kept = Some(made.clone());
        }
        Ok(made)
    }
}

impl ReadSide {
    /// See [`Bodies`].
    pub(crate) async fn body(
        &self,
        name: Name,
        viewer: &Viewer,
        make: impl FnOnce(&Snapshot, &Viewer) -> Vec<u8> + Send + 'static,
    ) -> Result<Made, Response> {
        self.bodies.get(name, self, viewer, make).await
    }

    /// What `ETag` is of a body that shows this version of the state. Weak: the same state may be sent
    /// compressed or wrapped.
    pub(crate) fn tag(&self, version: u64) -> String {
        let identity = &self.master.snapshot().identity;
        format!(
            "W/\"{}-{}-{version}\"",
            identity.info.id, identity.elected_time
        )
    }
}

#[cfg(test)]
mod tests;
