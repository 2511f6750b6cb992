//! Agents that will be taken away: inverse offers, and what frameworks answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mesos_types::{AgentId, FrameworkId};
use mesos_wire::v1::{Unavailability, allocator::InverseOfferStatus};

use crate::{
    Allocator, AllocatorError,
    table::{AgentKey, FrameworkKey},
};

/// A framework shall be asked to give an agent back.
#[derive(Debug, Clone, PartialEq)]
pub struct InverseProposal {
    /// Who shall be asked.
    pub framework: FrameworkId,
    /// For which agent, on which it holds something.
    pub agent: AgentId,
    /// From when and for how long the agent will be away.
    pub unavailability: Unavailability,
}

/// What is known about the coming absence of one agent.
#[derive(Debug)]
struct Absence {
    unavailability: Unavailability,
    frameworks: BTreeMap<FrameworkKey, Asked>,
}

/// How far a framework has been asked.
#[derive(Debug, Default)]
struct Asked {
    /// It has an inverse offer that it has not answered.
    outstanding: bool,
    /// It does not want to be asked again before.
    refused_until: Option<Duration>,
    /// Its last answer.
    status: Option<InverseOfferStatus>,
}

/// All agents with a coming absence.
#[derive(Debug, Default)]
pub(crate) struct Maintenance {
    absences: BTreeMap<AgentKey, Absence>,
    /// Agents to go through when inverse offers are made next.
    dirty: BTreeSet<AgentKey>,
    /// When a framework may be asked again.
    timers: BTreeSet<(Duration, AgentKey)>,
}

impl Maintenance {
    /// A framework holds something on the agent now, or wants offers again.
    pub fn touch(&mut self, agent: AgentKey) {
        if self.absences.contains_key(&agent) {
            self.dirty.insert(agent);
        }
    }

    pub fn forget_agent(&mut self, agent: AgentKey) {
        self.absences.remove(&agent);
        self.dirty.remove(&agent);
    }

    pub fn forget_framework(&mut self, framework: FrameworkKey) {
        for absence in self.absences.values_mut() {
            absence.frameworks.remove(&framework);
        }
    }

    /// The framework may be asked for any agent now, whatever it answered. What it was asked and
    /// has not answered counts as taken back if it is `new`, or was away.
    pub fn ask_again(&mut self, framework: FrameworkKey, new: bool) {
        for (agent, absence) in &mut self.absences {
            let asked = absence.frameworks.get_mut(&framework);
            if let Some(asked) = asked {
                let refused = asked.refused_until.take().is_some();
                asked.outstanding &= !new;
                if refused || new {
                    self.dirty.insert(*agent);
                }
            } else if new {
                self.dirty.insert(*agent);
            }
        }
    }

    /// When somebody may be asked: zero for at once.
    pub fn next(&self) -> Option<Duration> {
        if self.dirty.is_empty() {
            self.timers.first().map(|(at, _)| *at)
        } else {
            Some(Duration::ZERO)
        }
    }
}

impl Allocator {
    /// The agent will be away, or not after all. What was asked and answered because of what was
    /// planned before is forgotten: the caller takes back inverse offers that are outstanding.
    /// Offers of the agent are made as before.
    ///
    /// # Errors
    /// If the agent is unknown.
    pub fn set_unavailability(
        &mut self,
        agent: &AgentId,
        unavailability: Option<Unavailability>,
    ) -> Result<(), AllocatorError> {
        let key = self.known_agent(agent)?;
        self.maintenance.forget_agent(key);
        if let Some(unavailability) = unavailability {
            let absence = Absence {
                unavailability,
                frameworks: BTreeMap::new(),
            };
            self.maintenance.absences.insert(key, absence);
            self.maintenance.dirty.insert(key);
        }
        Ok(())
    }

    /// Whom to ask for which agents: every active framework that holds something on an agent with
    /// a coming absence, unless it has been asked and has not answered, or does not want to be
    /// asked yet. Call it whenever [`Allocator::allocate`] is called.
    pub fn inverse_offers(&mut self, now: Duration) -> Vec<InverseProposal> {
        let Maintenance {
            absences,
            dirty,
            timers,
        } = &mut self.maintenance;
        while let Some((at, agent)) = timers.first().copied().filter(|(at, _)| *at <= now) {
            timers.remove(&(at, agent));
            dirty.insert(agent);
        }
        let mut proposals = Vec::new();
        for key in std::mem::take(dirty) {
            let (Some(absence), Some(agent)) = (absences.get_mut(&key), self.agents.get(key))
            else {
                continue;
            };
            let holders: BTreeSet<FrameworkKey> =
                agent.used().iter().map(|(who, _)| who.0).collect();
            for framework in holders {
                let Some(known) = self.frameworks.get(framework).filter(|f| f.active) else {
                    continue;
                };
                let asked = absence.frameworks.entry(framework).or_default();
                if asked.outstanding || asked.refused_until.is_some_and(|until| until > now) {
                    continue;
                }
                asked.outstanding = true;
                proposals.push(InverseProposal {
                    framework: known.id.clone(),
                    agent: agent.id.clone(),
                    unavailability: absence.unavailability,
                });
            }
        }
        proposals
    }

    /// A framework has answered the inverse offer of an agent, and is asked again after
    /// `refused_for`, at least the allocation interval, if it still holds something there.
    /// `status` is what [`Allocator::inverse_statuses`] then shows.
    ///
    /// # Errors
    /// If agent or framework are unknown, or the framework has no such inverse offer.
    pub fn inverse_answered(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        status: InverseOfferStatus,
        refused_for: Duration,
        now: Duration,
    ) -> Result<(), AllocatorError> {
        let interval = self.options.allocation_interval;
        let (asked, key) = self.asked(framework, agent)?;
        asked.outstanding = false;
        asked.status = Some(status);
        let until = now.saturating_add(refused_for.max(interval));
        asked.refused_until = Some(until);
        self.maintenance.timers.insert((until, key));
        Ok(())
    }

    /// An inverse offer was taken back before it was answered, such as after its timeout: the
    /// framework is asked again in the next run.
    ///
    /// # Errors
    /// If agent or framework are unknown, or the framework has no such inverse offer.
    pub fn inverse_withdrawn(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
    ) -> Result<(), AllocatorError> {
        let (asked, key) = self.asked(framework, agent)?;
        asked.outstanding = false;
        self.maintenance.dirty.insert(key);
        Ok(())
    }

    fn asked(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
    ) -> Result<(&mut Asked, AgentKey), AllocatorError> {
        let framework_key = self.known_framework(framework)?;
        let key = self.known_agent(agent)?;
        let absence = self.maintenance.absences.get_mut(&key);
        let asked = absence.and_then(|absence| absence.frameworks.get_mut(&framework_key));
        let asked = asked.filter(|asked| asked.outstanding);
        let asked = asked.ok_or_else(|| AllocatorError::NoInverseOffer {
            framework: framework.clone(),
            agent: agent.clone(),
        })?;
        Ok((asked, key))
    }

    /// The planned absence of an agent.
    pub fn unavailability(&self, agent: &AgentId) -> Option<&Unavailability> {
        let key = self.agents.key(agent.as_str())?;
        Some(&self.maintenance.absences.get(&key)?.unavailability)
    }

    /// The last answers of frameworks about the planned absence of an agent.
    pub fn inverse_statuses(&self, agent: &AgentId) -> Vec<InverseOfferStatus> {
        let key = self.agents.key(agent.as_str());
        let absence = key.and_then(|key| self.maintenance.absences.get(&key));
        let asked = absence.into_iter().flat_map(|a| a.frameworks.values());
        asked.filter_map(|asked| asked.status.clone()).collect()
    }
}
