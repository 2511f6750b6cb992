//! Operators' offer operations: reservations and volumes on an agent, without an offer.
use mesos_wire::v1::master::Call;

use crate::core::{Core, Reply};

impl Core {
    pub(super) fn operate_resources(&mut self, request: u64, _principal: Option<&str>, call: Call) {
        self.reply(request, Reply::NotBuilt(call.r#type().as_str_name()));
    }
}
