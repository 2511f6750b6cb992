//! `mesos agent drain`, `deactivate`, `reactivate` and `gone`.

use std::time::Duration;

use clap::{Args, Subcommand};
use mesos_types::units::parse_duration;
use mesos_wire::v1::{
    AgentId,
    master::{
        Call,
        call::{DeactivateAgent, DrainAgent, MarkAgentGone, ReactivateAgent, Type},
    },
};

use super::{Outcome, call, order};
use crate::{MasterArgs, listing::print};

#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// End all tasks of an agent and launch no more there; `agent list` shows when it is DRAINED.
    Drain {
        #[command(flatten)]
        agent: AgentArgs,
        /// Longest time a task may take to end, such as 2mins; without it, as long as each task asks for.
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        max_grace_period: Option<Duration>,
        /// Remove the agent for good once it is drained: it can never come back under its id.
        #[arg(long)]
        mark_gone: bool,
    },
    /// Offer nothing more of an agent; its tasks run on.
    Deactivate {
        #[command(flatten)]
        agent: AgentArgs,
    },
    /// Offer an agent again that is drained or deactivated.
    Reactivate {
        #[command(flatten)]
        agent: AgentArgs,
    },
    /// Remove an agent for good: its tasks are lost, and it can never come back under its id.
    Gone {
        #[command(flatten)]
        agent: AgentArgs,
    },
}

#[derive(Debug, Args)]
pub struct AgentArgs {
    #[command(flatten)]
    master: MasterArgs,
    /// Id of the agent, as `agent list` shows it.
    #[arg(value_name = "AGENT")]
    id: String,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

/// Carries the command out.
pub async fn change(command: ServiceCommand) -> Outcome {
    let (agent, call, done) = match command {
        ServiceCommand::Drain {
            agent,
            max_grace_period,
            mark_gone,
        } => {
            let drain = DrainAgent {
                agent_id: id(&agent),
                max_grace_period: max_grace_period
                    .map(TryInto::try_into)
                    .transpose()
                    .map_err(|_| "--max-grace-period is too long".to_owned())?,
                mark_gone: Some(mark_gone),
            };
            let call = Call {
                drain_agent: Some(drain),
                ..call(Type::DrainAgent)
            };
            (agent, call, "is being drained")
        }
        ServiceCommand::Deactivate { agent } => {
            let agent_id = id(&agent);
            let call = Call {
                deactivate_agent: Some(DeactivateAgent { agent_id }),
                ..call(Type::DeactivateAgent)
            };
            (agent, call, "is deactivated")
        }
        ServiceCommand::Reactivate { agent } => {
            let agent_id = id(&agent);
            let call = Call {
                reactivate_agent: Some(ReactivateAgent { agent_id }),
                ..call(Type::ReactivateAgent)
            };
            (agent, call, "is in service again")
        }
        ServiceCommand::Gone { agent } => {
            let agent_id = id(&agent);
            let call = Call {
                mark_agent_gone: Some(MarkAgentGone { agent_id }),
                ..call(Type::MarkAgentGone)
            };
            (agent, call, "is gone for good")
        }
    };
    order(&agent.master.find().await?, &call).await?;
    print(&format!("Agent {} {done}\n", agent.id));
    Ok(())
}

fn id(agent: &AgentArgs) -> AgentId {
    agent.id.as_str().into()
}
