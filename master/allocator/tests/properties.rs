//! Whatever happens in whatever order: books that balance, no offer that must not be, and none
//! that is missing.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of test functions"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mesos_allocator::{AgentSpec, Allocator, FrameworkSpec, OfferProposal, Options};
use mesos_types::{FrameworkCapabilities, Resources, parse_resources};
use proptest::prelude::*;

const ROLES: [&str; 4] = ["*", "eng", "eng/web", "ops"];
const TOTALS: [&str; 3] = [
    "cpus:4;mem:1024;ports:[31000-31010]",
    "cpus:2;mem:512;cpus(eng):2;mem(eng/web):256",
    "cpus:8;gpus:1;mem:64;mem(ops):64",
];
const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
enum Step {
    AddFramework {
        id: usize,
        roles: u8,
        suppressed: u8,
        gpus: bool,
        active: bool,
    },
    RemoveFramework(usize),
    ActivateFramework(usize),
    DeactivateFramework(usize),
    Suppress {
        id: usize,
        role: usize,
    },
    Revive(usize),
    AddAgent {
        id: usize,
        total: usize,
        active: bool,
    },
    UpdateAgent {
        id: usize,
        total: usize,
    },
    RemoveAgent(usize),
    ActivateAgent(usize),
    DeactivateAgent(usize),
    /// Gives back all or a part of something held.
    Recover {
        which: usize,
        part: bool,
        refusal: Option<u64>,
    },
    /// A framework, perhaps never heard of, turns out to hold something.
    Charge {
        framework: usize,
        agent: usize,
        role: usize,
    },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (framework, agent) = (0usize..3, 0usize..3);
    prop_oneof![
        3 => (framework.clone(), 1u8..16, 0u8..16, any::<bool>(), prop::bool::weighted(0.9))
            .prop_map(|(id, roles, suppressed, gpus, active)| {
                Step::AddFramework { id, roles, suppressed: suppressed & (suppressed >> 1), gpus, active }
            }),
        1 => framework.clone().prop_map(Step::RemoveFramework),
        1 => framework.clone().prop_map(Step::ActivateFramework),
        1 => framework.clone().prop_map(Step::DeactivateFramework),
        1 => (framework.clone(), 0usize..4).prop_map(|(id, role)| Step::Suppress { id, role }),
        2 => framework.prop_map(Step::Revive),
        3 => (agent.clone(), 0usize..3, prop::bool::weighted(0.9))
            .prop_map(|(id, total, active)| Step::AddAgent { id, total, active }),
        1 => (agent.clone(), 0usize..3).prop_map(|(id, total)| Step::UpdateAgent { id, total }),
        1 => agent.clone().prop_map(Step::RemoveAgent),
        1 => agent.clone().prop_map(Step::ActivateAgent),
        1 => agent.prop_map(Step::DeactivateAgent),
        12 => (0usize..16, any::<bool>(), prop_oneof![
            Just(None), Just(Some(0)), Just(Some(5000)), Just(Some(10)),
        ]).prop_map(|(which, part, refusal)| Step::Recover { which, part, refusal }),
        2 => (0usize..4, 0usize..3, 0usize..4)
            .prop_map(|(framework, agent, role)| Step::Charge { framework, agent, role }),
        3 => (1u64..3000).prop_map(Step::Wait),
    ]
}

#[derive(Debug, Clone)]
struct ModelFramework {
    roles: BTreeSet<usize>,
    suppressed: BTreeSet<usize>,
    gpus: bool,
    active: bool,
}

#[derive(Debug, Clone)]
struct Refusal {
    framework: usize,
    role: String,
    agent: usize,
    resources: Resources,
    until: Duration,
    throttle: bool,
}

/// The rules once more, without any cleverness.
#[derive(Debug, Default)]
struct Model {
    frameworks: BTreeMap<usize, ModelFramework>,
    agents: BTreeMap<usize, (Resources, bool)>,
    held: Vec<(usize, usize, Resources)>,
    refusals: Vec<Refusal>,
    now: Duration,
}

fn framework_id(id: usize) -> String {
    format!("f{id}")
}

fn agent_id(id: usize) -> String {
    format!("a{id}")
}

fn number(id: &str) -> usize {
    id[1..].parse().unwrap()
}

fn parse(text: &str) -> Resources {
    parse_resources(text, "*").unwrap()
}

fn names(roles: &BTreeSet<usize>) -> BTreeSet<String> {
    roles.iter().map(|role| ROLES[*role].to_owned()).collect()
}

fn bits(mask: u8) -> BTreeSet<usize> {
    (0..4).filter(|bit| mask & (1 << bit) != 0).collect()
}

impl Model {
    fn apply(&mut self, allocator: &mut Allocator, step: Step) {
        match step {
            Step::AddFramework {
                id,
                roles,
                suppressed,
                gpus,
                active,
            } => {
                let roles = bits(roles);
                let suppressed = &bits(suppressed) & &roles;
                let spec = FrameworkSpec {
                    roles: names(&roles),
                    suppressed: names(&suppressed),
                    capabilities: FrameworkCapabilities {
                        multi_role: true,
                        gpu_resources: gpus,
                        ..Default::default()
                    },
                    ..Default::default()
                };
                allocator.add_framework(&framework_id(id).into(), &spec, active);
                self.frameworks.insert(
                    id,
                    ModelFramework {
                        roles,
                        suppressed,
                        gpus,
                        active,
                    },
                );
                self.refusals.retain(|refusal| refusal.framework != id);
            }
            Step::RemoveFramework(id) => {
                let known = self.frameworks.remove(&id).is_some();
                let answer = allocator.remove_framework(&framework_id(id).into());
                assert_eq!(answer.is_ok(), known);
                if !known {
                    return;
                }
                let freed: BTreeSet<usize> = self
                    .held
                    .iter()
                    .filter(|held| held.0 == id)
                    .map(|held| held.1)
                    .collect();
                self.held.retain(|held| held.0 != id);
                self.refusals.retain(|refusal| {
                    refusal.framework != id && !(refusal.throttle && freed.contains(&refusal.agent))
                });
            }
            Step::ActivateFramework(id) => self.set_active(allocator, id, true),
            Step::DeactivateFramework(id) => self.set_active(allocator, id, false),
            Step::Suppress { id, role } => {
                let answer =
                    allocator.suppress(&framework_id(id).into(), &[ROLES[role].to_owned()]);
                let known = self
                    .frameworks
                    .get_mut(&id)
                    .filter(|f| f.roles.contains(&role));
                assert_eq!(answer.is_ok(), known.is_some());
                if let Some(framework) = known {
                    framework.suppressed.insert(role);
                }
            }
            Step::Revive(id) => {
                let answer = allocator.revive(&framework_id(id).into(), &[]);
                assert_eq!(answer.is_ok(), self.frameworks.contains_key(&id));
                if let Some(framework) = self.frameworks.get_mut(&id) {
                    framework.suppressed.clear();
                }
                self.refusals.retain(|refusal| refusal.framework != id);
            }
            Step::AddAgent { id, total, active } => {
                let total = parse(TOTALS[total]);
                let answer = allocator.add_agent(
                    &agent_id(id).into(),
                    &AgentSpec {
                        active,
                        ..AgentSpec::new(total.clone())
                    },
                    &[],
                );
                assert_eq!(answer.is_ok(), !self.agents.contains_key(&id));
                self.agents.entry(id).or_insert((total, active));
            }
            Step::UpdateAgent { id, total } => {
                let total = parse(TOTALS[total]);
                let answer = allocator.update_agent(&agent_id(id).into(), &total);
                assert_eq!(answer.is_ok(), self.agents.contains_key(&id));
                if let Some(agent) = self.agents.get_mut(&id).filter(|agent| agent.0 != total) {
                    agent.0 = total;
                    self.refusals.retain(|refusal| refusal.agent != id);
                }
            }
            Step::RemoveAgent(id) => {
                let answer = allocator.remove_agent(&agent_id(id).into());
                assert_eq!(answer.is_ok(), self.agents.remove(&id).is_some());
                self.held.retain(|held| held.1 != id);
                self.refusals.retain(|refusal| refusal.agent != id);
            }
            Step::ActivateAgent(id) => {
                let answer = allocator.activate_agent(&agent_id(id).into());
                self.set_agent_active(id, answer.is_ok(), true);
            }
            Step::DeactivateAgent(id) => {
                let answer = allocator.deactivate_agent(&agent_id(id).into());
                self.set_agent_active(id, answer.is_ok(), false);
            }
            Step::Recover {
                which,
                part,
                refusal,
            } => {
                self.recover(allocator, which, part, refusal.map(Duration::from_millis));
            }
            Step::Charge {
                framework,
                agent,
                role,
            } => {
                let more = parse("cpus:1.5;mem:40").allocated_to(ROLES[role]);
                let (f, a) = (framework_id(framework), agent_id(agent));
                let answer = allocator.charge(&f.into(), &a.into(), &more);
                assert_eq!(answer.is_ok(), self.agents.contains_key(&agent));
                if answer.is_ok() {
                    self.held.push((framework, agent, more));
                }
            }
            Step::Wait(millis) => self.now += Duration::from_millis(millis),
        }
    }

    fn set_active(&mut self, allocator: &mut Allocator, id: usize, active: bool) {
        let name = framework_id(id).into();
        let answer = if active {
            allocator.activate_framework(&name)
        } else {
            allocator.deactivate_framework(&name)
        };
        assert_eq!(answer.is_ok(), self.frameworks.contains_key(&id));
        if let Some(framework) = self.frameworks.get_mut(&id) {
            framework.active = active;
            if !active {
                self.refusals.retain(|refusal| refusal.framework != id);
            }
        }
    }

    fn set_agent_active(&mut self, id: usize, answered: bool, active: bool) {
        assert_eq!(answered, self.agents.contains_key(&id));
        if let Some(agent) = self.agents.get_mut(&id) {
            agent.1 = active;
        }
    }

    fn recover(
        &mut self,
        allocator: &mut Allocator,
        which: usize,
        part: bool,
        refusal: Option<Duration>,
    ) {
        let count = self.held.len().max(1);
        let Some((framework, agent, held)) = self.held.get_mut(which % count) else {
            return;
        };
        let (framework, agent) = (*framework, *agent);
        let back = if part {
            held.filter(|r| &*r.name == "cpus")
        } else {
            held.clone()
        };
        *held -= &back;
        let (framework_name, agent_name) = (framework_id(framework), agent_id(agent));
        let (f, a) = (framework_name.into(), agent_name.into());
        allocator.recover(&f, &a, &back, refusal, self.now).unwrap();
        let more = allocator.recover(&f, &a, &parse("cpus:100").allocated_to("*"), None, self.now);
        assert!(more.is_err());
        self.held.retain(|held| !held.2.is_empty());
        let Some(role) = back
            .allocation_roles()
            .first()
            .map(|role| (*role).to_owned())
        else {
            return;
        };
        let Some(refusal) = refusal else {
            self.refusals
                .retain(|refusal| !(refusal.throttle && refusal.agent == agent));
            return;
        };
        let known = self.frameworks.get(&framework);
        if known.is_some_and(|f| f.active && names(&f.roles).contains(&role)) {
            self.refusals.push(Refusal {
                framework,
                role,
                agent,
                resources: back.unallocated(),
                until: self.now + refusal.max(INTERVAL),
                throttle: refusal.is_zero(),
            });
        }
    }

    fn refuses(&self, framework: usize, role: &str, agent: usize, offer: &Resources) -> bool {
        self.refusals.iter().any(|refusal| {
            (refusal.framework, &*refusal.role, refusal.agent) == (framework, role, agent)
                && refusal.until > self.now
                && refusal.resources.contains(offer)
        })
    }

    /// Whether the framework may be offered these, all of an agent's that are free for the role.
    fn may_offer(&self, framework: usize, role: usize, agent: usize, offer: &Resources) -> bool {
        let f = &self.frameworks[&framework];
        let (total, active) = &self.agents[&agent];
        let amounts = offer.quantities();
        let worth = Options::default()
            .min_allocatable
            .iter()
            .any(|min| amounts.contains(min));
        let gpus = f.gpus || total.gpus().is_none();
        let wanted = f.active && f.roles.contains(&role) && !f.suppressed.contains(&role);
        *active && wanted && gpus && worth && !self.refuses(framework, ROLES[role], agent, offer)
    }

    fn take(&mut self, proposals: &[OfferProposal]) {
        for offer in proposals {
            let (framework, agent) = (
                number(offer.framework.as_str()),
                number(offer.agent.as_str()),
            );
            let role = ROLES.iter().position(|role| **role == *offer.role).unwrap();
            let plain = offer.resources.unallocated();
            assert!(
                self.may_offer(framework, role, agent, &plain),
                "{offer:?} {self:#?}"
            );
            assert_eq!(plain.allocatable_to(&offer.role), plain);
            assert_eq!(plain.allocated_to(&offer.role), offer.resources);
            self.held.push((framework, agent, offer.resources.clone()));
        }
    }

    fn check(&self, allocator: &Allocator) {
        for (agent, (total, _)) in &self.agents {
            let name = agent_id(*agent).into();
            let available = allocator.available(&name).unwrap();
            let mut held = Resources::new();
            for (framework, resources) in allocator.held(&name) {
                let mut modelled = Resources::new();
                let framework = number(framework.as_str());
                for entry in self
                    .held
                    .iter()
                    .filter(|h| (h.0, h.1) == (framework, *agent))
                {
                    modelled += &entry.2;
                }
                let role = resources
                    .allocation_roles()
                    .first()
                    .map(|r| (*r).to_owned())
                    .unwrap();
                let modelled =
                    modelled.filter(|r| r.meta.allocation_role.as_deref() == Some(&*role));
                assert_eq!(modelled, resources);
                held += &resources.unallocated();
            }
            if total.contains(&held) {
                assert_eq!(&(available + &held), total, "the books of {name}");
            } else {
                assert_eq!(available, &(total - &held), "the books of {name}");
            }
            for framework in self.frameworks.keys() {
                for (role, path) in ROLES.iter().enumerate() {
                    let offer = available.allocatable_to(path);
                    let missing = self.may_offer(*framework, role, *agent, &offer);
                    assert!(
                        !missing,
                        "f{framework} is not offered {offer} of {name} for {path}: {self:#?}"
                    );
                }
            }
        }
        for role in ["eng", "ops"] {
            let inside = |path: &str| path == role || path.starts_with(&format!("{role}/"));
            let mut held = Resources::new();
            for (.., resources) in &self.held {
                held +=
                    &resources.filter(|r| r.meta.allocation_role.as_deref().is_some_and(inside));
            }
            assert_eq!(allocator.held_by_role(role), held.quantities());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_allocator_does_what_the_rules_say(steps in prop::collection::vec(step(), 1..80)) {
        let mut allocator = Allocator::new(Options::default());
        let mut model = Model::default();
        for step in steps {
            model.apply(&mut allocator, step);
            let proposals = allocator.allocate(model.now);
            model.take(&proposals);
            model.check(&allocator);
            prop_assert!(allocator.next_wakeup().is_none_or(|at| at > model.now));
        }
    }

    #[test]
    fn equal_frameworks_are_never_more_than_an_agent_apart(
        agents in 1usize..40, frameworks in 1usize..8, declines in prop::collection::vec(any::<bool>(), 200),
    ) {
        let mut allocator = Allocator::new(Options::default());
        let spec = FrameworkSpec { roles: ["*".to_owned()].into(), ..Default::default() };
        for id in 0..frameworks {
            allocator.add_framework(&framework_id(id).into(), &spec, true);
        }
        for id in 0..agents {
            allocator.add_agent(&agent_id(id).into(), &AgentSpec::new(parse("cpus:4;mem:64")), &[]).unwrap();
        }
        // Declining does not make anybody poorer in the end: what is declined goes round.
        let mut declines = declines.into_iter();
        let mut held = vec![0i64; frameworks];
        for round in 0..3u64 {
            let now = Duration::from_secs(round * 10);
            for offer in allocator.allocate(now) {
                let framework = number(offer.framework.as_str());
                if round < 2 && declines.next().unwrap_or(false) {
                    allocator.recover(&offer.framework, &offer.agent, &offer.resources, Some(Duration::ZERO), now).unwrap();
                } else {
                    held[framework] += 1;
                }
            }
        }
        let (least, most) = (held.iter().min().unwrap(), held.iter().max().unwrap());
        prop_assert!(most - least <= 1, "{held:?}");
        prop_assert_eq!(held.iter().sum::<i64>(), agents as i64);
    }
}
