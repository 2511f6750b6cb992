//! What is done to a part of the cluster, and how it is undone.

use std::fmt;

use mesos_test_support::HaCluster;
use mesos_test_support::relay::Relay;
use rand::Rng;
use rand::rngs::StdRng;

/// A part that can fail, counted from 0 within its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A master, and whether it leads when it is harmed.
    Master(usize, bool),
    /// A ZooKeeper server.
    Server(usize),
    /// An agent.
    Agent(usize),
    /// What connects the first master with ZooKeeper.
    Link,
    /// All masters.
    Masters,
    /// All ZooKeeper servers.
    Servers,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// SIGKILL; it is started again later.
    Kill,
    /// SIGTERM; it is started again later. Masters only.
    Stop,
    /// SIGSTOP; SIGCONT later.
    Freeze,
}

/// One failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Harm {
    /// To what.
    pub part: Part,
    /// How.
    pub how: How,
}

impl fmt::Display for Harm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            How::Kill => "kill",
            How::Stop => "stop",
            How::Freeze => "freeze",
        };
        let part = match self.part {
            Part::Master(_, true) => "the leading master",
            Part::Master(_, false) => "another master",
            Part::Server(_) => "a ZooKeeper server",
            Part::Agent(_) => "an agent",
            Part::Link => "a network",
            Part::Masters => "all masters",
            Part::Servers => "all ZooKeeper servers",
        };
        if self.part == Part::Link {
            return write!(out, "cut a master off from ZooKeeper");
        }
        write!(out, "{how} {part}")
    }
}

impl Harm {
    /// One of all that can happen. Half of it happens to masters, most of that to the one that leads.
    pub fn any(random: &mut StdRng, cluster: &HaCluster, leader: usize) -> Self {
        let part = match random.random_range(0..12) {
            0 | 1 => Part::Master(leader, true),
            2 | 3 => {
                let n = random.random_range(0..cluster.masters().len());
                Part::Master(n, n == leader)
            }
            4 | 5 => Part::Server(random.random_range(0..cluster.zookeeper().members().len())),
            6 | 7 => Part::Agent(random.random_range(0..cluster.agents().len())),
            8 | 9 => Part::Link,
            10 => Part::Masters,
            _ => Part::Servers,
        };
        let how = match (part, random.random_range(0..5)) {
            (Part::Link, _) | (_, 0 | 1) => How::Freeze,
            (Part::Master(..) | Part::Masters, 2) => How::Stop,
            (_, _) => How::Kill,
        };
        Self { part, how }
    }

    /// Whether both befall the same part.
    pub fn same_part(&self, other: &Self) -> bool {
        match (self.part, other.part) {
            (Part::Master(one, _), Part::Master(two, _))
            | (Part::Server(one), Part::Server(two))
            | (Part::Agent(one), Part::Agent(two)) => one == two,
            (Part::Masters, Part::Masters | Part::Master(..))
            | (Part::Master(..), Part::Masters)
            | (Part::Servers, Part::Servers | Part::Server(_))
            | (Part::Server(_), Part::Servers)
            | (Part::Link, Part::Link) => true,
            (Part::Master(..) | Part::Server(_) | Part::Agent(_) | Part::Link, _)
            | (Part::Masters | Part::Servers, _) => false,
        }
    }

    /// The single parts that it befalls.
    fn parts(&self, cluster: &HaCluster) -> Vec<Part> {
        match self.part {
            Part::Masters => (0..cluster.masters().len())
                .map(|n| Part::Master(n, false))
                .collect(),
            Part::Servers => (0..cluster.zookeeper().members().len())
                .map(Part::Server)
                .collect(),
            one @ (Part::Master(..) | Part::Server(_) | Part::Agent(_) | Part::Link) => vec![one],
        }
    }

    /// Whether all masters are away at once, or too many ZooKeeper servers for a quorum of three.
    pub fn leave_no_leader(harms: &[Self]) -> bool {
        let servers = |harm: &&Self| matches!(harm.part, Part::Server(_));
        harms
            .iter()
            .any(|harm| matches!(harm.part, Part::Masters | Part::Servers))
            || harms.iter().filter(servers).count() > 1
    }

    /// Does it.
    pub fn strike(&self, cluster: &mut HaCluster) {
        for part in self.parts(cluster) {
            match (part, self.how) {
                (Part::Master(n, _), How::Kill) => cluster.kill_9_master(n),
                (Part::Master(n, _), How::Stop) => cluster.stop_master(n),
                (Part::Master(n, _), How::Freeze) => cluster.freeze_master(n),
                (Part::Server(n), How::Kill | How::Stop) => cluster.zookeeper().kill_9(n),
                (Part::Server(n), How::Freeze) => cluster.zookeeper().freeze(n),
                (Part::Agent(n), How::Kill | How::Stop) => cluster.kill_9_agent(n),
                (Part::Agent(n), How::Freeze) => cluster.freeze_agent(n),
                (Part::Link, _) => cluster.relays().iter().for_each(Relay::cut),
                (Part::Masters | Part::Servers, _) => {}
            }
        }
    }

    /// What the process's supervisor would do, or the host that goes on after it hung.
    pub fn undo(&self, cluster: &mut HaCluster) {
        for part in self.parts(cluster) {
            match (part, self.how) {
                (Part::Master(n, _), How::Freeze) => cluster.wake_master(n),
                (Part::Master(n, _), How::Kill | How::Stop) => cluster.start_master(n),
                (Part::Server(n), How::Freeze) => cluster.zookeeper().thaw(n),
                // All of them: one alone does not serve when its quorum is gone.
                (Part::Server(_), How::Kill | How::Stop) => cluster.zookeeper().restart_all(),
                (Part::Agent(n), How::Freeze) => cluster.wake_agent(n),
                (Part::Agent(n), How::Kill | How::Stop) => cluster.start_agent(n),
                (Part::Link, _) => cluster.relays().iter().for_each(Relay::heal),
                (Part::Masters | Part::Servers, _) => {}
            }
        }
    }
}
