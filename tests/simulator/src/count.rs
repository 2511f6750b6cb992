//! What a fleet has done so far.
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counters that all agents of a fleet share.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub registered: AtomicUsize,
    pub sessions: AtomicU64,
    pub pings: AtomicU64,
    pub launches: AtomicU64,
    pub updates: AtomicU64,
    pub resent: AtomicU64,
    pub acknowledged: AtomicU64,
    pub refused: AtomicU64,
    pub stale: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Agents with a welcomed session right now.
    pub registered: usize,
    /// Sessions that were welcomed.
    pub sessions: u64,
    /// Pings answered.
    pub pings: u64,
    /// Tasks the agents were told to run.
    pub launches: u64,
    /// Status updates sent, repetitions included.
    pub updates: u64,
    /// Of these, repetitions.
    pub resent: u64,
    /// Updates whose acknowledgement came.
    pub acknowledged: u64,
    /// Sessions that a master refused.
    pub refused: u64,
    /// Messages of a master of an older election, which were not obeyed.
    pub stale: u64,
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            registered: self.registered.load(Ordering::Relaxed),
            sessions: get(&self.sessions),
            pings: get(&self.pings),
            launches: get(&self.launches),
            updates: get(&self.updates),
            resent: get(&self.resent),
            acknowledged: get(&self.acknowledged),
            refused: get(&self.refused),
            stale: get(&self.stale),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
