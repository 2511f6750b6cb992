//! Garbage collection: directories of what has ended go when they are old enough, sooner when the disk
//! fills up, never through a mount or a symbolic link.
//!
//! [`Schedule`] decides, and does no I/O; [`removal`] removes; [`Gc`] is the thread between them.

mod removal;
mod scan;
mod schedule;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

pub use removal::{RemovalError, remove};
pub(crate) use scan::directories;
pub use scan::{Found, leftovers};
pub use schedule::Schedule;

/// Settings of the collector.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file system that is watched.
    pub work_dir: PathBuf,
    /// Age at which a directory goes (`--gc_delay`).
    pub delay: Duration,
    /// Share of the disk to keep free (`--gc_disk_headroom`).
    pub headroom: f64,
    /// How often the disk is looked at (`--disk_watch_interval`).
    pub interval: Duration,
}

/// What the metrics of the same names show.
#[derive(Debug, Default)]
pub struct GcMetrics {
    succeeded: AtomicU64,
    failed: AtomicU64,
    /// In milliseconds; the present maximum age.
    max_age: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    state: Mutex<State>,
    changed: Condvar,
    metrics: GcMetrics,
}

#[derive(Debug)]
struct State {
    schedule: Schedule,
    removing: Option<PathBuf>,
    stop: bool,
}

/// The collector. Clones share it; its thread ends with [`stop`](Self::stop).
#[derive(Debug, Clone)]
pub struct Gc(Arc<Shared>);

impl Gc {
    /// Starts the thread. `removed` is told each directory that is gone.
    pub fn start(settings: Settings, removed: impl Fn(&Path) + Send + 'static) -> Self {
        let schedule = Schedule::new(settings.delay);
        let gc = Self(Arc::new(Shared {
            state: Mutex::new(State {
                schedule,
                removing: None,
                stop: false,
            }),
            changed: Condvar::new(),
            metrics: GcMetrics::default(),
            settings,
        }));
        let own = gc.clone();
        let thread = thread::Builder::new().name("gc".to_owned());
        if let Err(error) = thread.spawn(move || own.run(removed)) {
            tracing::error!(%error, "cannot start the thread that removes old sandboxes; they stay");
        }
        gc
    }

    /// Removes a directory once it is old enough, counted from now. Its modification time is set to
    /// now, so that a restart of the agent counts on from there.
    pub fn collect(&self, path: &Path) {
        let now = SystemTime::now();
        if let Ok(directory) = std::fs::File::open(path) {
            let times = std::fs::FileTimes::new().set_modified(now);
            if let Err(error) = directory.set_times(times) {
                tracing::debug!(path = %path.display(), %error, "cannot set a directory's time");
            }
        }
        self.collect_aged(path, Duration::ZERO);
    }

    /// The same, for a directory that has waited `age` already.
    pub fn collect_aged(&self, path: &Path, age: Duration) {
        let mut state = self.lock();
        let since = clock().saturating_sub(age);
        state.schedule.add(path.to_owned(), since);
        self.0.changed.notify_all();
    }

    /// Keeps a directory. Waits while it is being removed; it is then gone.
    pub fn keep(&self, path: &Path) {
        let mut state = self.lock();
        state.schedule.remove(path);
        while state
            .removing
            .as_deref()
            .is_some_and(|removing| removing == path || path.starts_with(removing))
        {
            state = self
                .0
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Directories that wait: `gc/path_removals_pending`.
    pub fn pending(&self) -> usize {
        self.lock().schedule.len()
    }

    /// Directories removed: `gc/path_removals_succeeded`.
    pub fn succeeded(&self) -> u64 {
        self.0.metrics.succeeded.load(Ordering::Relaxed)
    }

    /// Removals that failed: `gc/path_removals_failed`.
    pub fn failed(&self) -> u64 {
        self.0.metrics.failed.load(Ordering::Relaxed)
    }

    /// Age at which directories go at present: `slave/executor_directory_max_allowed_age_secs`.
    pub fn max_allowed_age(&self) -> Duration {
        Duration::from_millis(self.0.metrics.max_age.load(Ordering::Relaxed))
    }

    /// Ends the thread after the removal that is under way.
    pub fn stop(&self) {
        self.lock().stop = true;
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, removed: impl Fn(&Path)) {
        let settings = &self.0.settings;
        // As in Mesos, the first look is one interval after the start.
        let mut next_look = clock().saturating_add(settings.interval);
        loop {
            let mut state = self.lock();
            if state.stop {
                return;
            }
            let now = clock();
            if now >= next_look {
                drop(state);
                self.look();
                next_look = clock().saturating_add(settings.interval);
                continue;
            }
            if let Some(path) = state.schedule.pop(now) {
                state.removing = Some(path.clone());
                drop(state);
                let result = remove(&path);
                let mut state = self.lock();
                state.removing = None;
                match &result {
                    Ok(()) => {
                        state.schedule.removed(&path);
                        self.0.metrics.succeeded.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => {
                        state.schedule.failed(&path, clock());
                        self.0.metrics.failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
                self.0.changed.notify_all();
                drop(state);
                match result {
                    Ok(()) => removed(&path),
                    Err(error) => {
                        let text = crate::core::chain(&error);
                        tracing::warn!(path = %path.display(), error = %text, "an old directory cannot be removed; trying again later");
                    }
                }
                continue;
            }
            let next = state
                .schedule
                .next()
                .map_or(next_look, |due| due.min(next_look));
            let wait = next.saturating_sub(now).max(Duration::from_millis(1));
            let _ = self
                .0
                .changed
                .wait_timeout(state, wait)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Looks how full the disk is, and sets the age at which directories go by that.
    fn look(&self) {
        let settings = &self.0.settings;
        let used = match nix::sys::statvfs::statvfs(&settings.work_dir) {
            Ok(fs) => {
                let total = fs.blocks() as f64;
                if total > 0.0 {
                    // What only root may use counts as used, as in `df`.
                    1.0 - fs.blocks_available() as f64 / total
                } else {
                    0.0
                }
            }
            Err(error) => {
                tracing::warn!(%error, path = %settings.work_dir.display(), "cannot tell how full the disk is");
                return;
            }
        };
        let max_age = schedule::max_age(settings.delay, settings.headroom, used);
        let millis = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
        self.0.metrics.max_age.store(millis, Ordering::Relaxed);
        tracing::debug!(used, ?max_age, "looked at the disk");
        self.lock().schedule.set_max_age(max_age);
    }
}

/// Monotonic time of this process.
fn clock() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    // A margin, so that what is older than the process has a time too.
    const MARGIN: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    MARGIN + START.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_for(what: &str, mut check: impl FnMut() -> bool) {
        let start = Instant::now();
        while !check() {
            assert!(start.elapsed() < Duration::from_secs(10), "{what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn settings(work_dir: &Path, delay: Duration) -> Settings {
        Settings {
            work_dir: work_dir.to_owned(),
            delay,
            headroom: 0.0,
            interval: Duration::from_millis(20),
        }
    }

    #[test]
    fn old_directories_go_and_kept_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let gc = Gc::start(settings(dir.path(), Duration::from_millis(100)), |_| {});
        let (old, kept) = (dir.path().join("old"), dir.path().join("kept"));
        std::fs::create_dir_all(old.join("deep")).unwrap();
        std::fs::create_dir_all(&kept).unwrap();
        gc.collect(&kept);
        gc.keep(&kept);
        gc.collect(&old);
        wait_for("the old directory goes", || !old.exists());
        wait_for("it is counted", || gc.succeeded() == 1);
        assert!(kept.exists());
        assert_eq!(gc.pending(), 0);
        wait_for("the disk was looked at", || {
            gc.max_allowed_age() > Duration::ZERO
        });
        gc.stop();
    }
}
