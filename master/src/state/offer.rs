//! An offer that is not answered.
use std::sync::Arc;

use mesos_types::{AgentId, ExecutorId, Format, FrameworkId, OfferId, Resources};
use mesos_wire::v1::{self, AgentInfo, resource::AllocationInfo};

use super::WallTime;

/// Never offered: the agent keeps it for itself.
const HIDDEN: &str = "ephemeral_ports";

/// Resources of one agent in the hands of one framework.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// To whom.
    pub framework_id: FrameworkId,
    /// Of which agent.
    pub agent_id: AgentId,
    /// The agent when it was made.
    pub info: Arc<AgentInfo>,
    /// Address of the agent's HTTP API, without the port.
    pub ip: String,
    /// Executors of the framework on the agent.
    pub executor_ids: Vec<ExecutorId>,
    /// When the agent is planned to be away.
    pub unavailability: Option<v1::Unavailability>,
    /// What is offered, with allocation.
    pub resources: Resources,
    /// The role it was allocated to.
    pub role: String,
    /// When it was made.
    pub made: WallTime,
}

impl Offer {
    /// The offer as a message. It is made when it is asked for: it takes ten times the room of this record.
    pub fn to_wire(&self, format: Format) -> v1::Offer {
        let shown = self.resources.filter(|resource| &*resource.name != HIDDEN);
        v1::Offer {
            id: (&self.id).into(),
            framework_id: (&self.framework_id).into(),
            agent_id: (&self.agent_id).into(),
            hostname: self.info.hostname.clone(),
            url: Some(agent_url(&self.info, &self.ip)),
            domain: self.info.domain.clone(),
            resources: shown.to_wire(format),
            attributes: self.info.attributes.clone(),
            executor_ids: self.executor_ids.iter().map(Into::into).collect(),
            unavailability: self.unavailability,
            allocation_info: Some(AllocationInfo {
                role: Some(self.role.clone()),
            }),
        }
    }
}

/// The agent's HTTP API, as offers name it.
pub(crate) fn agent_url(info: &AgentInfo, ip: &str) -> v1::Url {
    v1::Url {
        scheme: "http".to_owned(),
        address: v1::Address {
            hostname: Some(info.hostname.clone()),
            ip: Some(ip.to_owned()),
            port: info.port(),
        },
        path: Some("/slave(1)".to_owned()),
        ..v1::Url::default()
    }
}
