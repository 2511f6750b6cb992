//! Whatever happens in whatever order, with quotas: no limit is exceeded through any role above,
//! nothing that a guarantee needs is given away, and nothing that may be offered is kept.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of test functions"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mesos_allocator::{AgentSpec, Allocator, FrameworkSpec, Options, Quota};
use mesos_types::{
    FrameworkCapabilities, Quantities, Resource, Resources, Scalar, Value, is_subrole,
    parse_resources,
};
use proptest::prelude::*;

const ROLES: [&str; 5] = ["*", "eng", "eng/web", "eng/db", "ops"];
const TOTALS: [&str; 4] = [
    "cpus:4;mem:1000",
    "cpus:2;mem:500;cpus(eng):2;mem(eng/web):300",
    "cpus:3;mem(ops):600;cpus(ops):1",
    "cpus:1;mem:2000;ports:[1-5]",
];
const NAMES: [&str; 2] = ["cpus", "mem"];
/// Amounts are multiples of these thousandths: small steps for the model to try.
const UNITS: [i64; 2] = [500, 50_000];

#[derive(Debug, Clone)]
enum Step {
    AddFramework {
        id: usize,
        role: usize,
        revocable: bool,
    },
    RemoveFramework(usize),
    Suppress(usize),
    Revive(usize),
    AddAgent {
        id: usize,
        total: usize,
        revocable: bool,
    },
    RemoveAgent(usize),
    SetActive {
        id: usize,
        active: bool,
    },
    SetQuota {
        role: usize,
        guarantees: [Option<u8>; 2],
        limits: [Option<u8>; 2],
    },
    Recover {
        which: usize,
        part: bool,
        refusal: Option<u64>,
    },
    Charge {
        framework: usize,
        agent: usize,
    },
    Reserve {
        agent: usize,
        role: usize,
    },
    Unreserve(usize),
    ReserveHeld {
        which: usize,
    },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (framework, agent) = (0usize..4, 0usize..4);
    let amount = || prop::option::of(0u8..20);
    prop_oneof![
        4 => (framework.clone(), 0..ROLES.len(), any::<bool>())
            .prop_map(|(id, role, revocable)| Step::AddFramework { id, role, revocable }),
        1 => framework.clone().prop_map(Step::RemoveFramework),
        1 => framework.clone().prop_map(Step::Suppress),
        2 => framework.clone().prop_map(Step::Revive),
        5 => (agent.clone(), 0..TOTALS.len(), prop::bool::weighted(0.3))
            .prop_map(|(id, total, revocable)| Step::AddAgent { id, total, revocable }),
        1 => agent.clone().prop_map(Step::RemoveAgent),
        2 => (agent.clone(), any::<bool>()).prop_map(|(id, active)| Step::SetActive { id, active }),
        6 => (1..ROLES.len(), [amount(), amount()], [amount(), amount()])
            .prop_map(|(role, guarantees, limits)| Step::SetQuota { role, guarantees, limits }),
        14 => (0usize..16, any::<bool>(), prop_oneof![
            3 => Just(None), 1 => Just(Some(0)), 1 => Just(Some(5000)),
        ]).prop_map(|(which, part, refusal)| Step::Recover { which, part, refusal }),
        2 => (framework, agent.clone()).prop_map(|(framework, agent)| Step::Charge { framework, agent }),
        2 => (agent.clone(), 1..ROLES.len()).prop_map(|(agent, role)| Step::Reserve { agent, role }),
        1 => agent.prop_map(Step::Unreserve),
        2 => (0usize..16).prop_map(|which| Step::ReserveHeld { which }),
        3 => (1u64..4000).prop_map(Step::Wait),
    ]
}

#[derive(Debug, Clone)]
struct Framework {
    role: String,
    suppressed: bool,
    revocable: bool,
}

#[derive(Debug)]
struct Refusal {
    framework: usize,
    role: String,
    agent: usize,
    resources: Resources,
    until: Duration,
    throttle: bool,
}

#[derive(Debug, Default)]
struct Model {
    frameworks: BTreeMap<usize, Framework>,
    agents: BTreeMap<usize, (Resources, bool)>,
    /// Allocated to their roles.
    held: Vec<(usize, usize, Resources)>,
    quotas: BTreeMap<String, Quota>,
    refusals: Vec<Refusal>,
    now: Duration,
}

/// What may be more or less than before the run.
#[derive(Debug)]
struct Before {
    consumed: BTreeMap<(String, &'static str), i64>,
    surplus: BTreeMap<&'static str, i64>,
}

fn framework_id(id: usize) -> String {
    format!("f{id}")
}

fn agent_id(id: usize) -> String {
    format!("a{id}")
}

fn parse(text: &str) -> Resources {
    parse_resources(text, "*").unwrap()
}

fn revocable(text: &str) -> Resources {
    parse(text).map(|r| r.with_meta(|meta| meta.revocable = true))
}

fn amount(value: &Value) -> i64 {
    match value {
        Value::Scalar(amount) => amount.thousandths(),
        _ => 0,
    }
}

/// Whether `role` is `top` or below it.
fn within(role: &str, top: &str) -> bool {
    role == top || is_subrole(role, top)
}

fn sum(resources: &Resources, name: &str, keep: impl Fn(&Resource) -> bool) -> i64 {
    let kept = resources.distinct().filter(|r| *r.name == *name && keep(r));
    kept.map(|r| amount(&r.value)).sum()
}

impl Model {
    fn limit(&self, role: &str, name: &str) -> Option<i64> {
        Some(self.quotas.get(role)?.limits.get(name)?.thousandths())
    }

    fn guarantee(&self, role: &str, name: &str) -> i64 {
        let quota = self.quotas.get(role);
        quota.map_or(0, |quota| quota.guarantees.get(name).thousandths())
    }

    /// What counts against the quota of a role.
    fn consumed(&self, role: &str, name: &str) -> i64 {
        let held = self.held.iter().map(|(.., held)| {
            sum(held, name, |r| {
                let holder = r.meta.allocation_role.as_deref().unwrap();
                let inside = r.reservation_role().is_some_and(|p| within(p, role));
                within(holder, role) && !inside && !r.meta.revocable
            })
        });
        held.sum::<i64>() + self.reserved(role, name)
    }

    fn reserved(&self, role: &str, name: &str) -> i64 {
        let totals = self.agents.values().map(|(total, _)| {
            sum(total, name, |r| {
                r.reservation_role().is_some_and(|p| within(p, role))
            })
        });
        totals.sum()
    }

    /// What guarantees of a role and those below it need, when roles consume so much more.
    fn needed(&self, role: &str, name: &str, more: &BTreeMap<String, i64>) -> i64 {
        let consumed = self.consumed(role, name) + more.get(role).copied().unwrap_or(0);
        let own = (self.guarantee(role, name) - consumed).max(0);
        let most = self
            .limit(role, name)
            .map_or(i64::MAX, |limit| (limit - consumed).max(0));
        own.max(self.needed_below(role, name, more)).min(most)
    }

    fn needed_below(&self, role: &str, name: &str, more: &BTreeMap<String, i64>) -> i64 {
        let prefix = format!("{role}/");
        let children = ROLES.iter().filter(|other| {
            other
                .strip_prefix(&prefix)
                .is_some_and(|rest| !rest.contains('/'))
        });
        children.map(|child| self.needed(child, name, more)).sum()
    }

    fn needed_by_all(&self, name: &str, more: &BTreeMap<String, i64>) -> i64 {
        let tops = ROLES.iter().filter(|role| !role.contains('/'));
        tops.map(|role| self.needed(role, name, more)).sum()
    }

    /// What of an agent nobody holds.
    fn available(&self, agent: usize) -> Resources {
        let mut held = Resources::new();
        for (_, on, resources) in &self.held {
            if *on == agent {
                held += &resources.unallocated();
            }
        }
        &self.agents[&agent].0 - &held
    }

    fn surplus(&self, name: &str) -> i64 {
        let active = self.agents.iter().filter(|(_, (_, active))| *active);
        let free = active.map(|(agent, _)| {
            let free = |r: &Resource| r.meta.reservations.is_empty() && !r.meta.revocable;
            sum(&self.available(*agent), name, free)
        });
        free.sum::<i64>() - self.needed_by_all(name, &BTreeMap::new())
    }

    fn before(&self) -> Before {
        let roles = self
            .quotas
            .keys()
            .flat_map(|role| NAMES.map(|name| (role.clone(), name)));
        Before {
            consumed: roles
                .map(|(role, name)| ((role.clone(), name), self.consumed(&role, name)))
                .collect(),
            surplus: NAMES.map(|name| (name, self.surplus(name))).into(),
        }
    }

    /// Whether a role may be charged `more`, in unreserved resources and in others that are
    /// reserved for a role above it.
    fn allowed(&self, role: &str, name: &str, more: &BTreeMap<String, i64>, free: i64) -> bool {
        let nothing = BTreeMap::new();
        for above in ROLES.iter().filter(|above| within(role, above)) {
            let Some(limit) = self.limit(above, name) else {
                continue;
            };
            let extra = more.get(*above).copied().unwrap_or(0);
            if extra == 0 {
                continue;
            }
            let consumed = self.consumed(above, name);
            let before = consumed + self.needed_below(above, name, &nothing);
            let after = consumed + extra + self.needed_below(above, name, more);
            if consumed + extra > limit || after > limit.max(before) {
                return false;
            }
        }
        let covered = self.needed_by_all(name, &nothing) - self.needed_by_all(name, more);
        free - covered <= self.surplus(name).max(0)
    }

    /// What a framework should be offered of an agent, found by trying.
    fn offer(&self, framework: &Framework, agent: usize) -> Resources {
        let role = &*framework.role;
        let mut more: BTreeMap<(String, String), i64> = BTreeMap::new();
        let mut taken_free: BTreeMap<String, i64> = BTreeMap::new();
        let mut offer = Resources::new();
        let available = self.available(agent).allocatable_to(role);
        let mut parts: Vec<&Resource> = available.distinct().collect();
        parts.sort_by_key(|resource| resource.reservation_role());
        for resource in parts {
            if resource.meta.revocable && !framework.revocable {
                continue;
            }
            let name = resource.name.to_string();
            let reservation = resource.reservation_role();
            let charged: Vec<&str> = ROLES
                .iter()
                .copied()
                .filter(|above| {
                    within(role, above) && reservation.is_none_or(|p| is_subrole(above, p))
                })
                .collect();
            let Some(at) = NAMES.iter().position(|known| **known == name) else {
                offer.add(resource.clone());
                continue;
            };
            if charged.is_empty() || resource.meta.revocable {
                offer.add(resource.clone());
                continue;
            }
            let wanted = amount(&resource.value);
            let granted = (0..=wanted / UNITS[at])
                .rev()
                .map(|units| units * UNITS[at])
                .find(|x| {
                    let mut charges: BTreeMap<String, i64> = ROLES
                        .iter()
                        .map(|above| {
                            (
                                (*above).to_owned(),
                                more.get(&((*above).to_owned(), name.clone()))
                                    .copied()
                                    .unwrap_or(0),
                            )
                        })
                        .collect();
                    for above in &charged {
                        *charges.get_mut(*above).unwrap() += x;
                    }
                    let mut free = taken_free.get(&name).copied().unwrap_or(0);
                    free += if reservation.is_none() { *x } else { 0 };
                    *x == 0 || self.allowed(role, NAMES[at], &charges, free)
                });
            let granted = granted.unwrap_or(0);
            for above in &charged {
                *more.entry(((*above).to_owned(), name.clone())).or_default() += granted;
            }
            if reservation.is_none() {
                *taken_free.entry(name).or_default() += granted;
            }
            offer.add(Resource {
                value: Value::Scalar(Scalar::from_thousandths(granted)),
                ..resource.clone()
            });
        }
        offer
    }

    fn refuses(&self, framework: usize, role: &str, agent: usize, offer: &Resources) -> bool {
        self.refusals.iter().any(|refusal| {
            (refusal.framework, &*refusal.role, refusal.agent) == (framework, role, agent)
                && refusal.until > self.now
                && refusal.resources.contains(offer)
        })
    }

    fn apply(&mut self, allocator: &mut Allocator, step: Step) {
        match step {
            Step::AddFramework {
                id,
                role,
                revocable,
            } => {
                let spec = FrameworkSpec {
                    roles: BTreeSet::from([ROLES[role].to_owned()]),
                    capabilities: FrameworkCapabilities {
                        multi_role: true,
                        revocable_resources: revocable,
                        ..Default::default()
                    },
                    ..Default::default()
                };
                allocator.add_framework(&framework_id(id).into(), &spec, true);
                let role = ROLES[role].to_owned();
                self.frameworks.insert(
                    id,
                    Framework {
                        role,
                        suppressed: false,
                        revocable,
                    },
                );
                self.refusals.retain(|refusal| refusal.framework != id);
            }
            Step::RemoveFramework(id) => {
                if allocator
                    .remove_framework(&framework_id(id).into())
                    .is_err()
                {
                    return;
                }
                self.frameworks.remove(&id);
                let freed: BTreeSet<usize> = self
                    .held
                    .iter()
                    .filter(|h| h.0 == id)
                    .map(|h| h.1)
                    .collect();
                self.held.retain(|held| held.0 != id);
                self.refusals.retain(|refusal| {
                    refusal.framework != id && !(refusal.throttle && freed.contains(&refusal.agent))
                });
            }
            Step::Suppress(id) => {
                if let Some(framework) = self.frameworks.get_mut(&id) {
                    framework.suppressed = true;
                    allocator.suppress(&framework_id(id).into(), &[]).unwrap();
                }
            }
            Step::Revive(id) => {
                if let Some(framework) = self.frameworks.get_mut(&id) {
                    framework.suppressed = false;
                    let role = framework.role.clone();
                    allocator.revive(&framework_id(id).into(), &[]).unwrap();
                    self.refusals
                        .retain(|r| r.framework != id || r.role != role);
                }
            }
            Step::AddAgent {
                id,
                total,
                revocable: extra,
            } => {
                let total = if extra {
                    &parse(TOTALS[total]) + &revocable("cpus:1;mem:50")
                } else {
                    parse(TOTALS[total])
                };
                let spec = AgentSpec::new(total.clone());
                if allocator
                    .add_agent(&agent_id(id).into(), &spec, &[])
                    .is_ok()
                {
                    self.agents.insert(id, (total, true));
                }
            }
            Step::RemoveAgent(id) => {
                if allocator.remove_agent(&agent_id(id).into()).is_ok() {
                    self.agents.remove(&id);
                    self.held.retain(|held| held.1 != id);
                    self.refusals.retain(|refusal| refusal.agent != id);
                }
            }
            Step::SetActive { id, active } => {
                if let Some(agent) = self.agents.get_mut(&id) {
                    agent.1 = active;
                    let id = agent_id(id).into();
                    let answer = if active {
                        allocator.activate_agent(&id)
                    } else {
                        allocator.deactivate_agent(&id)
                    };
                    answer.unwrap();
                }
            }
            Step::SetQuota {
                role,
                guarantees,
                limits,
            } => self.set_quota(allocator, ROLES[role], guarantees, limits),
            Step::Recover {
                which,
                part,
                refusal,
            } => self.recover(allocator, which, part, refusal),
            Step::Charge { framework, agent } => {
                let Some(role) = self.frameworks.get(&framework).map(|f| f.role.clone()) else {
                    return;
                };
                if !self.agents.contains_key(&agent) {
                    return;
                }
                let more = parse("cpus:1;mem:100").allocated_to(&role);
                let free = self.available(agent);
                // Overcommitted agents are the other property test's.
                if free.contains(&more.unallocated()) {
                    allocator
                        .charge(
                            &framework_id(framework).into(),
                            &agent_id(agent).into(),
                            &more,
                        )
                        .unwrap();
                    self.held.push((framework, agent, more));
                }
            }
            Step::Reserve { agent, role } => {
                let from = parse("cpus:0.5");
                let to = parse(&format!("cpus({}):0.5", ROLES[role]));
                self.convert(allocator, agent, &from, &to);
            }
            Step::Unreserve(agent) => {
                let reserved = self.agents.get(&agent).map(|(total, _)| {
                    total.filter(|r| r.reservation_role().is_some() && !r.meta.revocable)
                });
                if let Some(from) = reserved {
                    self.convert(allocator, agent, &from, &from.to_unreserved());
                }
            }
            Step::ReserveHeld { which } => {
                let count = self.held.len().max(1);
                let Some((framework, agent, held)) = self.held.get_mut(which % count) else {
                    return;
                };
                let role = held
                    .allocation_roles()
                    .first()
                    .map(|r| (*r).to_owned())
                    .unwrap();
                let from = parse("cpus:0.5").allocated_to(&role);
                let to = parse(&format!("cpus({role}):0.5")).allocated_to(&role);
                if role == "*" || !held.contains(&from) {
                    return;
                }
                allocator
                    .update_allocation(
                        &framework_id(*framework).into(),
                        &agent_id(*agent).into(),
                        &from,
                        &to,
                    )
                    .unwrap();
                *held -= &from;
                *held += &to;
                let total = &mut self.agents.get_mut(agent).unwrap().0;
                *total -= &from.unallocated();
                *total += &to.unallocated();
            }
            Step::Wait(millis) => self.now += Duration::from_millis(millis),
        }
    }

    fn set_quota(
        &mut self,
        allocator: &mut Allocator,
        role: &str,
        guarantees: [Option<u8>; 2],
        limits: [Option<u8>; 2],
    ) {
        let mut quota = Quota::default();
        let mut guaranteed = Vec::new();
        for (at, name) in NAMES.iter().enumerate() {
            let units = |n: u8| Scalar::from_thousandths(i64::from(n) * UNITS[at]);
            let limit = limits[at].map(units);
            if let Some(limit) = limit {
                quota.limits.insert((*name).to_owned(), limit);
            }
            if let Some(guarantee) = guarantees[at].map(units) {
                guaranteed.push((*name, limit.map_or(guarantee, |limit| limit.min(guarantee))));
            }
        }
        quota.guarantees = Quantities::from_iter(guaranteed);
        allocator.set_quota(role, quota.clone());
        self.quotas.remove(role);
        if !quota.is_empty() {
            self.quotas.insert(role.to_owned(), quota);
        }
    }

    fn convert(
        &mut self,
        allocator: &mut Allocator,
        agent: usize,
        from: &Resources,
        to: &Resources,
    ) {
        if !self.agents.contains_key(&agent) {
            return;
        }
        let free = self.available(agent).contains(from);
        let answer = allocator.update_available(&agent_id(agent).into(), from, to);
        assert_eq!(
            answer.is_ok(),
            free,
            "{from} to {to} on {agent}: {answer:?}"
        );
        if free {
            let total = &mut self.agents.get_mut(&agent).unwrap().0;
            *total -= from;
            *total += to;
        }
    }

    fn recover(
        &mut self,
        allocator: &mut Allocator,
        which: usize,
        part: bool,
        refusal: Option<u64>,
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
        let refusal = refusal.map(Duration::from_millis);
        allocator
            .recover(
                &framework_id(framework).into(),
                &agent_id(agent).into(),
                &back,
                refusal,
                self.now,
            )
            .unwrap();
        self.held.retain(|held| !held.2.is_empty());
        let Some(role) = back
            .allocation_roles()
            .first()
            .map(|role| (*role).to_owned())
        else {
            return;
        };
        match refusal {
            None => self.refusals.retain(|r| !(r.throttle && r.agent == agent)),
            Some(refusal)
                if self
                    .frameworks
                    .get(&framework)
                    .is_some_and(|f| f.role == role) =>
            {
                self.refusals.push(Refusal {
                    framework,
                    role,
                    agent,
                    resources: back.unallocated(),
                    until: self.now + refusal.max(Duration::from_secs(1)),
                    throttle: refusal.is_zero(),
                });
            }
            Some(_) => {}
        }
    }

    fn check(&self, allocator: &Allocator, before: &Before) {
        for role in ROLES {
            for name in NAMES {
                let shown = |amounts: Quantities| amounts.get(name).thousandths();
                assert_eq!(
                    shown(allocator.quota_consumed(role)),
                    self.consumed(role, name),
                    "{role} {name}"
                );
                assert_eq!(
                    shown(allocator.reserved(role)),
                    self.reserved(role, name),
                    "{role} {name}"
                );
            }
        }
        for ((role, name), consumed) in &before.consumed {
            if let Some(limit) = self.limit(role, name) {
                let now = self.consumed(role, name);
                assert!(now <= limit.max(*consumed), "{role} has {now} {name}");
            }
        }
        for (name, surplus) in &before.surplus {
            let now = self.surplus(name);
            assert!(
                now >= 0.min(*surplus),
                "{now} {name} are free beyond guarantees"
            );
        }
        for (agent, (_, active)) in &self.agents {
            let available = self.available(*agent);
            let shown = allocator.available(&agent_id(*agent).into());
            assert_eq!(shown, Some(&available));
            for (id, framework) in &self.frameworks {
                if !active || framework.suppressed {
                    continue;
                }
                let offer = self.offer(framework, *agent);
                let amounts = offer.quantities();
                let worth = amounts.get("cpus") > Scalar::ZERO
                    || amounts.get("mem") >= Scalar::from_thousandths(32_000);
                // What quotas leave of an agent may come to be made of other parts when others take
                // some. Who has refused something of the agent is shown that when the refusal ends.
                let later = !self.quotas.is_empty()
                    && self.refuses(*id, &framework.role, *agent, &Resources::new());
                let refused = later || self.refuses(*id, &framework.role, *agent, &offer);
                assert!(
                    !worth || refused,
                    "f{id} is not offered {offer} of a{agent}: {self:#?}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn quotas_are_kept_and_nothing_is_kept_back_without_need(
        steps in prop::collection::vec(step(), 1..60), piece in 1usize..5,
    ) {
        let mut allocator = Allocator::new(Options::default());
        let mut model = Model::default();
        for step in steps {
            model.apply(&mut allocator, step);
            let before = model.before();
            while allocator.next_wakeup().is_some_and(|at| at <= model.now) {
                for offer in allocator.allocate_some(model.now, piece) {
                    let (framework, agent) = (offer.framework.as_str()[1..].parse().unwrap(), offer.agent.as_str()[1..].parse().unwrap());
                    let plain = offer.resources.unallocated();
                    assert!(model.available(agent).contains(&plain), "{plain} is not there");
                    assert!(!model.refuses(framework, &offer.role, agent, &plain), "{plain} is refused");
                    model.held.push((framework, agent, offer.resources));
                }
            }
            model.check(&allocator, &before);
        }
    }

    #[test]
    fn a_guarantee_is_met_whoever_was_there_before(
        agents in prop::collection::vec(1u8..8, 1..12), others in 1usize..4, guarantee in 1i64..40, nested in any::<bool>(),
    ) {
        let mut allocator = Allocator::new(Options::default());
        let total: i64 = agents.iter().map(|cpus| i64::from(*cpus)).sum();
        let guarantee = guarantee.min(total);
        let cpus = Scalar::from_thousandths(guarantee * 1000);
        let quota = Quota {
            guarantees: Quantities::from_iter([("cpus", cpus)]),
            limits: BTreeMap::new(),
        };
        let spec = |role: &str| FrameworkSpec { roles: [role.to_owned()].into(), ..Default::default() };
        for (id, role) in ROLES.iter().take(others).enumerate() {
            allocator.add_framework(&framework_id(id).into(), &spec(role), true);
        }
        let role = if nested { "eng/db" } else { "ops" };
        allocator.set_quota(role, quota.clone());
        if nested {
            allocator.set_quota("eng", quota);
        }
        for (id, cpus) in agents.iter().enumerate() {
            let spec = AgentSpec::new(parse(&format!("cpus:{cpus};mem:32")));
            allocator.add_agent(&agent_id(id).into(), &spec, &[]).unwrap();
            allocator.allocate(Duration::ZERO);
        }
        let taken = allocator.cluster_held().get("cpus").thousandths();
        prop_assert_eq!(taken, (total - guarantee) * 1000);
        allocator.add_framework(&"late".into(), &spec(role), true);
        allocator.allocate(Duration::ZERO);
        prop_assert_eq!(allocator.quota_consumed(role).get("cpus"), cpus);
    }
}
