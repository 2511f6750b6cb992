//! What ZooKeeper does to itself: it is noticed, ended, and not held against the masters.

use std::time::{Duration, Instant};

use mesos_test_support::ZooKeeper;

/// How long ZooKeeper may carry out nothing before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks after ZooKeeper. See [`ZooKeeper::hangs`].
#[derive(Debug, Default)]
pub struct Hangs {
    looked: Option<Instant>,
    since: Option<Instant>,
    /// How often it hung.
    pub count: usize,
    /// For how long, in all.
    pub time: Duration,
}

impl Hangs {
    /// Looks, at most once a second. When it has hung for long its leader is killed and started again.
    pub fn look(&mut self, zookeeper: &ZooKeeper) {
        if self.looked.is_some_and(|looked| looked.elapsed() < PAUSE) {
            return;
        }
        self.looked = Some(Instant::now());
        if !zookeeper.hangs() {
            self.since = None;
            return;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() < PATIENCE {
            return;
        }
        println!("ZooKeeper has a leader and carries out nothing; its leader is restarted");
        if let Some(leader) = zookeeper.leader() {
            zookeeper.kill_9(leader);
        }
        zookeeper.restart_all();
        self.count += 1;
        self.time += since.elapsed();
        self.since = None;
    }
}
