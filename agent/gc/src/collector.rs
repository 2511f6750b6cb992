//! Keeps the list of directories to remove, and removes them when their time has come.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use nix::sys::statvfs::statvfs;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, sleep_until},
};

use crate::{max_allowed_age, remove_tree};

/// Pause before a failed removal is tried again; doubles up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_secs(10);
/// Longest pause between two tries.
const RETRY_MAX: Duration = Duration::from_secs(600);
/// Requests that may wait for the collector.
const QUEUE: usize = 1024;

/// What decides when a directory goes.
#[derive(Debug, Clone)]
pub struct GcConfig {
    /// The agent's `--work_dir`.
    pub work_dir: PathBuf,
    /// `--gc_delay`: greatest age of a directory.
    pub gc_delay: Duration,
    /// `--gc_disk_headroom`: share of the disk to keep free, from 0 to 1.
    pub disk_headroom: f64,
    /// `--disk_watch_interval`: how often the disk's use is looked at.
    pub disk_watch_interval: Duration,
}

/// What the collector has done, for metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// Directories that wait: `gc/path_removals_pending`.
    pub pending: u64,
    /// Directories removed: `gc/path_removals_succeeded`.
    pub succeeded: u64,
    /// Removals that failed, each try counted: `gc/path_removals_failed`.
    pub failed: u64,
    /// Age from which directories go at present, in seconds:
    /// `slave/executor_directory_max_allowed_age_secs`.
    pub max_allowed_age_secs: f64,
}

/// A path that is not the collector's business.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not below `slaves` or `meta/slaves` of the work_dir and is never removed")]
pub struct NotCollectable(PathBuf);

#[derive(Debug, Default)]
struct Counters {
    pending: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    max_age_millis: AtomicU64,
}

enum Request {
    Schedule(PathBuf),
    Unschedule(PathBuf, oneshot::Sender<bool>),
}

/// Handle of a running collector. Cheap to clone; the collector ends with the last handle.
#[derive(Debug, Clone)]
pub struct Gc {
    requests: mpsc::Sender<Request>,
    counters: Arc<Counters>,
    work_dir: Arc<Path>,
}

impl Gc {
    /// Starts a collector on the current runtime. The first look at the disk comes after one
    /// `disk_watch_interval`.
    pub fn start(config: GcConfig) -> Self {
        let (requests, inbox) = mpsc::channel(QUEUE);
        let counters = Arc::<Counters>::default();
        counters.set_max_age(max_allowed_age(config.gc_delay, config.disk_headroom, 0.0));
        let work_dir = config.work_dir.clone().into();
        let collector = Collector {
            config,
            counters: counters.clone(),
            scheduled: BTreeMap::new(),
            running: None,
        };
        tokio::spawn(collector.run(inbox));
        Self {
            requests,
            counters,
            work_dir,
        }
    }

    /// Has a directory removed after `gc_delay`, counted from now (its modification time is set).
    /// Scheduling it again starts anew.
    ///
    /// # Errors
    /// Anything outside of `slaves` and `meta/slaves`.
    pub async fn schedule(&self, path: &Path) -> Result<(), NotCollectable> {
        self.check(path)?;
        touch(path);
        self.send(Request::Schedule(path.to_owned())).await;
        Ok(())
    }

    /// Has a directory removed that ended before this agent started: its age so far counts.
    ///
    /// # Errors
    /// Anything outside of `slaves` and `meta/slaves`.
    pub async fn schedule_found(&self, path: &Path) -> Result<(), NotCollectable> {
        self.check(path)?;
        self.send(Request::Schedule(path.to_owned())).await;
        Ok(())
    }

    /// Keeps a directory after all. `false`: it was being removed; the answer then comes after
    /// that has ended.
    pub async fn unschedule(&self, path: &Path) -> bool {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Unschedule(path.to_owned(), answer))
            .await;
        answered.await.unwrap_or(true)
    }

    /// What has been done so far.
    pub fn statistics(&self) -> Statistics {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            pending: load(&self.counters.pending),
            succeeded: load(&self.counters.succeeded),
            failed: load(&self.counters.failed),
            max_allowed_age_secs: load(&self.counters.max_age_millis) as f64 / 1000.0,
        }
    }

    fn check(&self, path: &Path) -> Result<(), NotCollectable> {
        let clean = path
            .components()
            .all(|c| !matches!(c, std::path::Component::ParentDir));
        let below = |root: &str| {
            path.strip_prefix(self.work_dir.join(root))
                .is_ok_and(|rest| rest.iter().count() > 0)
        };
        if clean && (below("slaves") || below("meta/slaves")) {
            return Ok(());
        }
        Err(NotCollectable(path.to_owned()))
    }

    async fn send(&self, request: Request) {
        if self.requests.send(request).await.is_err() {
            tracing::debug!("the garbage collector has ended");
        }
    }
}

impl Counters {
    fn set_max_age(&self, age: Duration) {
        let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.max_age_millis.store(millis, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Scheduled {
    /// When it reaches `gc_delay`.
    due: Instant,
    /// Not before this, after a failure.
    not_before: Option<Instant>,
    failures: u32,
}

struct Running {
    path: PathBuf,
    done: JoinHandle<bool>,
    waiting: Vec<oneshot::Sender<bool>>,
    /// Was scheduled once more while it was being removed.
    again: bool,
    failures: u32,
}

struct Collector {
    config: GcConfig,
    counters: Arc<Counters>,
    scheduled: BTreeMap<PathBuf, Scheduled>,
    /// One removal at a time: they compete for the same disk.
    running: Option<Running>,
}

impl Collector {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        let period = self
            .config
            .disk_watch_interval
            .max(Duration::from_millis(1));
        let mut watch = tokio::time::interval_at(Instant::now() + period, period);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut horizon = Duration::ZERO;
        loop {
            self.start_next(horizon);
            let pending = self.scheduled.len() + usize::from(self.running.is_some());
            self.counters
                .pending
                .store(pending as u64, Ordering::Relaxed);
            let next = self.next_due(horizon);
            tokio::select! {
                request = inbox.recv() => match request {
                    Some(request) => self.handle(request),
                    None => return,
                },
                _ = watch.tick() => horizon = self.look_at_disk(),
                removed = wait(&mut self.running) => self.ended(removed),
                () = sleep_until(next.unwrap_or_else(far)), if next.is_some() => {}
            }
        }
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Schedule(path) => {
                if let Some(running) = self.running.as_mut().filter(|r| r.path == path) {
                    running.again = true;
                    return;
                }
                let due = Instant::now() + self.config.gc_delay.saturating_sub(age(&path));
                self.scheduled.insert(
                    path,
                    Scheduled {
                        due,
                        not_before: None,
                        failures: 0,
                    },
                );
            }
            Request::Unschedule(path, answer) => {
                if let Some(running) = self.running.as_mut().filter(|r| r.path == path) {
                    running.again = false;
                    running.waiting.push(answer);
                    return;
                }
                self.scheduled.remove(&path);
                let _ = answer.send(true);
            }
        }
    }

    /// How much earlier than `gc_delay` directories go at present.
    fn look_at_disk(&self) -> Duration {
        let usage = match statvfs(&self.config.work_dir) {
            Ok(fs) if fs.blocks() > 0 => 1.0 - fs.blocks_available() as f64 / fs.blocks() as f64,
            Ok(_) => return Duration::ZERO,
            Err(e) => {
                tracing::warn!(error = %e, work_dir = %self.config.work_dir.display(), "cannot look at the disk");
                return Duration::ZERO;
            }
        };
        let age = max_allowed_age(self.config.gc_delay, self.config.disk_headroom, usage);
        self.counters.set_max_age(age);
        tracing::debug!(usage, ?age, "looked at the disk");
        self.config.gc_delay.saturating_sub(age)
    }

    fn when(scheduled: &Scheduled, horizon: Duration) -> Instant {
        let due = scheduled
            .due
            .checked_sub(horizon)
            .unwrap_or_else(Instant::now);
        scheduled
            .not_before
            .map_or(due, |not_before| due.max(not_before))
    }

    fn next_due(&self, horizon: Duration) -> Option<Instant> {
        if self.running.is_some() {
            return None;
        }
        self.scheduled
            .values()
            .map(|s| Self::when(s, horizon))
            .min()
    }

    fn start_next(&mut self, horizon: Duration) {
        if self.running.is_some() {
            return;
        }
        let now = Instant::now();
        let next = self
            .scheduled
            .iter()
            .filter(|(_, s)| Self::when(s, horizon) <= now)
            .min_by_key(|(_, s)| Self::when(s, horizon))
            .map(|(path, _)| path.clone());
        let Some(path) = next else { return };
        let failures = self.scheduled.remove(&path).map_or(0, |s| s.failures);
        let (root, doomed) = (self.config.work_dir.clone(), path.clone());
        let done = tokio::task::spawn_blocking(move || match remove_tree(&root, &doomed) {
            Ok(()) => true,
            Err(e) => {
                let cause = std::error::Error::source(&e).map(ToString::to_string);
                tracing::warn!(path = %doomed.display(), error = %e, cause, "a directory could not be removed; trying again later");
                false
            }
        });
        self.running = Some(Running {
            path,
            done,
            waiting: Vec::new(),
            again: false,
            failures,
        });
    }

    fn ended(&mut self, removed: bool) {
        let Some(running) = self.running.take() else {
            return;
        };
        let counter = if removed {
            &self.counters.succeeded
        } else {
            &self.counters.failed
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if removed {
            tracing::info!(path = %running.path.display(), "removed a directory");
        }
        let kept = !running.waiting.is_empty();
        for waiting in running.waiting {
            let _ = waiting.send(false);
        }
        let now = Instant::now();
        if running.again {
            let due = now + self.config.gc_delay;
            let again = Scheduled {
                due,
                not_before: None,
                failures: 0,
            };
            self.scheduled.insert(running.path, again);
        } else if !removed && !kept {
            let pause = RETRY_FIRST
                .saturating_mul(1 << running.failures.min(10))
                .min(RETRY_MAX);
            let failures = running.failures + 1;
            let again = Scheduled {
                due: now,
                not_before: Some(now + pause),
                failures,
            };
            self.scheduled.insert(running.path, again);
        }
    }
}

async fn wait(running: &mut Option<Running>) -> bool {
    match running {
        Some(running) => (&mut running.done).await.unwrap_or(false),
        None => std::future::pending().await,
    }
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// Time since the last modification; nothing for a time in the future or a path that is not there.
fn age(path: &Path) -> Duration {
    let modified = std::fs::symlink_metadata(path).and_then(|m| m.modified());
    modified
        .ok()
        .and_then(|m| SystemTime::now().duration_since(m).ok())
        .unwrap_or_default()
}

fn touch(path: &Path) {
    let touched = std::fs::File::open(path).and_then(|dir| dir.set_modified(SystemTime::now()));
    if let Err(e) = touched {
        tracing::debug!(path = %path.display(), error = %e, "cannot set the modification time");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::mount::{MntFlags, MsFlags, mount, umount2};

    use super::*;

    fn sandbox(work_dir: &Path, name: &str) -> PathBuf {
        let path = work_dir.join("slaves/S0").join(name);
        fs::create_dir_all(path.join("sub")).unwrap();
        path
    }

    fn config(work_dir: &Path, gc_delay: Duration) -> GcConfig {
        GcConfig {
            work_dir: work_dir.to_owned(),
            gc_delay,
            disk_headroom: 0.0,
            disk_watch_interval: Duration::from_secs(3600),
        }
    }

    async fn until(what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..2000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{what} did not come true");
    }

    #[tokio::test]
    async fn a_directory_goes_after_the_delay_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let gc = Gc::start(config(dir.path(), Duration::from_millis(300)));
        let (old, kept) = (sandbox(dir.path(), "old"), sandbox(dir.path(), "kept"));
        gc.schedule(&old).await.unwrap();
        gc.schedule(&kept).await.unwrap();
        assert!(gc.unschedule(&kept).await);
        assert!(old.exists());
        until("removal", || !old.exists()).await;
        until("count", || {
            gc.statistics().succeeded == 1 && gc.statistics().pending == 0
        })
        .await;
        assert!(kept.exists());
    }

    #[tokio::test]
    async fn a_full_disk_hurries_and_age_counts_from_the_modification() {
        let dir = tempfile::tempdir().unwrap();
        let gc = Gc::start(GcConfig {
            disk_headroom: 1.0,
            disk_watch_interval: Duration::from_millis(50),
            ..config(dir.path(), Duration::from_secs(3600))
        });
        let path = sandbox(dir.path(), "a");
        gc.schedule_found(&path).await.unwrap();
        until("removal", || !path.exists()).await;
        assert_eq!(gc.statistics().max_allowed_age_secs, 0.0);
    }

    #[tokio::test]
    async fn only_sandboxes_and_their_records_are_collectable() {
        let dir = tempfile::tempdir().unwrap();
        let gc = Gc::start(config(dir.path(), Duration::ZERO));
        for outside in [
            "",
            "slaves",
            "meta/slaves",
            "volumes/roles/a/b",
            "slaves/../volumes/x",
            "meta/resources",
        ] {
            let path = dir.path().join(outside);
            assert!(gc.schedule(&path).await.is_err(), "{outside}");
        }
        assert!(
            gc.schedule(&dir.path().join("meta/slaves/S0"))
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn root_needed_a_failed_removal_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let gc = Gc::start(config(dir.path(), Duration::ZERO));
        let path = sandbox(dir.path(), "a");
        let none: Option<&str> = None;
        mount(
            Some("none"),
            &path.join("sub"),
            Some("tmpfs"),
            MsFlags::empty(),
            none,
        )
        .unwrap();
        gc.schedule(&path).await.unwrap();
        until("failure", || gc.statistics().failed == 1).await;
        umount2(&path.join("sub"), MntFlags::MNT_DETACH).unwrap();
        assert_eq!(gc.statistics().pending, 1);
        tokio::time::pause();
        tokio::time::advance(RETRY_MAX).await;
        tokio::time::resume();
        until("removal", || !path.exists()).await;
    }
}
