//! Any change of a small world, so that the same keys meet often.
use mesos_master::registry::Change;
use mesos_types::AgentId;
use mesos_wire::v1::{DrainState, machine_info::Mode};
use proptest::prelude::*;

use super::samples;

fn id() -> impl Strategy<Value = AgentId> {
    prop::sample::select(vec!["a", "b", "c-S0", "d.", "..", "é/%", "S9 x"]).prop_map(AgentId::from)
}

fn role() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["dev", "eng", "eng/prod", "*", "ünicode"]).prop_map(str::to_owned)
}

fn quota() -> impl Strategy<Value = (String, Option<mesos_wire::v1::quota::QuotaConfig>)> {
    (
        role(),
        any::<Option<u8>>(),
        any::<Option<u8>>(),
        any::<bool>(),
    )
        .prop_map(|(role, guarantee, limit, there)| {
            let quota = samples::quota(&role, guarantee.map(f64::from), limit.map(f64::from));
            (role, there.then_some(quota))
        })
}

fn maintenance() -> impl Strategy<Value = Change> {
    let names = prop::collection::btree_set("[a-cA-C]?", 0..4);
    (names, any::<bool>(), prop::collection::vec(id(), 0..3)).prop_map(|(names, down, removed)| {
        let machines: Vec<_> = names
            .iter()
            .map(|name| samples::machine(name, "10.0.0.1"))
            .collect();
        let mode = if down { Mode::Down } else { Mode::Draining };
        samples::maintenance(&machines, mode, removed)
    })
}

pub fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (id(), 0..3_usize).prop_map(|(id, size)| {
            let info = samples::fat_agent(&id, size * 200_000);
            Change::Admit(id, Box::new(info))
        }),
        2 => (id(), any::<i64>()).prop_map(|(id, at)| Change::Unreachable(id, at)),
        1 => id().prop_map(Change::Remove),
        1 => prop::collection::vec(id(), 0..4).prop_map(Change::Forget),
        1 => (id(), any::<i64>()).prop_map(|(id, at)| Change::Gone(id, at)),
        1 => prop::collection::vec(id(), 0..4).prop_map(Change::ForgetGone),
        2 => (id(), any::<Option<bool>>(), any::<bool>()).prop_map(|(id, drain, deactivated)| {
            let drain = drain.map(|gone| samples::drain(DrainState::Draining, gone));
            Change::Drain(id, drain, deactivated)
        }),
        2 => prop::collection::vec(quota(), 0..3).prop_map(Change::Quotas),
        2 => prop::collection::vec((role(), 0.001..1000.0), 0..3).prop_map(Change::Weights),
        2 => maintenance(),
        1 => "[a-z]{1,8}".prop_map(|id| Change::Leader(Box::new(super::master(&id)))),
    ]
}

pub fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(change(), 0..40)
}
