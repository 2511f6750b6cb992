//! A thousand agents, ten frameworks, two minutes: everything in use, everybody served alike.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use mesos_allocator::{AgentSpec, Allocator, FrameworkSpec, OfferProposal, Options};
use mesos_types::{AgentId, FrameworkId, Resources, Scalar, parse_resources};

const AGENTS: usize = 1000;
const FRAMEWORKS: usize = 10;
const STEP: Duration = Duration::from_millis(100);
const END: Duration = Duration::from_secs(120);

/// Numbers that look random and are the same each time (the generator of Knuth's MMIX).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }
}

/// A running task: when it ends, and what it then frees.
type Running = Reverse<(Duration, usize)>;

#[test]
fn a_busy_cluster_stays_full_and_fair() {
    let mut allocator = Allocator::new(Options::default());
    let mut numbers = Numbers(1);
    let total = parse_resources("cpus:8;mem:2048;disk:100000;ports:[31000-32000]", "*").unwrap();
    for n in 0..FRAMEWORKS {
        // Five roles with two frameworks each, two of them below one parent.
        let roles = [["a/x", "a/y", "b", "c", "d"][n % 5].to_owned()].into();
        let spec = FrameworkSpec {
            roles,
            ..Default::default()
        };
        allocator.add_framework(&format!("f{n}").into(), &spec, true);
    }
    for n in 0..AGENTS {
        let id = AgentId::from(format!("a{n}"));
        allocator
            .add_agent(&id, &AgentSpec::new(total.clone()), &[])
            .unwrap();
    }
    let mut tasks: Vec<(FrameworkId, AgentId, Resources)> = Vec::new();
    let mut running: BinaryHeap<Running> = BinaryHeap::new();
    let mut held: BTreeMap<FrameworkId, i64> = BTreeMap::new();
    let mut sums: BTreeMap<FrameworkId, i64> = BTreeMap::new();
    let mut now = Duration::ZERO;
    while now < END {
        while let Some(Reverse((at, task))) = running.peek().copied().filter(|r| r.0.0 <= now) {
            running.pop();
            let (framework, agent, resources) = &tasks[task];
            allocator
                .recover(framework, agent, resources, None, at.max(now))
                .unwrap();
            *held.get_mut(framework).unwrap() -= 1;
        }
        for offer in allocator.allocate(now) {
            let launched = launch(&offer, &mut numbers);
            let mut rest = offer.resources.clone();
            for resources in launched {
                rest -= &resources;
                let end = now + Duration::from_millis(20_000 + numbers.below(40_000));
                running.push(Reverse((end, tasks.len())));
                tasks.push((offer.framework.clone(), offer.agent.clone(), resources));
                *held.entry(offer.framework.clone()).or_default() += 1;
            }
            let refusal = Some(Duration::from_secs(5 * numbers.below(2)));
            allocator
                .recover(&offer.framework, &offer.agent, &rest, refusal, now)
                .unwrap();
        }
        if now > END / 3 {
            for (framework, tasks) in &held {
                *sums.entry(framework.clone()).or_default() += tasks;
            }
        }
        now += STEP;
    }
    // In use: nearly everything; the rest is on its way round.
    let busy: i64 = held.values().sum();
    assert!(
        busy > (AGENTS * 4 * 95 / 100) as i64,
        "{busy} cpus busy of {}",
        AGENTS * 8
    );
    // Four top-level roles have a quarter each; `a` divides its own between two.
    let all: i64 = sums.values().sum();
    for n in 0..FRAMEWORKS {
        let id = FrameworkId::from(format!("f{n}"));
        let parts = if n % 5 < 2 { 16.0 } else { 8.0 };
        let share = sums[&id] as f64 / all as f64 * parts;
        assert!(
            (0.9..1.1).contains(&share),
            "{id} has {share} of its fair share: {sums:?}"
        );
    }
    while let Some(Reverse((_, task))) = running.pop() {
        let (framework, agent, resources) = &tasks[task];
        allocator
            .recover(framework, agent, resources, None, now)
            .unwrap();
    }
    for n in 0..AGENTS {
        let id = AgentId::from(format!("a{n}"));
        assert_eq!(allocator.available(&id), Some(&total));
    }
}

/// Tasks of two cpus, up to four in an offer.
fn launch(offer: &OfferProposal, numbers: &mut Numbers) -> Vec<Resources> {
    let cpus = offer.resources.cpus().unwrap_or(Scalar::ZERO).thousandths() / 2000;
    let count = (1 + numbers.below(4) as i64).min(cpus);
    let port = offer
        .resources
        .ports()
        .iter()
        .next()
        .map(|range| range.begin)
        .unwrap_or(0);
    (0..count)
        .map(|n| {
            let port = port + n as u64;
            let text = format!("cpus:2;mem:512;ports:[{port}-{port}]");
            let parsed = parse_resources(&text, "*").map(|r| r.allocated_to(&offer.role));
            parsed
                .ok()
                .filter(|task| offer.resources.contains(task))
                .unwrap_or_default()
        })
        .filter(|task| !task.is_empty())
        .collect()
}
