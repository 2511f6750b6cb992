//! `POST /api/v1`: the operator API.

pub(crate) mod answers;
pub(crate) mod settings;
mod state;
mod subscribe;
mod validate;

use std::{sync::Arc, time::Duration};

use mesos_http::{
    Action, Dialect, Object, Request, Response, Router, files::FilesError, negotiate, parse_call,
    respond, version::Version,
};
use mesos_wire::{
    Encoding,
    v1::{
        self,
        master::{
            Call,
            call::Type,
            response::{self, Type as Kind},
        },
    },
};

pub(crate) use subscribe::Subscribers;

use crate::{
    Handle,
    legacy::write::{end_framework, operate},
    reading::{ReadSide, Viewer},
    state::Snapshot,
};

type Answer = v1::master::Response;

/// Adds the routes.
pub(crate) fn routes(router: &mut Router<Handle>, read: &Arc<ReadSide>) {
    let read = read.clone();
    // Not exact: clients post to `/api/v1/operator`, and Mesos takes it.
    router.post("/api/v1", move |_, request| call(read.clone(), request));
}

fn of(kind: Kind) -> Answer {
    let mut answer = Answer::default();
    answer.set_type(kind);
    answer
}

async fn call(read: Arc<ReadSide>, request: Request) -> Response {
    let call = match parse_call::<Call>(Dialect::Master, &request) {
        Ok((_, call)) => call,
        Err(response) => return response,
    };
    let kind = match validate::validate(&call) {
        Ok(kind) => kind,
        Err(problem) => {
            return Response::bad_request(format!("Failed to validate master::Call: {problem}"));
        }
    };
    let encoding = match negotiate(Dialect::Master, &request) {
        Ok(encoding) => encoding,
        Err(response) => return response,
    };
    match dispatch(&read, &request, kind, call, encoding).await {
        Ok(answered) | Err(answered) => answered,
    }
}

/// Either way round a response; `Err` only so that `?` can be used.
async fn dispatch(
    read: &Arc<ReadSide>,
    request: &Request,
    kind: Type,
    call: Call,
    encoding: Encoding,
) -> Result<Response, Response> {
    let answer = |answer: Answer| Ok(respond(encoding, &answer));
    match kind {
        Type::GetHealth => answer(Answer {
            get_health: Some(response::GetHealth { healthy: true }),
            ..of(Kind::GetHealth)
        }),
        Type::GetFlags => {
            if !request.authorize(Action::ViewFlags, Object::Any) {
                return Err(Response::forbidden(""));
            }
            let flags = read
                .master
                .config()
                .flags
                .iter()
                .map(|(name, value)| v1::Flag {
                    name: name.clone(),
                    value: Some(value.clone()),
                });
            let get_flags = Some(response::GetFlags {
                flags: flags.collect(),
            });
            answer(Answer {
                get_flags,
                ..of(Kind::GetFlags)
            })
        }
        Type::GetVersion => {
            let version_info = Version::current().to_v1();
            let get_version = Some(response::GetVersion { version_info });
            answer(Answer {
                get_version,
                ..of(Kind::GetVersion)
            })
        }
        Type::GetMetrics => {
            let get_metrics = Some(response::GetMetrics {
                metrics: read.master.metrics().to_v1(),
            });
            answer(Answer {
                get_metrics,
                ..of(Kind::GetMetrics)
            })
        }
        Type::GetLoggingLevel => {
            let level = read.master.log_level().get();
            let get_logging_level = Some(response::GetLoggingLevel { level });
            answer(Answer {
                get_logging_level,
                ..of(Kind::GetLoggingLevel)
            })
        }
        Type::SetLoggingLevel => {
            set_logging_level(read, request, &call.set_logging_level.unwrap_or_default())
        }
        Type::ListFiles => {
            let path = call.list_files.unwrap_or_default().path;
            let found = read
                .files
                .list_v1(&path, request.principal.as_deref())
                .await;
            let file_infos = found.map_err(FilesError::into_response)?;
            let list_files = Some(response::ListFiles { file_infos });
            answer(Answer {
                list_files,
                ..of(Kind::ListFiles)
            })
        }
        Type::ReadFile => {
            let wanted = call.read_file.unwrap_or_default();
            let principal = request.principal.as_deref();
            let found = read
                .files
                .read_v1(&wanted.path, wanted.offset, wanted.length, principal)
                .await;
            let (size, data) = found.map_err(FilesError::into_response)?;
            let read_file = Some(response::ReadFile {
                size,
                data: data.to_vec(),
            });
            answer(Answer {
                read_file,
                ..of(Kind::ReadFile)
            })
        }
        Type::GetState => {
            let make = move |snapshot: &Snapshot, viewer: &Viewer| {
                state::state_answer(snapshot, viewer, encoding)
            };
            shared_bytes(read, request, encoding, "GET_STATE", make).await
        }
        Type::GetAgents => {
            shared(read, request, encoding, "GET_AGENTS", |snapshot, viewer| {
                Answer {
                    get_agents: Some(answers::agents(snapshot, viewer)),
                    ..of(Kind::GetAgents)
                }
            })
            .await
        }
        Type::GetFrameworks => {
            shared(
                read,
                request,
                encoding,
                "GET_FRAMEWORKS",
                |snapshot, viewer| Answer {
                    get_frameworks: Some(answers::get_frameworks(snapshot, viewer)),
                    ..of(Kind::GetFrameworks)
                },
            )
            .await
        }
        Type::GetExecutors => {
            shared(
                read,
                request,
                encoding,
                "GET_EXECUTORS",
                |snapshot, viewer| Answer {
                    get_executors: Some(answers::executors(snapshot, viewer)),
                    ..of(Kind::GetExecutors)
                },
            )
            .await
        }
        Type::GetOperations => {
            shared(
                read,
                request,
                encoding,
                "GET_OPERATIONS",
                |snapshot, viewer| Answer {
                    get_operations: Some(answers::operations(snapshot, viewer)),
                    ..of(Kind::GetOperations)
                },
            )
            .await
        }
        Type::GetTasks => {
            let make = move |snapshot: &Snapshot, viewer: &Viewer| {
                state::tasks_answer(snapshot, viewer, encoding)
            };
            shared_bytes(read, request, encoding, "GET_TASKS", make).await
        }
        Type::GetRoles => {
            let master = read.master.clone();
            shared(
                read,
                request,
                encoding,
                "GET_ROLES",
                move |snapshot, viewer| Answer {
                    get_roles: Some(answers::get_roles(snapshot, master.config(), viewer)),
                    ..of(Kind::GetRoles)
                },
            )
            .await
        }
        Type::GetMaster => answer(Answer {
            get_master: Some(answers::master(&read.master.snapshot(), encoding)),
            ..of(Kind::GetMaster)
        }),
        Type::GetWeights => answer(Answer {
            get_weights: settings::weights(&read.master.snapshot(), &Viewer::of(request)),
            ..of(Kind::GetWeights)
        }),
        Type::GetQuota => answer(Answer {
            get_quota: Some(settings::quota(
                &read.master.snapshot(),
                &Viewer::of(request),
            )),
            ..of(Kind::GetQuota)
        }),
        Type::GetMaintenanceStatus => answer(Answer {
            get_maintenance_status: Some(settings::maintenance_status(
                &read.master.snapshot(),
                &Viewer::of(request),
            )),
            ..of(Kind::GetMaintenanceStatus)
        }),
        Type::GetMaintenanceSchedule => answer(Answer {
            get_maintenance_schedule: Some(settings::maintenance_schedule(
                &read.master.snapshot(),
                &Viewer::of(request),
            )),
            ..of(Kind::GetMaintenanceSchedule)
        }),
        Type::Subscribe => Ok(subscribe::subscribe(
            read.clone(),
            Viewer::of(request),
            encoding,
        )),
        Type::Teardown => {
            let id = call.teardown.unwrap_or_default().framework_id;
            Ok(end_framework(read, request, &id.value).await)
        }
        Type::Unknown => Err(Response::not_implemented()),
        Type::UpdateWeights
        | Type::UpdateMaintenanceSchedule
        | Type::StartMaintenance
        | Type::StopMaintenance
        | Type::UpdateQuota
        | Type::SetQuota
        | Type::RemoveQuota
        | Type::ReserveResources
        | Type::UnreserveResources
        | Type::CreateVolumes
        | Type::DestroyVolumes
        | Type::GrowVolume
        | Type::ShrinkVolume
        | Type::DrainAgent
        | Type::DeactivateAgent
        | Type::ReactivateAgent
        | Type::MarkAgentGone => Ok(operate(read, request, call).await),
    }
}

fn set_logging_level(
    read: &ReadSide,
    request: &Request,
    wanted: &v1::master::call::SetLoggingLevel,
) -> Result<Response, Response> {
    if !request.authorize(Action::SetLogLevel, Object::Any) {
        return Err(Response::forbidden(""));
    }
    let original = read.master.log_level().original();
    if wanted.level < original {
        return Err(Response::bad_request(format!(
            "level is {}; allowed: {original}, the level that the log was started with, or more",
            wanted.level
        )));
    }
    let Ok(nanos) = u64::try_from(wanted.duration.nanoseconds) else {
        return Err(Response::bad_request(format!(
            "duration is {} nanoseconds; allowed: 0 or more",
            wanted.duration.nanoseconds
        )));
    };
    read.master
        .log_level()
        .set(wanted.level, Duration::from_nanos(nanos));
    Ok(Response::ok())
}

/// An answer that only depends on the state and on who asks.
async fn shared<F>(
    read: &ReadSide,
    request: &Request,
    encoding: Encoding,
    name: &'static str,
    make: F,
) -> Result<Response, Response>
where
    F: FnOnce(&Snapshot, &Viewer) -> Answer + Send + 'static,
{
    let make = move |snapshot: &Snapshot, viewer: &Viewer| {
        mesos_wire::encode(encoding, &make(snapshot, viewer))
    };
    shared_bytes(read, request, encoding, name, make).await
}

/// The same for one that is made encoded.
async fn shared_bytes<F>(
    read: &ReadSide,
    request: &Request,
    encoding: Encoding,
    name: &'static str,
    make: F,
) -> Result<Response, Response>
where
    F: FnOnce(&Snapshot, &Viewer) -> Vec<u8> + Send + 'static,
{
    let viewer = Viewer::of(request);
    let body = read.body((name, encoding), &viewer, make).await?;
    Ok(Response::bytes(encoding.content_type(), body.bytes))
}
