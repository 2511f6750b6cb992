//! Agents that operators take out of service: drain, deactivate, reactivate, mark gone.
use mesos_wire::v1::master::Call;

use crate::core::{Core, Reply};

impl Core {
    pub(super) fn change_agent(&mut self, request: u64, _principal: Option<&str>, call: Call) {
        self.reply(request, Reply::NotBuilt(call.r#type().as_str_name()));
    }
}
