//! All tasks that were asked for, and what must be true of each.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mesos_test_support::framework::{Framework, Launched};
use mesos_test_support::machine::{self, Process};
use mesos_test_support::scheduler::TERMINAL;
use mesos_test_support::task::Task;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;

/// How long all that was asked of tasks may take, once everything is back.
const SETTLED: Duration = Duration::from_secs(60);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a call that may have been lost is sent again.
const AGAIN: Duration = Duration::from_secs(1);

/// Whether a task that was in this state does not run again. One whose agent was called unreachable does.
fn is_end(state: &str) -> bool {
    state != "TASK_UNREACHABLE" && TERMINAL.contains(&state)
}

/// The first status of a task that says it has ended.
fn end(framework: &Framework, task: &str) -> Option<Value> {
    let notes = framework.notes();
    let mut all = notes.statuses.get(task)?.iter();
    all.find(|status| is_end(status["state"].as_str().unwrap_or_default()))
        .cloned()
}

/// Where a task should be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Should {
    /// Nobody knows yet whether it was launched.
    Settle,
    /// Run, as this process.
    Run(Process),
    /// End in this state.
    End(&'static str),
}

#[derive(Debug)]
struct Entry {
    agent: String,
    should: Should,
    /// The call was answered, so it must not be forgotten without a word.
    taken: bool,
}

/// The tasks of a framework. A task waits for an end of file in a pipe, and notes each of its starts.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    entries: BTreeMap<String, Entry>,
    next: usize,
    /// Tasks that ran to an end that was asked for, and those that were reported never to have run.
    pub ended: usize,
    /// See `ended`.
    pub refused: usize,
}

impl Ledger {
    /// No tasks; notes and pipes are kept in `folder`.
    pub fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("the cluster's own folder");
        Self {
            folder: folder.to_owned(),
            entries: BTreeMap::new(),
            next: 0,
            ended: 0,
            refused: 0,
        }
    }

    /// How many tasks are meant to run.
    pub fn running(&self) -> usize {
        let runs = |entry: &&Entry| matches!(entry.should, Should::Run(_));
        self.entries.values().filter(runs).count()
    }

    fn pipe(&self, task: &str) -> PathBuf {
        self.folder.join(format!("{task}.pipe"))
    }

    fn starts(&self, task: &str) -> usize {
        let notes = fs::read_to_string(self.folder.join(format!("{task}.starts")));
        notes.map(|text| text.lines().count()).unwrap_or(0)
    }

    fn processes(&self, task: &str) -> Vec<Process> {
        machine::running(&format!("cat {}", self.pipe(task).display()))
    }

    /// Tries to launch a task on that agent, or any. True: it was, or may have been, asked for.
    pub fn launch(&mut self, framework: &Framework, agent: Option<&str>) -> bool {
        let id = format!("task-{}", self.next);
        self.next += 1;
        mkfifo(&self.pipe(&id), Mode::S_IRWXU).expect("the cluster's own folder");
        let folder = self.folder.display();
        let script = format!("echo start >>{folder}/{id}.starts; exec cat {folder}/{id}.pipe");
        let task = Task::new(&id).shell(&script);
        let (agent, taken) = match framework.try_launch(task, agent) {
            Launched::No => return false,
            Launched::Yes(agent) => (agent, true),
            Launched::Perhaps(agent) => (agent, false),
        };
        let should = Should::Settle;
        let entry = Entry {
            agent,
            should,
            taken,
        };
        self.entries.insert(id, entry);
        true
    }

    /// Ends the `n`th task that runs, in one of three ways: killed by the framework, by its own exit, by a
    /// signal from outside.
    pub fn end(&mut self, framework: &Framework, n: usize, way: usize) {
        let mut running: Vec<(&String, &mut Entry)> = self
            .entries
            .iter_mut()
            .filter(|(_, entry)| matches!(entry.should, Should::Run(_)))
            .collect();
        if running.is_empty() {
            return;
        }
        let n = n % running.len();
        let (id, entry) = running.swap_remove(n);
        let Should::Run(process) = &entry.should else {
            return;
        };
        match way % 3 {
            0 => {
                framework.kill(id);
                entry.should = Should::End("TASK_KILLED");
            }
            1 => {
                // It reads the end of the file, and exits with 0. Without a reader there is nobody to end.
                let pipe = self.folder.join(format!("{id}.pipe"));
                let mut options = fs::OpenOptions::new();
                options.write(true).custom_flags(OFlag::O_NONBLOCK.bits());
                if options.open(pipe).is_err() {
                    return;
                }
                entry.should = Should::End("TASK_FINISHED");
            }
            _ => {
                process.kill_9();
                entry.should = Should::End("TASK_FAILED");
            }
        }
    }

    /// Waits until every task is where it should be, once all parts are back. What is not is a violation.
    /// `meanwhile` is called again and again, and says how much longer to wait.
    pub fn settle(
        &mut self,
        framework: &Framework,
        meanwhile: &mut dyn FnMut() -> Duration,
    ) -> Vec<String> {
        let began = Instant::now();
        let mut asked: Option<Instant> = None;
        let mut violations = Vec::new();
        loop {
            let ids: Vec<String> = self.entries.keys().cloned().collect();
            for id in ids {
                violations.extend(self.look(framework, &id));
            }
            let open: Vec<(String, String)> = self
                .entries
                .iter()
                .filter(|(_, entry)| !matches!(entry.should, Should::Run(_)))
                .map(|(id, entry)| (id.clone(), entry.agent.clone()))
                .collect();
            if open.is_empty() {
                return violations;
            }
            if began.elapsed() > SETTLED + meanwhile() {
                for (id, agent) in open {
                    violations.push(format!(
                        "{id} on {agent} should {:?} and is not accounted for; statuses: {:?}; starts: {}, processes: {:?}",
                        self.entries.remove(&id).map(|entry| entry.should),
                        states(framework, &id),
                        self.starts(&id),
                        self.processes(&id),
                    ));
                }
                return violations;
            }
            if asked.is_none_or(|asked| asked.elapsed() > AGAIN) {
                asked = Some(Instant::now());
                framework.reconcile(&open);
                for (id, _) in &open {
                    if self.entries[id].should == Should::End("TASK_KILLED") {
                        framework.kill(id);
                    }
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Looks at one task; moves it on, or says what is wrong with it.
    fn look(&mut self, framework: &Framework, id: &str) -> Option<String> {
        let starts = self.starts(id);
        let told = states(framework, id);
        let end = end(framework, id);
        let entry = self.entries.get(id)?;
        let (agent, taken) = (entry.agent.clone(), entry.taken);
        let wrong = |what: &str| {
            Some(format!(
                "{id} on {agent} (taken: {taken}): {what}; statuses: {told:?}; starts: {starts}; last: {:?}",
                framework.status(id)
            ))
        };
        if starts > 1 {
            self.entries.remove(id);
            return wrong("it was launched more than once");
        }
        match (&entry.should, end) {
            (Should::Run(process), None) if process.is_alive() => None,
            (Should::Run(_), None) => {
                self.entries.remove(id);
                wrong("its process is gone, and nobody was told")
            }
            (Should::Run(_), Some(_)) => {
                self.entries.remove(id);
                wrong("it was reported to have ended, and nobody had asked for that")
            }
            (Should::Settle, None) => {
                let mut processes = self.processes(id);
                if told.last().is_some_and(|state| state == "TASK_RUNNING") && processes.len() == 1
                {
                    let process = processes.remove(0);
                    if let Some(entry) = self.entries.get_mut(id) {
                        entry.should = Should::Run(process);
                    }
                }
                None
            }
            (Should::Settle, Some(_)) => {
                self.entries.remove(id);
                self.refused += 1;
                if starts > 0 || !self.processes(id).is_empty() {
                    return wrong("it was reported not to run, and was launched");
                }
                None
            }
            (Should::End(_), None) => None,
            (Should::End(state), Some(end)) => {
                let state = *state;
                let left = self.processes(id);
                if end["state"] == *state && !left.is_empty() {
                    // The kernel may take a moment; the next look finds it gone.
                    return None;
                }
                self.entries.remove(id);
                self.ended += 1;
                if end["state"] == *state {
                    None
                } else {
                    wrong(&format!("it should have ended as {state}"))
                }
            }
        }
    }

    /// Asks the master about every task: it must know those that run. `meanwhile` as in [`Self::settle`].
    pub fn reconcile(
        &mut self,
        framework: &Framework,
        meanwhile: &mut dyn FnMut() -> Duration,
    ) -> Vec<String> {
        let began = Instant::now();
        let answers = |id: &String| {
            let notes = framework.notes();
            let all = notes.statuses.get(id).into_iter().flatten();
            all.filter(|status| status["reason"] == "REASON_RECONCILIATION")
                .filter(|status| status["state"] == "TASK_RUNNING")
                .count()
        };
        let mut open: Vec<(String, String, usize)> = self
            .entries
            .iter()
            .map(|(id, entry)| (id.clone(), entry.agent.clone(), answers(id)))
            .collect();
        let mut asked: Option<Instant> = None;
        loop {
            open.retain(|(id, _, before)| answers(id) == *before);
            if open.is_empty() {
                return Vec::new();
            }
            if began.elapsed() > SETTLED + meanwhile() {
                let unknown = |(id, agent, _): &(String, String, usize)| {
                    format!("the master does not say that {id} on {agent} runs")
                };
                return open.iter().map(unknown).collect();
            }
            if asked.is_none_or(|asked| asked.elapsed() > AGAIN) {
                asked = Some(Instant::now());
                let tasks: Vec<(String, String)> = open
                    .iter()
                    .map(|(id, agent, _)| (id.clone(), agent.clone()))
                    .collect();
                framework.reconcile(&tasks);
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// How often a task was called unreachable.
pub fn unreachable(framework: &Framework) -> usize {
    let notes = framework.notes();
    let all = notes.statuses.keys().cloned().collect::<Vec<_>>();
    drop(notes);
    all.iter()
        .flat_map(|task| states(framework, task))
        .filter(|state| state == "TASK_UNREACHABLE")
        .count()
}

/// States of a task in the order they came, the same one in a row once.
fn states(framework: &Framework, task: &str) -> Vec<String> {
    let notes = framework.notes();
    let mut states: Vec<String> = notes
        .statuses
        .get(task)
        .into_iter()
        .flatten()
        .map(|status| status["state"].as_str().unwrap_or_default().to_owned())
        .collect();
    states.dedup();
    states
}

/// Tasks that were reported to run after they had been reported to have ended.
pub fn risen(framework: &Framework) -> Vec<String> {
    let notes = framework.notes();
    notes
        .statuses
        .iter()
        .filter_map(|(id, statuses)| {
            let states: Vec<&str> = statuses
                .iter()
                .map(|status| status["state"].as_str().unwrap_or_default())
                .collect();
            let end = states.iter().position(|state| is_end(state))?;
            let later = states.get(end..)?.iter().any(|state| !is_end(state));
            later.then(|| format!("{id} came back from its end: {states:?}"))
        })
        .collect()
}
