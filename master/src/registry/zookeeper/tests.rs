//! A leader that dies between any two requests of a large change.
use std::time::Duration;

use mesos_test_support::ZooKeeper as Servers;
use mesos_wire::v1::{
    MachineId, MachineInfo,
    maintenance::{Schedule, Window},
};

use super::*;
use crate::registry::MachineKey;

/// A schedule in which every machine is, and their modes.
fn maintenance(machines: usize) -> Change {
    let ids: Vec<MachineId> = (0..machines)
        .map(|n| MachineId {
            hostname: Some(format!("host-{machines}-{n:06}.example.org")),
            ip: None,
        })
        .collect();
    let modes = ids.iter().map(|id| {
        let info = MachineInfo {
            id: id.clone(),
            ..MachineInfo::default()
        };
        (MachineKey::from(id), info)
    });
    Change::Maintenance {
        machines: modes.collect(),
        schedule: Some(Schedule {
            windows: vec![Window {
                machine_ids: ids,
                ..Window::default()
            }],
        }),
        removed: Vec::new(),
    }
}

/// The same, as it is read.
fn kept(registry: &Registry) -> usize {
    let scheduled = registry
        .schedule
        .iter()
        .flat_map(|schedule| &schedule.windows);
    let scheduled: usize = scheduled.map(|window| window.machine_ids.len()).sum();
    assert_eq!(scheduled, registry.machines.len());
    scheduled
}

struct Term {
    taken: takeover::Taken,
    requests: VecDeque<plan::Multi>,
}

impl Term {
    async fn begin(settings: &ZooKeeperSettings) -> Self {
        let epoch = Epoch {
            election: 0,
            master: "m".to_owned(),
            address: "a".to_owned(),
            holder: uuid::Uuid::new_v4().to_string(),
            sequence: 0,
        };
        let layout = Layout::new(&settings.path);
        let taken = takeover::take_over(settings, &layout, epoch).await;
        Self {
            taken: taken.unwrap(),
            requests: VecDeque::new(),
        }
    }

    fn plan(&mut self, change: &Change) {
        let steps = entries::steps(change);
        let plan = &mut self.taken.loaded.plan;
        plan.add(&steps, None, &mut self.requests);
    }

    /// Makes the first `count` requests and comes back with how many there were.
    async fn make(&mut self, settings: &ZooKeeperSettings, count: usize) -> usize {
        let layout = Layout::new(&settings.path);
        for multi in self.requests.drain(..count.min(self.requests.len())) {
            let Term { taken, .. } = self;
            taken.epoch.sequence += 1;
            taken.version = request::send(
                &taken.client,
                &layout,
                &settings.access(),
                &taken.epoch,
                taken.version,
                &multi.operations,
            )
            .await
            .unwrap();
        }
        self.requests.len()
    }
}

#[tokio::test]
async fn a_large_change_that_was_cut_short_is_dropped_or_finished_by_the_next_leader() {
    let servers = Servers::standalone();
    let settings = ZooKeeperSettings {
        servers: servers.connect_string(),
        path: "/mesos".to_owned(),
        credentials: None,
        session_timeout: Duration::from_secs(6),
        fetch_timeout: Duration::from_secs(60),
        store_timeout: Duration::from_secs(60),
    };
    let (small, large) = (maintenance(2_000), maintenance(5_000));
    let mut outcomes = Vec::new();
    for made in 0.. {
        let mut term = Term::begin(&settings).await;
        term.plan(&small);
        assert_eq!(term.make(&settings, usize::MAX).await, 0);
        term.plan(&large);
        let left = term.make(&settings, made).await;
        drop(term);
        let next = Term::begin(&settings).await;
        assert!(next.taken.loaded.journal.is_empty());
        outcomes.push(kept(&next.taken.loaded.registry));
        if left == 0 {
            break;
        }
    }
    // Nothing of it until it is written down, all of it from then on.
    let dropped = outcomes
        .iter()
        .filter(|machines| **machines == 2_000)
        .count();
    assert!(dropped > 2 && outcomes.len() > dropped + 2, "{outcomes:?}");
    let expected = |index| if index < dropped { 2_000 } else { 5_000 };
    for (index, machines) in outcomes.iter().enumerate() {
        assert_eq!(*machines, expected(index), "{outcomes:?}");
    }
}
