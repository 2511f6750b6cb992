//! Commands for operators: agents in and out of service, maintenance, quotas, weights.

pub mod agents;
pub mod maintenance;
pub mod quota;
pub mod weights;

use mesos_sdk::{MasterAddress, operator::Operator};
use mesos_wire::v1::master::{Call, Response, call::Type};

use crate::explain;

/// What a command comes to; the error is for the user.
pub type Outcome = Result<(), String>;

/// A call without its message.
pub fn call(kind: Type) -> Call {
    let mut call = Call::default();
    call.set_type(kind);
    call
}

/// Makes a call of an operator to the leading master.
pub async fn order(master: &MasterAddress, call: &Call) -> Result<Response, String> {
    let operator = Operator::new(master.url(""));
    operator
        .order(call)
        .await
        .map_err(|error| explain(master, &error))
}
