//! `/weights`, `/quota`, `/maintenance/*` and `/machine/*`: what operators set, by the older endpoints. A
//! change becomes the v1 call that does the same.
use std::sync::Arc;

use mesos_http::{Method, Request, Response};
use mesos_wire::{
    WireMessage,
    v1::{
        WeightInfo,
        maintenance::Schedule,
        master::{
            Call,
            call::{
                RemoveQuota, SetQuota, StartMaintenance, StopMaintenance, Type,
                UpdateMaintenanceSchedule, UpdateWeights,
            },
        },
        quota::QuotaRequest,
    },
};

use super::write::operate;
use crate::{
    operator::settings as shown,
    reading::{ReadSide, Viewer},
};

fn call(kind: Type) -> Call {
    let mut call = Call::default();
    call.set_type(kind);
    call
}

fn reads(request: &Request) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(&request.method)
}

fn show<M: WireMessage>(message: &M) -> Response {
    Response::json_bytes(mesos_wire::json::to_vec(message))
}

/// Reads a JSON array of messages.
fn read_list<M: WireMessage>(body: &[u8], what: &str) -> Result<Vec<M>, Response> {
    let refuse = |why: String| Response::bad_request(format!("Failed to parse {what}: {why}"));
    let items: Vec<serde_json::Value> =
        serde_json::from_slice(body).map_err(|error| refuse(error.to_string()))?;
    items
        .into_iter()
        .map(|item| mesos_wire::json::from_value(item).map_err(|error| refuse(error.to_string())))
        .collect()
}

fn read<M: WireMessage>(body: &[u8], what: &str) -> Result<M, Response> {
    mesos_wire::json::from_slice(body)
        .map_err(|error| Response::bad_request(format!("Failed to parse {what}: {error}")))
}

/// GET shows, PUT sets a list of `{role, weight}`.
pub(super) async fn weights(read: Arc<ReadSide>, request: Request) -> Response {
    if reads(&request) {
        let infos = shown::weight_infos(&read.master.snapshot(), &Viewer::of(&request));
        return Response::json_bytes(super::print(&super::roles::WeightsJson(&infos)));
    }
    if request.method != Method::PUT {
        return Response::method_not_allowed(&[Method::GET, Method::PUT], &request.method);
    }
    match read_list::<WeightInfo>(&request.body, "update weights request JSON") {
        Ok(weight_infos) => {
            let update_weights = Some(UpdateWeights { weight_infos });
            let call = Call {
                update_weights,
                ..call(Type::UpdateWeights)
            };
            operate(&read, &request, call).await
        }
        Err(response) => response,
    }
}

/// GET shows, POST sets one that is not set, DELETE of `/quota/<role>` takes it away.
#[expect(deprecated, reason = "so are the endpoints")]
pub(super) async fn quota(side: Arc<ReadSide>, request: Request) -> Response {
    if reads(&request) {
        return show(&shown::quota_status(
            &side.master.snapshot(),
            &Viewer::of(&request),
        ));
    }
    if request.method == Method::POST {
        return match read::<QuotaRequest>(&request.body, "set quota request") {
            Ok(quota_request) => {
                let call = Call {
                    set_quota: Some(SetQuota { quota_request }),
                    ..call(Type::SetQuota)
                };
                operate(&side, &request, call).await
            }
            Err(response) => response,
        };
    }
    if request.method == Method::DELETE {
        let role = request.rest.clone();
        if role.is_empty() {
            return Response::bad_request(
                "Failed to parse remove quota request: the path must be /quota/<role>",
            );
        }
        let call = Call {
            remove_quota: Some(RemoveQuota { role }),
            ..call(Type::RemoveQuota)
        };
        return operate(&side, &request, call).await;
    }
    let allowed = [Method::GET, Method::POST, Method::DELETE];
    Response::method_not_allowed(&allowed, &request.method)
}

/// GET shows, POST replaces.
pub(super) async fn schedule(side: Arc<ReadSide>, request: Request) -> Response {
    if reads(&request) {
        return show(&shown::schedule(
            &side.master.snapshot(),
            &Viewer::of(&request),
        ));
    }
    if request.method != Method::POST {
        return Response::method_not_allowed(&[Method::GET, Method::POST], &request.method);
    }
    match read::<Schedule>(&request.body, "maintenance schedule") {
        Ok(schedule) => {
            let update = Some(UpdateMaintenanceSchedule { schedule });
            let call = Call {
                update_maintenance_schedule: update,
                ..call(Type::UpdateMaintenanceSchedule)
            };
            operate(&side, &request, call).await
        }
        Err(response) => response,
    }
}

/// Machines that are to go down, and those that are.
pub(super) async fn status(side: Arc<ReadSide>, request: Request) -> Response {
    if !reads(&request) {
        return Response::method_not_allowed(&[Method::GET], &request.method);
    }
    show(&shown::cluster_status(
        &side.master.snapshot(),
        &Viewer::of(&request),
    ))
}

/// `/machine/down` and `/machine/up`: a list of machines.
pub(super) async fn machines(side: Arc<ReadSide>, request: Request) -> Response {
    let machines = match read_list(&request.body, "list of machines") {
        Ok(machines) => machines,
        Err(response) => return response,
    };
    let call = if request.matched.ends_with("down") {
        Call {
            start_maintenance: Some(StartMaintenance { machines }),
            ..call(Type::StartMaintenance)
        }
    } else {
        Call {
            stop_maintenance: Some(StopMaintenance { machines }),
            ..call(Type::StopMaintenance)
        }
    };
    operate(&side, &request, call).await
}
