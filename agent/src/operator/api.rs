//! `POST /api/v1`: negotiation and the answers.

use std::{sync::Arc, time::Duration};

use mesos_http::{
    Action, Dialect, Method, Object, Request, Response, Router, StatusCode, files::FilesError,
    header, negotiate, parse_call, respond, version::Version,
};
use mesos_wire::{
    Encoding,
    v1::{
        self,
        agent::{
            Call,
            call::{self, Type},
            response::{self, Type as Kind},
        },
    },
};

use super::{
    ReadSide, Viewer, answers, blocking,
    containers::{Wanted, containers},
    validate::validate,
};
use crate::state::AgentState;

type Answer = v1::agent::Response;

const MESSAGE_ACCEPT: &str = "message-accept";
const MESSAGE_CONTENT_TYPE: &str = "message-content-type";
const RECORDIO: &str = "application/recordio";

/// Adds the routes.
pub(crate) fn route<S: Clone + Send + Sync + 'static>(
    router: &mut Router<S>,
    read: &Arc<ReadSide>,
) {
    let api = read.clone();
    // Not exact: clients post to `/api/v1/operator`, and Mesos takes it.
    router
        .get("/api/v1", move |_: S, request| {
            let read = api.clone();
            async move { either(call(&read, request).await) }
        })
        .ungated();
    router
        .post("/api/v1/resource_provider", |_: S, _| {
            std::future::ready(not_built("/api/v1/resource_provider"))
        })
        .ungated();
}

fn either(response: Result<Response, Response>) -> Response {
    match response {
        Ok(response) | Err(response) => response,
    }
}

fn not_built(what: &str) -> Response {
    Response::error(
        StatusCode::NOT_IMPLEMENTED,
        format!("{what} is not built yet; the request changed nothing"),
    )
}

fn of(kind: Kind) -> Answer {
    let mut answer = Answer::default();
    answer.set_type(kind);
    answer
}

/// How the answer is to be written; `None`: as a stream of records.
fn accepted(request: &Request) -> Result<Option<Encoding>, Response> {
    match negotiate(Dialect::Agent, request) {
        Ok(_) if request.headers.contains_key(MESSAGE_ACCEPT) => Err(Response::error(
            StatusCode::NOT_ACCEPTABLE,
            "Expecting 'Message-Accept' to be not set for non-streaming responses",
        )),
        Ok(encoding) => Ok(Some(encoding)),
        Err(refusal) => {
            let accept = request.headers.get_all(header::ACCEPT);
            let stream = accept
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .any(|range| range.split(';').next().unwrap_or_default().trim() == RECORDIO);
            if stream { Ok(None) } else { Err(refusal) }
        }
    }
}

/// Either way round a response; `Err` only so that `?` can be used. In Mesos's order: recovery, method,
/// content type, `Accept`, body.
async fn call(read: &Arc<ReadSide>, request: Request) -> Result<Response, Response> {
    let state = read.recovered()?;
    if request.method != Method::POST {
        return Err(Response::method_not_allowed(
            &[Method::POST],
            &request.method,
        ));
    }
    mesos_http::call::content_type(Dialect::Agent, &request)?;
    if request.headers.contains_key(MESSAGE_CONTENT_TYPE) {
        return Err(Response::error(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Expecting 'Message-Content-Type' to be not set for non-streaming requests",
        ));
    }
    let encoding = accepted(&request)?;
    let (_, call) = parse_call::<Call>(Dialect::Agent, &request)?;
    let kind = validate(&call).map_err(|problem| {
        Response::bad_request(format!("Failed to validate agent::Call: {problem}"))
    })?;
    let name = kind.as_str_name();
    if kind == Type::AttachContainerInput {
        return Err(Response::error(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("Expecting 'Content-Type' to be {RECORDIO} for {name} call"),
        ));
    }
    match encoding {
        Some(encoding) => dispatch(read, &state, &request, kind, call, encoding).await,
        None if matches!(
            kind,
            Type::AttachContainerOutput | Type::LaunchNestedContainerSession
        ) =>
        {
            Err(not_built(name))
        }
        None => Err(Response::error(
            StatusCode::NOT_ACCEPTABLE,
            format!("Streaming response is not supported for {name} call"),
        )),
    }
}

async fn dispatch(
    read: &Arc<ReadSide>,
    state: &Arc<AgentState>,
    request: &Request,
    kind: Type,
    call: Call,
    encoding: Encoding,
) -> Result<Response, Response> {
    let answer = |answer: Answer| Ok(respond(encoding, &answer));
    // Answers that grow with the number of tasks are made where they hold up nobody.
    let large = |make: fn(&AgentState, &Viewer) -> Answer| {
        let (state, viewer) = (state.clone(), Viewer::of(request));
        async move {
            let body = blocking(move || mesos_wire::encode(encoding, &make(&state, &viewer)));
            Ok(Response::bytes(encoding.content_type(), body.await?))
        }
    };
    match kind {
        Type::GetHealth => answer(Answer {
            get_health: Some(response::GetHealth { healthy: true }),
            ..of(Kind::GetHealth)
        }),
        Type::GetFlags => {
            if !request.authorize(Action::ViewFlags, Object::Any) {
                return Err(Response::forbidden(""));
            }
            let flags = read.flags.iter().map(|(name, value)| v1::Flag {
                name: name.clone(),
                value: Some(value.clone()),
            });
            answer(Answer {
                get_flags: Some(response::GetFlags {
                    flags: flags.collect(),
                }),
                ..of(Kind::GetFlags)
            })
        }
        Type::GetVersion => answer(Answer {
            get_version: Some(response::GetVersion {
                version_info: Version::current().to_v1(),
            }),
            ..of(Kind::GetVersion)
        }),
        Type::GetMetrics => answer(Answer {
            get_metrics: Some(response::GetMetrics {
                metrics: read.metrics.to_v1(),
            }),
            ..of(Kind::GetMetrics)
        }),
        Type::GetLoggingLevel => answer(Answer {
            get_logging_level: Some(response::GetLoggingLevel {
                level: read.log_level.get(),
            }),
            ..of(Kind::GetLoggingLevel)
        }),
        Type::SetLoggingLevel => {
            set_logging_level(read, request, &call.set_logging_level.unwrap_or_default())
        }
        Type::ListFiles => {
            let path = call.list_files.unwrap_or_default().path;
            let file_infos = read
                .files
                .list_v1(&path, request.principal.as_deref())
                .await;
            answer(Answer {
                list_files: Some(response::ListFiles {
                    file_infos: file_infos.map_err(FilesError::into_response)?,
                }),
                ..of(Kind::ListFiles)
            })
        }
        Type::ReadFile => {
            let part = call.read_file.unwrap_or_default();
            let principal = request.principal.as_deref();
            let found = read
                .files
                .read_v1(&part.path, part.offset, part.length, principal);
            let (size, data) = found.await.map_err(FilesError::into_response)?;
            answer(Answer {
                read_file: Some(response::ReadFile {
                    size,
                    data: data.to_vec(),
                }),
                ..of(Kind::ReadFile)
            })
        }
        Type::GetState => {
            large(|state, viewer| Answer {
                get_state: Some(answers::get_state(state, viewer)),
                ..of(Kind::GetState)
            })
            .await
        }
        Type::GetFrameworks => {
            large(|state, viewer| Answer {
                get_frameworks: Some(answers::get_frameworks(state, viewer)),
                ..of(Kind::GetFrameworks)
            })
            .await
        }
        Type::GetExecutors => {
            large(|state, viewer| Answer {
                get_executors: Some(answers::get_executors(state, viewer)),
                ..of(Kind::GetExecutors)
            })
            .await
        }
        Type::GetTasks => {
            large(|state, viewer| Answer {
                get_tasks: Some(answers::get_tasks(state, viewer)),
                ..of(Kind::GetTasks)
            })
            .await
        }
        Type::GetContainers => {
            let wanted = Wanted {
                // Stand-alone containers would be shown as well, but nobody can launch one yet.
                nested: call.get_containers.unwrap_or_default().show_nested(),
                status: true,
                only: None,
            };
            let found = containers(read, state, &Viewer::of(request), &wanted).await;
            answer(Answer {
                get_containers: Some(answers::get_containers(found)),
                ..of(Kind::GetContainers)
            })
        }
        Type::GetAgent => answer(Answer {
            get_agent: Some(response::GetAgent {
                agent_info: Some((*state.agent).clone()),
                drain_config: state.drain.as_ref().map(|drain| drain.config),
                // In whole seconds, as Mesos tells it.
                estimated_drain_start_time: state.drain.as_ref().map(|drain| v1::TimeInfo {
                    nanoseconds: (drain.since as i64).saturating_mul(1_000_000_000),
                }),
            }),
            ..of(Kind::GetAgent)
        }),
        Type::GetOperations => {
            large(|state, viewer| Answer {
                get_operations: Some(answers::get_operations(state, viewer)),
                ..of(Kind::GetOperations)
            })
            .await
        }
        // Nobody can bring a resource provider yet.
        Type::GetResourceProviders => answer(Answer {
            get_resource_providers: Some(response::GetResourceProviders::default()),
            ..of(Kind::GetResourceProviders)
        }),
        Type::Unknown => Err(Response::not_implemented()),
        Type::LaunchNestedContainer
        | Type::WaitNestedContainer
        | Type::KillNestedContainer
        | Type::RemoveNestedContainer
        | Type::LaunchNestedContainerSession
        | Type::AttachContainerInput
        | Type::AttachContainerOutput
        | Type::LaunchContainer
        | Type::WaitContainer
        | Type::KillContainer
        | Type::RemoveContainer
        | Type::AddResourceProviderConfig
        | Type::UpdateResourceProviderConfig
        | Type::RemoveResourceProviderConfig
        | Type::MarkResourceProviderGone
        | Type::PruneImages => Err(not_built(kind.as_str_name())),
    }
}

fn set_logging_level(
    read: &ReadSide,
    request: &Request,
    wanted: &call::SetLoggingLevel,
) -> Result<Response, Response> {
    if !request.authorize(Action::SetLogLevel, Object::Any) {
        return Err(Response::forbidden(""));
    }
    let original = read.log_level.original();
    if wanted.level < original {
        return Err(Response::bad_request(format!(
            "level is {}; allowed: {original}, the level that the log was started with, or more",
            wanted.level
        )));
    }
    let nanos = wanted.duration.nanoseconds;
    let Ok(duration) = u64::try_from(nanos) else {
        return Err(Response::bad_request(format!(
            "duration is {nanos} nanoseconds; allowed: 0 or more"
        )));
    };
    read.log_level
        .set(wanted.level, Duration::from_nanos(duration));
    Ok(Response::ok())
}
