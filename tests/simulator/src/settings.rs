//! How the simulated agents are to behave.
use std::time::Duration;

/// What becomes of a task that an agent is told to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskLife {
    /// Whether TASK_STARTING comes before TASK_RUNNING, as command tasks have it.
    pub starting: bool,
    /// From the launch to TASK_RUNNING; zero: at once.
    pub running_after: Duration,
    /// From TASK_RUNNING to TASK_FINISHED; `None`: it runs until it is killed.
    pub finished_after: Option<Duration>,
}

impl Default for TaskLife {
    fn default() -> Self {
        Self {
            starting: false,
            running_after: Duration::ZERO,
            finished_after: None,
        }
    }
}

/// A fleet of agents.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many agents.
    pub agents: usize,
    /// Connections that their sessions share. A master takes a bounded number of sessions per connection
    /// (4096 by default), so there are at least `agents / 2000` whatever is asked for.
    pub connections: usize,
    /// Scalar resources of each agent, by name.
    pub scalars: Vec<(String, f64)>,
    /// Ports of each agent, both ends included.
    pub ports: (u64, u64),
    /// The life of its tasks.
    pub life: TaskLife,
    /// An update without an acknowledgement is sent again after this time.
    pub resend_after: Duration,
    /// Longest pause between two attempts to reach a master; the first comes at once.
    pub retry_at_most: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            agents: 1,
            connections: 1,
            scalars: [("cpus", 64.0), ("mem", 262_144.0), ("disk", 1_000_000.0)]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            ports: (31_000, 32_000),
            life: TaskLife::default(),
            resend_after: Duration::from_secs(10),
            retry_at_most: Duration::from_millis(200),
        }
    }
}

/// Sessions that one connection carries at most.
const SESSIONS_PER_CONNECTION: usize = 2000;

impl Settings {
    pub(crate) fn connections(&self) -> usize {
        self.connections
            .max(self.agents.div_ceil(SESSIONS_PER_CONNECTION))
            .max(1)
    }
}
