//! How long the allocator takes, in milliseconds, by agents and frameworks.
//!
//!     cargo run --release -p mesos-allocator --example allocator_bench
//!
//! Columns, each for the whole cluster unless it says "one":
//! add: agents come, nobody is there; first: the run that offers all of them; decline: all offers
//! come back with a filter of 5 s; next: the run that offers them to others; refused: the same
//! after up to ten such rounds; expire: all filters end, and the run after it; one: a task ends on
//! one agent, and what it frees is offered.

use std::time::{Duration, Instant};

use mesos_allocator::{AgentSpec, Allocator, FrameworkSpec, OfferProposal, Options};
use mesos_types::{AgentId, parse_resources};

fn main() {
    println!(
        "{:>7} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "agents", "frameworks", "add", "first", "decline", "next", "refused", "expire", "one"
    );
    for agents in [1_000, 10_000, 50_000] {
        for frameworks in [1, 10, 200] {
            bench(agents, frameworks);
        }
    }
}

fn bench(agents: usize, frameworks: usize) {
    let mut allocator = Allocator::new(Options::default());
    let total = parse_resources("cpus:32;mem:131072;disk:1000000;ports:[31000-32000]", "*")
        .expect("the text is right");
    let second = Duration::from_secs(1);

    let add = timed(|| {
        for n in 0..agents {
            let id = AgentId::from(format!("agent-{n}"));
            allocator
                .add_agent(&id, &AgentSpec::new(total.clone()), &[])
                .expect("each id is new");
        }
    });
    for n in 0..frameworks {
        // Ten frameworks to a role.
        let spec = FrameworkSpec {
            roles: [format!("role-{}", n / 10)].into(),
            ..Default::default()
        };
        allocator.add_framework(&format!("framework-{n}").into(), &spec, true);
    }
    let mut offers = Vec::new();
    let first = timed(|| offers = allocator.allocate(second));
    assert_eq!(offers.len(), agents);
    let decline = timed(|| give_back(&mut allocator, &offers, Some(5 * second), second));
    let next = timed(|| offers = allocator.allocate(second));

    // Up to ten rounds with every agent's filters growing; more would only take memory.
    for _ in 0..frameworks.min(10) {
        give_back(&mut allocator, &offers, Some(5 * second), second);
        offers = allocator.allocate(second);
    }
    let held: Vec<OfferProposal> = offers.clone();
    give_back(&mut allocator, &held, Some(5 * second), second);
    let refused = timed(|| offers = allocator.allocate(second));

    give_back(&mut allocator, &offers, Some(5 * second), second);
    let expire = timed(|| offers = allocator.allocate(7 * second));
    assert_eq!(offers.len(), agents);
    let rounds = 1000;
    let one = timed(|| {
        for round in 0..rounds {
            let at = round % offers.len();
            give_back(&mut allocator, &offers[at..=at], None, 7 * second);
            let mut again = allocator.allocate(7 * second);
            assert_eq!(again.len(), 1);
            offers[at] = again.remove(0);
        }
    }) / rounds as f64;
    println!(
        "{agents:>7} {frameworks:>10} {add:>9.2} {first:>9.2} {decline:>9.2} {next:>9.2} \
         {refused:>9.2} {expire:>9.2} {one:>9.4}"
    );
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

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1000.0
}
