//! Inverse offers: who is asked to give agents back, and when.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of test functions"
)]

use std::time::Duration;

use mesos_allocator::{
    AgentSpec, Allocator, AllocatorError, FrameworkSpec, InverseProposal, OfferProposal, Options,
};
use mesos_types::parse_resources;
use mesos_wire::v1::{
    self, TimeInfo, Unavailability,
    allocator::{InverseOfferStatus, inverse_offer_status::Status},
};

const SECOND: Duration = Duration::from_secs(1);

fn unavailability(start: i64) -> Unavailability {
    Unavailability {
        start: TimeInfo { nanoseconds: start },
        duration: None,
    }
}

fn answer(framework: &str, status: Status) -> InverseOfferStatus {
    InverseOfferStatus {
        status: status.into(),
        framework_id: v1::FrameworkId {
            value: framework.to_owned(),
        },
        timestamp: TimeInfo { nanoseconds: 7 },
    }
}

/// Two frameworks; `f` holds something on agents a0 and a1, `g` on a1 only.
struct Cluster {
    allocator: Allocator,
    offers: Vec<OfferProposal>,
}

impl Cluster {
    fn new() -> Self {
        let mut allocator = Allocator::new(Options::default());
        for (id, role) in [("f", "x"), ("g", "y")] {
            let spec = FrameworkSpec {
                roles: [role.to_owned()].into(),
                ..Default::default()
            };
            allocator.add_framework(&id.into(), &spec, true);
        }
        let used = |framework: &str, role: &str| {
            let task = parse_resources("cpus:1;mem:32", "*").unwrap();
            (framework.into(), task.allocated_to(role))
        };
        for (id, used) in [
            ("a0", vec![used("f", "x")]),
            ("a1", vec![used("f", "x"), used("g", "y")]),
        ] {
            let total = parse_resources("cpus:2;mem:64", "*").unwrap();
            let spec = AgentSpec {
                active: false,
                ..AgentSpec::new(total)
            };
            allocator.add_agent(&id.into(), &spec, &used).unwrap();
        }
        let offers = allocator.allocate(Duration::ZERO);
        Self { allocator, offers }
    }

    fn plan(&mut self, agent: &str, start: Option<i64>) {
        let start = start.map(unavailability);
        self.allocator
            .set_unavailability(&agent.into(), start)
            .unwrap();
    }

    /// Who is asked for which agent.
    fn asked(&mut self, now: Duration) -> Vec<String> {
        let proposals = self.allocator.inverse_offers(now);
        let shown = |proposal: &InverseProposal| {
            format!(
                "{} {} {}",
                proposal.framework, proposal.agent, proposal.unavailability.start.nanoseconds
            )
        };
        proposals.iter().map(shown).collect()
    }

    fn answer(&mut self, framework: &str, agent: &str, refused_for: Duration, now: Duration) {
        let status = answer(framework, Status::Decline);
        self.allocator
            .inverse_answered(&framework.into(), &agent.into(), status, refused_for, now)
            .unwrap();
    }
}

#[test]
fn those_who_hold_something_are_asked_once() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.offers, []);
    assert_eq!(cluster.asked(SECOND), [""; 0]);
    cluster.plan("a1", Some(5));
    assert_eq!(cluster.allocator.next_wakeup(), Some(Duration::ZERO));
    assert_eq!(cluster.asked(SECOND), ["f a1 5", "g a1 5"]);
    assert_eq!(cluster.asked(100 * SECOND), [""; 0]);
    assert_eq!(cluster.allocator.next_wakeup(), None);
    // Whoever comes to hold something there is asked then.
    let more = parse_resources("cpus:1", "*").unwrap().allocated_to("y");
    cluster.plan("a0", Some(6));
    assert_eq!(cluster.asked(SECOND), ["f a0 6"]);
    cluster
        .allocator
        .charge(&"g".into(), &"a0".into(), &more)
        .unwrap();
    assert_eq!(cluster.asked(SECOND), ["g a0 6"]);
}

#[test]
fn an_answer_is_kept_and_puts_off_the_next_question() {
    let mut cluster = Cluster::new();
    cluster.plan("a1", Some(5));
    let _ = cluster.asked(SECOND);
    cluster.answer("f", "a1", 10 * SECOND, SECOND);
    let statuses = cluster.allocator.inverse_statuses(&"a1".into());
    assert_eq!(statuses, [answer("f", Status::Decline)]);
    assert_eq!(cluster.asked(10 * SECOND), [""; 0]);
    assert_eq!(cluster.allocator.next_wakeup(), Some(11 * SECOND));
    assert_eq!(cluster.asked(11 * SECOND), ["f a1 5"]);
    // Zero is no hot loop.
    cluster.answer("f", "a1", Duration::ZERO, 11 * SECOND);
    assert_eq!(cluster.asked(11 * SECOND), [""; 0]);
    assert_eq!(cluster.asked(12 * SECOND), ["f a1 5"]);
    // One that was not asked has nothing to answer.
    let status = answer("g", Status::Accept);
    let allocator = &mut cluster.allocator;
    let error = allocator.inverse_answered(&"g".into(), &"a0".into(), status, SECOND, 12 * SECOND);
    let expected = AllocatorError::NoInverseOffer {
        framework: "g".into(),
        agent: "a0".into(),
    };
    assert_eq!(error, Err(expected));
}

#[test]
fn another_plan_starts_over_and_none_asks_nobody() {
    let mut cluster = Cluster::new();
    cluster.plan("a1", Some(5));
    let _ = cluster.asked(SECOND);
    cluster.answer("f", "a1", 1000 * SECOND, SECOND);
    cluster.plan("a1", Some(9));
    assert_eq!(cluster.allocator.inverse_statuses(&"a1".into()), []);
    assert_eq!(cluster.asked(SECOND), ["f a1 9", "g a1 9"]);
    let planned = cluster.allocator.unavailability(&"a1".into());
    assert_eq!(planned, Some(&unavailability(9)));
    cluster.plan("a1", None);
    assert_eq!(cluster.allocator.unavailability(&"a1".into()), None);
    assert_eq!(cluster.asked(5000 * SECOND), [""; 0]);
}

#[test]
fn one_that_is_away_is_asked_when_it_is_back_and_one_that_revives_again() {
    let mut cluster = Cluster::new();
    cluster.allocator.deactivate_framework(&"g".into()).unwrap();
    cluster.plan("a1", Some(5));
    assert_eq!(cluster.asked(SECOND), ["f a1 5"]);
    cluster.allocator.activate_framework(&"g".into()).unwrap();
    assert_eq!(cluster.asked(SECOND), ["g a1 5"]);
    // What was asked of one that goes away is asked again.
    cluster.allocator.deactivate_framework(&"g".into()).unwrap();
    cluster.allocator.activate_framework(&"g".into()).unwrap();
    assert_eq!(cluster.asked(SECOND), ["g a1 5"]);
    cluster.answer("f", "a1", 1000 * SECOND, SECOND);
    cluster.allocator.revive(&"f".into(), &[]).unwrap();
    assert_eq!(cluster.asked(SECOND), ["f a1 5"]);
    cluster
        .allocator
        .inverse_withdrawn(&"f".into(), &"a1".into())
        .unwrap();
    assert_eq!(cluster.asked(SECOND), ["f a1 5"]);
}

#[test]
fn those_who_gave_everything_back_or_are_gone_are_not_asked() {
    let mut cluster = Cluster::new();
    let task = parse_resources("cpus:1;mem:32", "*").unwrap();
    let now = Duration::ZERO;
    cluster
        .allocator
        .recover(
            &"f".into(),
            &"a1".into(),
            &task.allocated_to("x"),
            None,
            now,
        )
        .unwrap();
    cluster.allocator.remove_framework(&"g".into()).unwrap();
    cluster.plan("a1", Some(5));
    assert_eq!(cluster.asked(SECOND), [""; 0]);
    cluster.plan("a0", Some(5));
    cluster.allocator.remove_agent(&"a0".into()).unwrap();
    assert_eq!(cluster.asked(SECOND), [""; 0]);
    let gone = cluster.allocator.set_unavailability(&"a0".into(), None);
    assert_eq!(gone, Err(AllocatorError::UnknownAgent("a0".into())));
}
