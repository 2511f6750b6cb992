//! The endpoints that came before the v1 API: `/state`, `/tasks`, `/metrics/snapshot` and the rest.
//!
//! Field names, their order and the kinds of values are those of Apache Mesos 1.11; `slave` means agent here.

mod agent;
pub(crate) mod framework;
mod json;
mod registry;
pub(crate) mod resources;
mod roles;
mod settings;
pub(crate) mod state;
mod task;
mod tasks;
pub(crate) mod write;

#[cfg(test)]
pub(crate) mod sample;

use std::{future::Future, sync::Arc};

use mesos_http::{
    Action, Object, Request, Response, Router, StatusCode, files, header, logging, metrics, system,
    version,
};
use mesos_wire::Encoding;
use serde::Serialize;

use crate::{
    Handle,
    leadership::{self, Leadership},
    reading::{ReadSide, Viewer},
    state::Snapshot,
};

/// The long-running parts of the master, as `/__processes__` lists them.
const ACTORS: [&str; 6] = [
    "master",
    "allocator",
    "registrar(1)",
    "http",
    "files",
    "metrics",
];

/// Bytes to begin a body with.
const CAPACITY: usize = 16 * 1024;

/// Adds the routes.
pub(crate) fn routes(router: &mut Router<Handle>, read: &Arc<ReadSide>) {
    // `/health`, `/flags`, `/version` and the like answer on any master, leading or not.
    system::route_health(router);
    system::route_flags(router, read.master.config().flags.clone());
    system::route(router, &ACTORS);
    version::route(router);
    logging::route(router, read.master.log_level());
    metrics::route(router, read.master.metrics());
    files::route(router, &read.files);

    get(router, read, "/state", state).alias("/state.json");
    get(router, read, "/state-summary", state_summary);
    get(router, read, "/slaves", slaves);
    get(router, read, "/frameworks", frameworks);
    get(router, read, "/tasks", tasks);
    get(router, read, "/roles", roles);
    get(router, read, "/redirect", redirect).exact().ungated();
    get(router, read, "/registrar(1)/registry", registry);
    get(router, read, "/weights", settings::weights);
    get(router, read, "/quota", settings::quota);
    get(router, read, "/maintenance/schedule", settings::schedule);
    get(router, read, "/maintenance/status", settings::status);

    post(router, read, "/teardown", teardown);
    for path in [
        "/reserve",
        "/unreserve",
        "/create-volumes",
        "/destroy-volumes",
    ] {
        post(router, read, path, operation);
    }
    for path in ["/machine/down", "/machine/up"] {
        post(router, read, path, settings::machines);
    }
}

fn get<'a, H, F>(
    router: &'a mut Router<Handle>,
    read: &Arc<ReadSide>,
    path: &'static str,
    handler: H,
) -> &'a mut mesos_http::Route
where
    H: Fn(Arc<ReadSide>, Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let read = read.clone();
    router.get(path, move |_, request| handler(read.clone(), request))
}

fn post<H, F>(router: &mut Router<Handle>, read: &Arc<ReadSide>, path: &'static str, handler: H)
where
    H: Fn(Arc<ReadSide>, Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let read = read.clone();
    router.post(path, move |_, request| handler(read.clone(), request));
}

/// A body that only depends on the state and on who asks. A client that names the `ETag` of its last answer
/// gets 304 while nothing has changed.
async fn shared<F>(
    read: &ReadSide,
    request: &Request,
    viewer: &Viewer,
    name: &'static str,
    make: F,
) -> Response
where
    F: FnOnce(&Snapshot, &Viewer) -> Vec<u8> + Send + 'static,
{
    if let Some(seen) = request.header(header::IF_NONE_MATCH.as_str()) {
        let newest = read.tag(read.master.snapshot().version);
        if seen.split(',').any(|tag| tag.trim() == newest) {
            return Response::new(StatusCode::NOT_MODIFIED).header(header::ETAG, &newest);
        }
    }
    match read.body((name, Encoding::Json), viewer, make).await {
        Ok(made) => {
            let tag = read.tag(made.version);
            Response::json_bytes(made.bytes).header(header::ETAG, &tag)
        }
        Err(response) => response,
    }
}

/// A body for this request alone, printed where that may take long.
async fn single<F>(read: &ReadSide, make: F) -> Response
where
    F: FnOnce(&Snapshot) -> Vec<u8> + Send + 'static,
{
    let snapshot = read.master.snapshot();
    match tokio::task::spawn_blocking(move || make(&snapshot)).await {
        Ok(bytes) => Response::json_bytes(bytes),
        Err(error) => {
            tracing::error!(%error, "an answer could not be made");
            Response::status_text(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

fn print<T: Serialize>(value: &T) -> Vec<u8> {
    json::print(CAPACITY, value).expect("records have text for keys and finite numbers or none")
}

async fn state(read: Arc<ReadSide>, request: Request) -> Response {
    let (viewer, master) = (Viewer::of(&request), read.master.clone());
    shared(
        &read,
        &request,
        &viewer,
        "/state",
        move |snapshot, viewer| {
            print(&state::StateJson {
                snapshot,
                config: master.config(),
                viewer,
            })
        },
    )
    .await
}

async fn state_summary(read: Arc<ReadSide>, request: Request) -> Response {
    shared(
        &read,
        &request,
        &Viewer::of(&request),
        "/state-summary",
        |snapshot, viewer| print(&state::SummariesJson { snapshot, viewer }),
    )
    .await
}

async fn slaves(read: Arc<ReadSide>, request: Request) -> Response {
    let viewer = Viewer::of(&request);
    match request.query("slave_id").map(str::to_owned) {
        Some(only) => {
            let make = move |snapshot: &Snapshot| {
                print(&state::AgentsJson {
                    snapshot,
                    viewer: &viewer,
                    only: Some(&only),
                })
            };
            single(&read, make).await
        }
        None => {
            let make = |snapshot: &Snapshot, viewer: &Viewer| {
                print(&state::AgentsJson {
                    snapshot,
                    viewer,
                    only: None,
                })
            };
            shared(&read, &request, &viewer, "/slaves", make).await
        }
    }
}

async fn frameworks(read: Arc<ReadSide>, request: Request) -> Response {
    let viewer = Viewer::of(&request);
    match request.query("framework_id").map(str::to_owned) {
        Some(only) => {
            let make = move |snapshot: &Snapshot| {
                print(&state::FrameworksJson {
                    snapshot,
                    viewer: &viewer,
                    only: Some(&only),
                })
            };
            single(&read, make).await
        }
        None => {
            let make = |snapshot: &Snapshot, viewer: &Viewer| {
                print(&state::FrameworksJson {
                    snapshot,
                    viewer,
                    only: None,
                })
            };
            shared(&read, &request, &viewer, "/frameworks", make).await
        }
    }
}

async fn tasks(read: Arc<ReadSide>, request: Request) -> Response {
    let (viewer, page) = (Viewer::of(&request), tasks::Page::of(&request));
    let make = move |snapshot: &Snapshot| {
        print(&tasks::TasksJson {
            page: &page,
            snapshot,
            viewer: &viewer,
        })
    };
    single(&read, make).await
}

async fn roles(read: Arc<ReadSide>, request: Request) -> Response {
    let master = read.master.clone();
    shared(
        &read,
        &request,
        &Viewer::of(&request),
        "/roles",
        move |snapshot, viewer| {
            print(&roles::RolesJson(&crate::roles::known(
                snapshot,
                master.config(),
                viewer,
            )))
        },
    )
    .await
}

async fn redirect(read: Arc<ReadSide>, _: Request) -> Response {
    // Nobody known to lead: here is as good as anywhere, as in Mesos.
    let root = match &*read.master.leadership() {
        Leadership::Following(leader) => leadership::root(leader),
        Leadership::Leading(_) | Leadership::Recovering | Leadership::Electing => {
            leadership::root(&read.master.snapshot().identity.info)
        }
    };
    Response::redirect(&root)
}

async fn registry(read: Arc<ReadSide>, request: Request) -> Response {
    if !request.authorize(Action::GetEndpoint, Object::Named("/registrar(1)/registry")) {
        return Response::forbidden("");
    }
    single(&read, |snapshot| print(&registry::registry(snapshot))).await
}

async fn teardown(read: Arc<ReadSide>, request: Request) -> Response {
    write::teardown(&read, &request).await
}

async fn operation(read: Arc<ReadSide>, request: Request) -> Response {
    write::operation(&read, &request).await
}
