//! The older endpoints that change something.
use mesos_http::{Action, Object, Request, Response, StatusCode};
use mesos_types::FrameworkId;
use mesos_wire::v1::master::Call;

use crate::{core::Reply, handle::Stopped, reading::ReadSide, state::Snapshot};

/// A field of a form in the body, or the text that says it is missing.
fn field(request: &Request, name: &str) -> Result<String, Response> {
    let form = request.form()?;
    let found = form.into_iter().rev().find(|(key, _)| key == name);
    found.map(|(_, value)| value).ok_or_else(|| {
        Response::bad_request(format!(
            "Missing '{name}' query parameter in the request body"
        ))
    })
}

/// `POST /teardown`.
pub(crate) async fn teardown(read: &ReadSide, request: &Request) -> Response {
    match field(request, "frameworkId") {
        Ok(id) => end_framework(read, request, &id).await,
        Err(response) => response,
    }
}

/// Ends a framework in the name of an operator: 200, 400 for one that is not there, 403.
pub(crate) async fn end_framework(read: &ReadSide, request: &Request, id: &str) -> Response {
    let snapshot = read.master.snapshot();
    let Some(framework) = snapshot.frameworks.get(id) else {
        return Response::bad_request("No framework found with specified ID");
    };
    if !request.authorize(
        Action::TeardownFramework,
        Object::Framework(&framework.info),
    ) {
        return Response::forbidden("");
    }
    response_to(read.master.teardown(FrameworkId::from(id)).await)
}

/// Carries out an operator's call that changes something and is valid in itself.
pub(crate) async fn operate(read: &ReadSide, request: &Request, call: Call) -> Response {
    let principal = request.principal.as_deref();
    response_to(read.master.operate(principal, call).await)
}

/// What the core answered, over HTTP.
fn response_to(answer: Result<Reply, Stopped>) -> Response {
    match answer {
        Ok(reply) => reply.into(),
        Err(stopped) => Response::unavailable(stopped.to_string()),
    }
}

impl From<Reply> for Response {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Ok | Reply::Stream => Self::ok(),
            Reply::Accepted => Self::accepted(),
            Reply::BadRequest(text) => Self::bad_request(text),
            Reply::Forbidden(text) => Self::forbidden(text),
            Reply::NotFound(text) => Self::error(StatusCode::NOT_FOUND, text),
            Reply::Conflict(text) => Self::error(StatusCode::CONFLICT, text),
            Reply::Unavailable(text) => Self::unavailable(text),
            Reply::NotImplemented => Self::not_implemented(),
            Reply::NotBuilt(what) => not_built(what),
        }
    }
}

/// 501 with the reason.
pub(crate) fn not_built(what: &str) -> Response {
    Response::error(
        StatusCode::NOT_IMPLEMENTED,
        format!("{what} is not built yet; the request changed nothing"),
    )
}

/// `/reserve`, `/unreserve`, `/create-volumes`, `/destroy-volumes`: a form that names an agent.
pub(crate) fn operation(snapshot: &Snapshot, request: &Request) -> Response {
    let list = if request.matched.ends_with("volumes") {
        "volumes"
    } else {
        "resources"
    };
    let agent = match field(request, "slaveId") {
        Ok(agent) => agent,
        Err(response) => return response,
    };
    if !snapshot.agents.contains_key(agent.as_str()) {
        return Response::bad_request("No agent found with specified ID");
    }
    match field(request, list) {
        Ok(_) => not_built(&format!("{} {}", request.method, request.matched)),
        Err(response) => response,
    }
}
