//! The endpoints of Mesos from before its v1 API, which dashboards and scripts still read.

mod containers;
mod executor;
mod json;
mod resources;
mod state;
mod status;
mod task;

use std::sync::Arc;

use mesos_http::{
    Action, Object, Request, Response, Router, StatusCode, files, logging, metrics, system, version,
};

use crate::operator::{
    ReadSide, Viewer, blocking,
    containers::{Wanted, containers},
};
use containers::{ContainersJson, StatisticsJson};
use state::StateJson;

/// The long-running parts of the agent, as `/__processes__` lists them.
const PARTS: &[&str] = &["slave(1)", "control", "files", "gc"];

/// Adds the routes; see `docs/api-coverage.md` for the list.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(
    router: &mut Router<S>,
    read: &Arc<ReadSide>,
) {
    let of = read.clone();
    router
        .get("/state", move |_: S, request| state(of.clone(), request))
        .alias("/state.json")
        .ungated();
    let of = read.clone();
    router
        .get("/containers", move |_: S, request| {
            list(of.clone(), request)
        })
        .ungated();
    let of = read.clone();
    router
        .get("/monitor/statistics", move |_: S, request| {
            statistics(of.clone(), request)
        })
        .alias("/monitor/statistics.json")
        .ungated();
    system::route_health(router);
    system::route_flags(router, (*read.flags).clone());
    let containerizer = read.containerizer.clone();
    system::route_containerizer_debug(router, move || {
        let pending = containerizer.pending().into_iter();
        pending
            .map(|(operation, argument)| {
                serde_json::json!({ "operation": operation, "args": { "containerId": argument } })
            })
            .collect()
    });
    system::route(router, PARTS);
    version::route(router);
    metrics::route(router, &read.metrics);
    logging::route(router, &read.log_level);
    files::route(router, &read.files);
}

/// JSON, or why there is none.
fn body(made: Result<Result<Vec<u8>, serde_json::Error>, Response>) -> Response {
    match made {
        Ok(Ok(bytes)) => Response::json_bytes(bytes),
        Ok(Err(error)) => {
            tracing::error!(%error, "an answer cannot be printed as JSON");
            Response::status_text(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Err(response) => response,
    }
}

async fn state(read: Arc<ReadSide>, request: Request) -> Response {
    let state = match read.recovered() {
        Ok(state) => state,
        Err(response) => return response,
    };
    let viewer = Viewer::of(&request);
    let print = move || {
        let mut out = Vec::with_capacity(16 * 1024);
        let shown = StateJson {
            state: &state,
            read: &read,
            viewer: &viewer,
        };
        serde_json::to_writer(&mut out, &shown).map(|()| out)
    };
    body(blocking(print).await)
}

async fn list(read: Arc<ReadSide>, request: Request) -> Response {
    let state = match read.recovered() {
        Ok(state) => state,
        Err(response) => return response,
    };
    if !request.authorize(Action::GetEndpoint, Object::Named("/containers")) {
        return Response::forbidden("");
    }
    let wanted = Wanted {
        only: request.query("container_id").map(str::to_owned),
        status: true,
        nested: false,
    };
    let found = containers(&read, &state, &Viewer::of(&request), &wanted).await;
    body(Ok(serde_json::to_vec(&ContainersJson(&found))))
}

async fn statistics(read: Arc<ReadSide>, request: Request) -> Response {
    let state = match read.recovered() {
        Ok(state) => state,
        Err(response) => return response,
    };
    if !request.authorize(Action::GetEndpoint, Object::Named("/monitor/statistics")) {
        return Response::forbidden("");
    }
    let wanted = Wanted::default();
    let found = containers(&read, &state, &Viewer::of(&request), &wanted).await;
    body(Ok(serde_json::to_vec(&StatisticsJson(&found))))
}
