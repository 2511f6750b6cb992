//! All simulated agents together.
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    agent::{Agent, Shared},
    count::{Counters, Counts},
    pool::Pool,
    settings::Settings,
};

/// Agents that run until the fleet is dropped or stopped.
pub struct Fleet {
    shared: Arc<Shared>,
    reconnect: watch::Sender<u64>,
    agents: JoinSet<()>,
}

impl Fleet {
    /// Starts all agents at once. `masters` holds `host:port` of where masters may be, the likeliest first,
    /// and may change at any time; agents without a session try them in turn.
    pub fn start(settings: Settings, masters: watch::Receiver<Vec<String>>) -> Self {
        let (reconnect, asked) = watch::channel(0);
        let count = settings.agents;
        let shared = Arc::new(Shared {
            pool: Pool::new(settings.connections()),
            settings,
            counters: Counters::default(),
            masters,
            reconnect: asked,
            stop: CancellationToken::new(),
        });
        let mut agents = JoinSet::new();
        for number in 0..count {
            agents.spawn(Agent::new(number).run(shared.clone()));
        }
        Self {
            shared,
            reconnect,
            agents,
        }
    }

    /// A fleet of one fixed master.
    pub fn of(settings: Settings, master: &str) -> Self {
        // The sender may go: the last value stays.
        Self::start(settings, watch::channel(vec![master.to_owned()]).1)
    }

    /// What the agents have done.
    pub fn counts(&self) -> Counts {
        self.shared.counters.read()
    }

    /// Every agent leaves its session and opens a new one.
    pub fn reconnect(&self) {
        self.reconnect.send_modify(|times| *times += 1);
    }

    /// Waits until `so` holds for the counts, and says how long that took. `None` after `at_most`.
    pub async fn wait(
        &self,
        at_most: Duration,
        so: impl Fn(&Counts) -> bool + Send,
    ) -> Option<Duration> {
        let begun = Instant::now();
        while !so(&self.counts()) {
            if begun.elapsed() > at_most {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Some(begun.elapsed())
    }

    /// Ends all sessions and waits for the agents to end.
    pub async fn stop(mut self) {
        self.shared.stop.cancel();
        while self.agents.join_next().await.is_some() {}
    }
}
