//! Quotas of roles: UPDATE_QUOTA, and SET_QUOTA and REMOVE_QUOTA, which are older.
use mesos_wire::v1::master::Call;

use crate::core::{Core, Reply};

impl Core {
    pub(super) fn change_quota(&mut self, request: u64, _principal: Option<&str>, call: Call) {
        self.reply(request, Reply::NotBuilt(call.r#type().as_str_name()));
    }
}
