//! What the allocator refuses. A refusal changes nothing.

use mesos_types::{AgentId, FrameworkId};

/// A call that does not fit what the allocator knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllocatorError {
    /// No such agent, or not any more: then its resources are gone with it.
    #[error("agent {0} is unknown to the allocator")]
    UnknownAgent(AgentId),
    /// The agent was added before.
    #[error("agent {0} is known to the allocator already")]
    KnownAgent(AgentId),
    /// No such framework.
    #[error("framework {0} is unknown to the allocator")]
    UnknownFramework(FrameworkId),
    /// The framework is not subscribed to the role.
    #[error("framework {framework} is not subscribed to role `{role}`")]
    NotSubscribed {
        /// Which framework.
        framework: FrameworkId,
        /// Which role.
        role: String,
    },
    /// Resources that say nothing about the role they are allocated to.
    #[error("`{resources}` of framework {framework} are allocated to no role")]
    NoRole {
        /// Whose they should be.
        framework: FrameworkId,
        /// Which resources.
        resources: String,
    },
    /// The framework does not hold what it should give back.
    #[error("framework {framework} does not hold `{resources}` for role `{role}` on agent {agent}")]
    NotHeld {
        /// Which framework.
        framework: FrameworkId,
        /// In which role.
        role: String,
        /// On which agent.
        agent: AgentId,
        /// Which resources.
        resources: String,
    },
    /// What an operator wants to convert is not free.
    #[error("`{resources}` are not free on agent {agent}")]
    NotFree {
        /// On which agent.
        agent: AgentId,
        /// Which resources.
        resources: String,
    },
    /// A framework answers an inverse offer that it does not have.
    #[error("framework {framework} has no inverse offer of agent {agent}")]
    NoInverseOffer {
        /// Which framework.
        framework: FrameworkId,
        /// Of which agent.
        agent: AgentId,
    },
}
