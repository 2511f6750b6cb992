//! Which sandboxes clients may look into: those of the executors in the newest state.
//!
//! For each run of an executor its real path is attached; for the newest run also `.../runs/latest` beside
//! it, and `/frameworks/<framework>/executors/<executor>/runs/latest`. The agent's log is `/slave/log`.
//! Source of the paths: `Slave::executorLaunched` and `paths.cpp` of Apache Mesos 1.11.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use mesos_http::{
    Action, Authorizer, Object,
    files::{Files, Guard},
};
use mesos_types::{ContainerId, ExecutorId, FrameworkId};
use tokio_util::sync::CancellationToken;

use crate::state::{AgentState, Executor, Framework, Snapshots};

/// Longest time that a new sandbox may stay unknown to the table of files.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// Keeps the table of files in step with the state.
pub struct Follower {
    files: Files,
    authorizer: Arc<dyn Authorizer>,
    seen: HashMap<FrameworkId, Seen>,
}

/// What is attached for the executors of one framework.
#[derive(Default)]
struct Seen {
    /// The records that were looked at; the same ones again hold nothing new.
    records: Vec<Arc<Framework>>,
    runs: HashMap<ContainerId, PathBuf>,
    /// The newest run of each executor, with its virtual paths.
    latest: HashMap<ExecutorId, (ContainerId, [String; 2])>,
}

impl Follower {
    /// Attaches to `files`; who may look in is asked of `authorizer` on each access.
    pub fn new(files: Files, authorizer: Arc<dyn Authorizer>) -> Self {
        Self {
            files,
            authorizer,
            seen: HashMap::new(),
        }
    }

    /// Shows the agent's own log as `/slave/log`. It need not exist yet.
    pub fn attach_log(&self, log: &Path) {
        let authorizer = self.authorizer.clone();
        let guard: Guard = Arc::new(move |principal| {
            authorizer.authorize(principal, Action::AccessMesosLog, Object::Any)
        });
        self.files.attach("/slave/log", log, Some(guard));
    }

    /// Follows the state until `stop` fires. Cancel safe.
    pub async fn run(mut self, snapshots: Snapshots, stop: CancellationToken) {
        let mut changes = snapshots.changes();
        loop {
            let start = Instant::now();
            self.sync(&snapshots.load());
            // A sync looks at every executor. When tasks come by the hundred each second, several
            // changes share one, so that it takes a tenth of a processor at most.
            let rest = (start.elapsed() * 9).min(LONGEST_REST);
            if stop
                .run_until_cancelled(tokio::time::sleep(rest))
                .await
                .is_none()
            {
                return;
            }
            match stop.run_until_cancelled(changes.changed()).await {
                Some(Ok(())) => {}
                // `snapshots` is held here, so it cannot be gone.
                Some(Err(_)) | None => return,
            }
        }
    }

    /// Attaches what `state` has and is not attached, and detaches the rest.
    pub fn sync(&mut self, state: &AgentState) {
        // A framework that left and came back stands in both lists; what it runs now is newer.
        let mut records: HashMap<&FrameworkId, Vec<&Arc<Framework>>> = HashMap::new();
        let all = state.completed_frameworks.iter();
        for framework in all.chain(state.frameworks.values()) {
            records.entry(&framework.id).or_default().push(framework);
        }
        let gone: Vec<FrameworkId> = self
            .seen
            .keys()
            .filter(|id| !records.contains_key(id))
            .cloned()
            .collect();
        for id in gone {
            if let Some(mut seen) = self.seen.remove(&id) {
                self.sync_framework(&mut seen, &[]);
            }
        }
        for (id, records) in records {
            let mut seen = self.seen.remove(id).unwrap_or_default();
            let same = seen.records.len() == records.len()
                && seen
                    .records
                    .iter()
                    .zip(&records)
                    .all(|(a, b)| Arc::ptr_eq(a, b));
            if !same {
                self.sync_framework(&mut seen, &records);
                seen.records = records.into_iter().cloned().collect();
            }
            self.seen.insert(id.clone(), seen);
        }
    }

    fn sync_framework(&self, seen: &mut Seen, records: &[&Arc<Framework>]) {
        let mut runs: HashSet<&ContainerId> = HashSet::new();
        let mut latest: HashMap<&ExecutorId, (&Framework, &Executor)> = HashMap::new();
        for framework in records {
            // Oldest first, so that the newest run of an executor stays.
            let completed = framework.completed_executors.iter();
            for executor in completed.chain(framework.executors.values()) {
                if !seen.runs.contains_key(&executor.container) {
                    self.attach(&executor.sandbox.to_string_lossy(), framework, executor);
                    seen.runs
                        .insert(executor.container.clone(), executor.sandbox.clone());
                }
                runs.insert(&executor.container);
                latest.insert(&executor.id, (framework, executor));
            }
        }
        for (id, (framework, executor)) in &latest {
            let known = seen.latest.get(*id);
            if known.is_some_and(|(container, _)| *container == executor.container) {
                continue;
            }
            let paths = latest_paths(framework, executor);
            for path in &paths {
                self.attach(path, framework, executor);
            }
            seen.latest
                .insert((*id).clone(), (executor.container.clone(), paths));
        }
        if seen.runs.len() > runs.len() {
            seen.runs.retain(|container, sandbox| {
                let keep = runs.contains(container);
                if !keep {
                    self.files.detach(&sandbox.to_string_lossy());
                }
                keep
            });
        }
        if seen.latest.len() > latest.len() {
            seen.latest.retain(|id, (_, paths)| {
                let keep = latest.contains_key(id);
                if !keep {
                    paths.iter().for_each(|path| self.files.detach(path));
                }
                keep
            });
        }
    }

    fn attach(&self, path: &str, framework: &Framework, executor: &Executor) {
        let authorizer = self.authorizer.clone();
        let (info, of) = (executor.info.clone(), framework.info.clone());
        let guard: Guard = Arc::new(move |principal| {
            authorizer.authorize(
                principal,
                Action::AccessSandbox,
                Object::Executor(&info, &of),
            )
        });
        self.files.attach(path, &executor.sandbox, Some(guard));
    }
}

/// What leads to the newest run: beside it, and without the agent's own directories.
fn latest_paths(framework: &Framework, executor: &Executor) -> [String; 2] {
    let beside = executor.sandbox.with_file_name("latest");
    [
        beside.to_string_lossy().into_owned(),
        format!(
            "/frameworks/{}/executors/{}/runs/latest",
            framework.id, executor.id
        ),
    ]
}

#[cfg(test)]
mod tests {
    use imbl::{OrdMap, Vector};
    use mesos_http::AllowAll;
    use mesos_types::Resources;
    use mesos_wire::v1;

    use super::*;
    use crate::state::{ExecutorKind, ExecutorPhase};

    fn run(executor: &str, container: &str) -> Arc<Executor> {
        Arc::new(Executor {
            id: ExecutorId::from(executor),
            kind: ExecutorKind::Command,
            phase: ExecutorPhase::Running,
            info: Arc::default(),
            container: ContainerId::from(container),
            sandbox: PathBuf::from(format!("/w/{executor}/runs/{container}")),
            status: None,
            tasks: OrdMap::new(),
            completed_tasks: Vector::new(),
        })
    }

    fn framework(completed: &[(&str, &str)], current: &[(&str, &str)]) -> Arc<Framework> {
        let mut framework = Framework::new(FrameworkId::from("F"), v1::FrameworkInfo::default());
        framework.completed_executors = completed.iter().map(|(e, c)| run(e, c)).collect();
        for (executor, container) in current {
            let run = run(executor, container);
            framework.executors.insert(run.id.clone(), run);
        }
        Arc::new(framework)
    }

    fn state(completed: &[Arc<Framework>], current: &[Arc<Framework>]) -> AgentState {
        let mut state = AgentState::new(v1::AgentInfo::default(), Resources::new(), 0.0);
        state.completed_frameworks = completed.iter().cloned().collect();
        for framework in current {
            state
                .frameworks
                .insert(framework.id.clone(), framework.clone());
        }
        state
    }

    /// Attached paths without what they lead to, and what `latest` of executor `e` leads to.
    fn shown(files: &Files) -> (String, Option<String>) {
        let table = files.attached();
        let short = |path: &String| path.trim_start_matches("/w/").to_owned();
        let paths: Vec<String> = table
            .keys()
            .filter(|p| p.starts_with("/w/"))
            .map(short)
            .collect();
        let latest = table
            .get("/frameworks/F/executors/e/runs/latest")
            .map(short);
        (paths.join(" "), latest)
    }

    #[test]
    fn runs_come_and_go_with_the_state() {
        let files = Files::new();
        let mut follower = Follower::new(files.clone(), Arc::new(AllowAll));
        let first = framework(&[], &[("e", "c1")]);
        for (state, paths, latest) in [
            (
                state(&[], std::slice::from_ref(&first)),
                "e/runs/c1 e/runs/latest",
                Some("e/runs/c1"),
            ),
            // The same record again.
            (
                state(&[], &[first]),
                "e/runs/c1 e/runs/latest",
                Some("e/runs/c1"),
            ),
            // The run ends, and another one follows.
            (
                state(&[], &[framework(&[("e", "c1")], &[])]),
                "e/runs/c1 e/runs/latest",
                Some("e/runs/c1"),
            ),
            (
                state(&[], &[framework(&[("e", "c1")], &[("e", "c2")])]),
                "e/runs/c1 e/runs/c2 e/runs/latest",
                Some("e/runs/c2"),
            ),
            // The oldest one is forgotten.
            (
                state(&[], &[framework(&[("e", "c2")], &[])]),
                "e/runs/c2 e/runs/latest",
                Some("e/runs/c2"),
            ),
            // The framework leaves, and comes back with another executor.
            (
                state(&[framework(&[("e", "c2")], &[])], &[]),
                "e/runs/c2 e/runs/latest",
                Some("e/runs/c2"),
            ),
            (
                state(
                    &[framework(&[("e", "c2")], &[])],
                    &[framework(&[], &[("x", "c3")])],
                ),
                "e/runs/c2 e/runs/latest x/runs/c3 x/runs/latest",
                Some("e/runs/c2"),
            ),
            (
                state(
                    &[framework(&[("e", "c2")], &[])],
                    &[framework(&[], &[("e", "c4")])],
                ),
                "e/runs/c2 e/runs/c4 e/runs/latest",
                Some("e/runs/c4"),
            ),
            (state(&[], &[]), "", None),
        ] {
            follower.sync(&state);
            assert_eq!(shown(&files), (paths.to_owned(), latest.map(str::to_owned)));
        }
        assert_eq!(files.attached().len(), 0);
    }

    #[tokio::test]
    async fn a_published_state_is_followed_until_the_end() {
        let files = Files::new();
        let snapshots = Snapshots::new(state(&[], &[]));
        let stop = CancellationToken::new();
        let follower = Follower::new(files.clone(), Arc::new(AllowAll));
        let following = tokio::spawn(follower.run(snapshots.clone(), stop.clone()));
        snapshots.publish(state(&[], &[framework(&[], &[("e", "c1")])]));
        let attached = async {
            while files.attached().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), attached)
            .await
            .unwrap();
        stop.cancel();
        following.await.unwrap();
    }

    #[tokio::test]
    async fn who_may_not_see_a_sandbox_does_not() {
        struct OnlyRoot;
        impl Authorizer for OnlyRoot {
            fn authorize(
                &self,
                principal: Option<&str>,
                action: Action,
                object: Object<'_>,
            ) -> bool {
                assert!(matches!(
                    (action, object),
                    (Action::AccessSandbox, Object::Executor(..))
                        | (Action::AccessMesosLog, Object::Any)
                ));
                principal == Some("root")
            }
        }
        let files = Files::new();
        let mut follower = Follower::new(files.clone(), Arc::new(OnlyRoot));
        follower.attach_log(Path::new("/dev/null"));
        follower.sync(&state(&[], &[framework(&[], &[("e", "c1")])]));
        use mesos_http::files::FilesError;
        for path in [
            "/w/e/runs/c1",
            "/w/e/runs/latest",
            "/frameworks/F/executors/e/runs/latest",
            "/slave/log",
        ] {
            assert_eq!(
                files.list(path, None),
                Err(FilesError::Unauthorized),
                "{path}"
            );
            assert_ne!(
                files.list(path, Some("root")),
                Err(FilesError::Unauthorized),
                "{path}"
            );
        }
    }
}
