//! The older endpoints that change something.
use mesos_http::{Action, Object, Request, Response, StatusCode};
use mesos_types::FrameworkId;
use mesos_wire::v1::{
    self,
    master::{
        Call,
        call::{CreateVolumes, DestroyVolumes, ReserveResources, Type, UnreserveResources},
    },
};

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
        }
    }
}

/// `/reserve`, `/unreserve`, `/create-volumes`, `/destroy-volumes`: a form that names an agent, as a call.
pub(crate) async fn operation(read: &ReadSide, request: &Request) -> Response {
    match operation_call(&read.master.snapshot(), request) {
        Ok(call) => operate(read, request, call).await,
        Err(response) => response,
    }
}

fn operation_call(snapshot: &Snapshot, request: &Request) -> Result<Call, Response> {
    let agent_id: v1::AgentId = field(request, "slaveId")?.as_str().into();
    if !snapshot.agents.contains_key(agent_id.as_str()) {
        return Err(Response::bad_request("No agent found with specified ID"));
    }
    let of = |kind: Type| Call {
        r#type: Some(kind.into()),
        ..Call::default()
    };
    let path = request.matched;
    Ok(if path.ends_with("/unreserve") {
        let resources = resources(request, "resources")?;
        let unreserve = UnreserveResources {
            agent_id,
            resources,
        };
        Call {
            unreserve_resources: Some(unreserve),
            ..of(Type::UnreserveResources)
        }
    } else if path.ends_with("/reserve") {
        let source = match field(request, "source") {
            Ok(_) => resources(request, "source")?,
            Err(_) => Vec::new(),
        };
        let resources = resources(request, "resources")?;
        let reserve = ReserveResources {
            agent_id,
            source,
            resources,
        };
        Call {
            reserve_resources: Some(reserve),
            ..of(Type::ReserveResources)
        }
    } else if path.ends_with("/create-volumes") {
        let volumes = resources(request, "volumes")?;
        Call {
            create_volumes: Some(CreateVolumes { agent_id, volumes }),
            ..of(Type::CreateVolumes)
        }
    } else {
        let volumes = resources(request, "volumes")?;
        Call {
            destroy_volumes: Some(DestroyVolumes { agent_id, volumes }),
            ..of(Type::DestroyVolumes)
        }
    })
}

/// A list of resources in a form, in JSON.
fn resources(request: &Request, name: &str) -> Result<Vec<v1::Resource>, Response> {
    let text = field(request, name)?;
    let refuse = |problem: String| {
        Response::bad_request(format!(
            "Error in parsing '{name}' query parameter in the request body: {problem}"
        ))
    };
    let list: Vec<serde_json::Value> =
        serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    list.into_iter()
        .map(|one| mesos_wire::json::from_value(one).map_err(|error| refuse(error.to_string())))
        .collect()
}
