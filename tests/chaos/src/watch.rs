//! Asks every master all the time whether it leads: two at once are a violation, and so is none for long.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mesos_test_support::http;
use serde_json::json;

/// How long one master may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// Pause between two questions to the same master.
const PAUSE: Duration = Duration::from_millis(25);

/// A thread per master. Ended when dropped.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    seen: Mutex<Seen>,
    over: AtomicBool,
}

#[derive(Debug)]
struct Seen {
    /// The master id that answered last as the leader. Each candidacy has an id of its own.
    leader: Option<String>,
    /// Ids that led before it.
    deposed: HashSet<String>,
    /// When somebody answered last as the leader.
    last: Instant,
    /// Longest time without, since it was asked for.
    longest: Duration,
    /// Leaders since it was asked for, after the first.
    changes: usize,
    violations: Vec<String>,
}

impl Watch {
    /// Begins to ask.
    pub fn start(masters: Vec<SocketAddr>) -> Self {
        let shared = Arc::new(Shared {
            seen: Mutex::new(Seen {
                leader: None,
                deposed: HashSet::new(),
                last: Instant::now(),
                longest: Duration::ZERO,
                changes: 0,
                violations: Vec::new(),
            }),
            over: AtomicBool::new(false),
        });
        let ask = |master| {
            let shared = shared.clone();
            std::thread::spawn(move || {
                while !shared.over.load(Ordering::Acquire) {
                    shared.ask(master);
                    std::thread::sleep(PAUSE);
                }
            })
        };
        let threads = masters.into_iter().map(ask).collect();
        Self { shared, threads }
    }

    /// Longest time without a leader, and how often it changed, since this was asked last.
    pub fn outage(&self) -> (Duration, usize) {
        let mut seen = self.shared.seen();
        let longest = seen.longest.max(seen.last.elapsed());
        let changes = seen.changes;
        seen.longest = Duration::ZERO;
        seen.changes = 0;
        (longest, changes)
    }

    /// What was seen and must not be, since this was asked last.
    pub fn violations(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.seen().violations)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            // It shows its own panics.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, master: SocketAddr) {
        let before = self.seen().deposed.clone();
        let call = json!({"type": "GET_MASTER"}).to_string();
        let headers = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
        ];
        let answer =
            http::request_within(ANSWER, master, "POST", "/api/v1", &headers, call.as_bytes());
        let Some(answer) = answer.ok().filter(|answer| answer.status == 200) else {
            return;
        };
        let answer = answer.json();
        let id = answer["get_master"]["master_info"]["id"].as_str();
        let id = id.unwrap_or_default().to_owned();
        self.seen().note(master, id, &before);
    }
}

impl Seen {
    /// `before`: ids that had been deposed when the question was sent.
    fn note(&mut self, master: SocketAddr, id: String, before: &HashSet<String>) {
        if before.contains(&id) {
            self.violations.push(format!(
                "the master at {master} answers as leader {id} after another one was elected"
            ));
            return;
        }
        if self.deposed.contains(&id) {
            // Asked before the next one was seen: it may have led then.
            return;
        }
        let now = Instant::now();
        self.longest = self.longest.max(now - self.last);
        self.last = now;
        if self.leader.as_ref() != Some(&id) {
            self.changes += usize::from(self.leader.is_some());
            self.deposed.extend(self.leader.replace(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_of_the_past_is_told_from_a_late_answer() {
        let watch = Watch::start(Vec::new());
        let mut seen = watch.shared.seen();
        let at: SocketAddr = ([127, 0, 0, 1], 1).into();
        let none = HashSet::new();
        seen.note(at, "one".to_owned(), &none);
        seen.note(at, "two".to_owned(), &none);
        seen.note(at, "one".to_owned(), &none);
        assert!(seen.violations.is_empty() && seen.changes == 1);
        let before = seen.deposed.clone();
        seen.note(at, "one".to_owned(), &before);
        assert_eq!(seen.violations.len(), 1);
    }
}
