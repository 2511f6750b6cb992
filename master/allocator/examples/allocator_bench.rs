//! How long the allocator takes, in milliseconds of processor time, by agents and frameworks.
//!
//!     cargo run --release -p mesos-allocator --example allocator_bench [AGENTS]
//!
//! Columns, each for the whole cluster unless it says "one":
//! add: agents come, nobody is there; first: the run that offers all of them; decline: all offers
//! come back with a filter of 5 s; next: the run that offers them to others; refused: the same
//! after up to ten such rounds; expire: all filters end, and the run after it; new: one more
//! framework comes and is shown everything, and gets what half of the agents then have (nothing if
//! twenty rounds of declines did not do to leave them free); piece: the
//! longest of the calls that the former runs are made of, 1,000 steps each; one: a task ends on one
//! agent, and what it frees is offered; other: an offer is declined, and goes to another framework.
//!
//! Quota "roomy": each role has a guarantee of 0.9 and a limit of 1.2 of its part of the cluster.
//! "tight": 0.4 and 0.5, so that everybody is at a limit, and half of the agents stay free.

use std::time::Duration;

use cpu_time::ThreadTime;
use mesos_allocator::{AgentSpec, Allocator, FrameworkSpec, OfferProposal, Options, Quota};
use mesos_types::{AgentId, Quantities, Scalar, parse_resources};

const PIECE: usize = 1000;
const SECOND: Duration = Duration::from_secs(1);

fn main() {
    let most: usize = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(50_000);
    let columns = [
        "quota",
        "agents",
        "frameworks",
        "add",
        "first",
        "decline",
        "next",
        "refused",
        "expire",
        "new",
        "piece",
        "one",
        "other",
    ];
    println!("{}", columns.map(|name| format!("{name:>10}")).concat());
    for quota in [None, Some(("roomy", 900, 1200)), Some(("tight", 400, 500))] {
        for agents in [1_000, 10_000, 50_000] {
            for frameworks in [1, 10, 200] {
                if agents <= most {
                    bench(agents, frameworks, quota);
                }
            }
        }
    }
}

/// `quota`: its name, and guarantee and limit in thousandths of a role's part of the cluster.
fn bench(agents: usize, frameworks: usize, quota: Option<(&str, i64, i64)>) {
    let mut allocator = Allocator::new(Options::default());
    let total = parse_resources("cpus:32;mem:131072;disk:1000000;ports:[31000-32000]", "*")
        .expect("the text is right");
    let spec = AgentSpec::new(total);

    let mut times = Vec::new();
    times.push(timed(|| {
        for n in 0..agents {
            let id = AgentId::from(format!("agent-{n}"));
            allocator
                .add_agent(&id, &spec, &[])
                .expect("each id is new");
        }
    }));
    // Ten frameworks to a role.
    let roles = frameworks.div_ceil(10);
    for n in 0..frameworks {
        let spec = FrameworkSpec {
            roles: [format!("role-{}", n / 10)].into(),
            ..Default::default()
        };
        allocator.add_framework(&format!("framework-{n}").into(), &spec, true);
    }
    if let Some((_, guarantee, limit)) = quota {
        for n in 0..roles {
            let part = |of: i64, factor: i64| {
                Scalar::from_thousandths(of * agents as i64 / roles as i64 * factor)
            };
            let amounts = [
                ("cpus", part(32, guarantee)),
                ("mem", part(131_072, guarantee)),
            ];
            let limits = [("cpus", part(32, limit)), ("mem", part(131_072, limit))];
            let quota = Quota {
                guarantees: Quantities::from_iter(amounts),
                limits: limits.map(|(name, most)| (name.to_owned(), most)).into(),
            };
            allocator.set_quota(&format!("role-{n}"), quota);
        }
    }
    let mut longest = 0f64;
    let mut offers = Vec::new();
    times.push(timed(|| offers = run(&mut allocator, SECOND, &mut longest)));
    let usual = offers.len();
    times.push(timed(|| {
        give_back(&mut allocator, &offers, Some(5 * SECOND), SECOND);
    }));
    times.push(timed(|| offers = run(&mut allocator, SECOND, &mut longest)));

    // Up to ten rounds with every agent's filters growing; more would only take memory.
    for _ in 0..frameworks.min(10) {
        give_back(&mut allocator, &offers, Some(5 * SECOND), SECOND);
        offers = allocator.allocate(SECOND);
    }
    give_back(&mut allocator, &offers, Some(5 * SECOND), SECOND);
    times.push(timed(|| offers = run(&mut allocator, SECOND, &mut longest)));

    give_back(&mut allocator, &offers, Some(5 * SECOND), SECOND);
    times.push(timed(|| {
        offers = run(&mut allocator, 7 * SECOND, &mut longest);
    }));
    assert_eq!(offers.len(), usual);

    // Half of the agents are declined by all; then somebody comes who wants them.
    let mut half = offers.split_off(usual / 2);
    for _ in 0..=frameworks.min(20) {
        give_back(&mut allocator, &half, Some(5 * SECOND), 7 * SECOND);
        half = allocator.allocate(7 * SECOND);
        if half.is_empty() {
            break;
        }
    }
    let spec = FrameworkSpec {
        roles: ["role-0".to_owned()].into(),
        ..Default::default()
    };
    allocator.add_framework(&"new".into(), &spec, true);
    let mut taken = Vec::new();
    times.push(timed(|| {
        taken = run(&mut allocator, 7 * SECOND, &mut longest);
    }));
    offers.extend(half);
    offers.extend(taken);
    times.push(longest);

    let rounds = 1000;
    let mut freed = 0;
    times.push(
        timed(|| {
            for round in 0..rounds {
                let at = round % offers.len();
                give_back(&mut allocator, &offers[at..=at], None, 7 * SECOND);
                let mut again = allocator.allocate(7 * SECOND);
                freed += again.len();
                if let Some(again) = again.pop() {
                    offers[at] = again;
                } else {
                    offers.swap_remove(at);
                }
            }
        }) / f64::from(rounds as u32),
    );
    let rounds = rounds.min(offers.len());
    times.push(
        timed(|| {
            for offer in &offers[..rounds] {
                let offer = std::slice::from_ref(offer);
                give_back(&mut allocator, offer, Some(5 * SECOND), 7 * SECOND);
                allocator.allocate(7 * SECOND);
            }
        }) / f64::from(rounds.max(1) as u32),
    );
    let quota = quota.map_or("none", |(name, ..)| name);
    print!("{quota:>10}{agents:>10}{frameworks:>10}");
    for time in times {
        print!("{time:>10.3}");
    }
    println!();
}

/// All pieces of a run.
fn run(allocator: &mut Allocator, now: Duration, longest: &mut f64) -> Vec<OfferProposal> {
    let mut all = Vec::new();
    while allocator.next_wakeup().is_some_and(|at| at <= now) {
        let time = timed(|| all.extend(allocator.allocate_some(now, PIECE)));
        *longest = longest.max(time);
    }
    all
}

fn give_back(
    allocator: &mut Allocator,
    offers: &[OfferProposal],
    refusal: Option<Duration>,
    now: Duration,
) {
    for offer in offers {
        let (framework, agent) = (&offer.framework, &offer.agent);
        let answer = allocator.recover(framework, agent, &offer.resources, refusal, now);
        answer.expect("the offer is held");
    }
}

/// Milliseconds of processor time.
fn timed(work: impl FnOnce()) -> f64 {
    let start = ThreadTime::now();
    work();
    start.elapsed().as_secs_f64() * 1000.0
}
