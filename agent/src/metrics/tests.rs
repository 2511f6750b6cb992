//! Each metric is declared once, and something moves it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use imbl::{OrdMap, Vector};
use mesos_gc::GcConfig;
use mesos_types::{ContainerId, ExecutorId, FrameworkId, parse_resources};
use mesos_wire::v1::{self, TaskState};

use super::*;
use crate::state::{AgentState, Executor, ExecutorKind, ExecutorPhase, Framework, Task, TaskPlace};

fn idle() -> AgentState {
    let resources = parse_resources("cpus:4;gpus:2;mem:4096;disk:100", "*").unwrap();
    AgentState::new(v1::AgentInfo::default(), resources, wall_clock() - 100.0)
}

fn task(name: &str, place: TaskPlace, state: TaskState) -> Arc<Task> {
    let resources = parse_resources("cpus:0.5;gpus:1;mem:64;disk:10", "*").unwrap();
    let info = v1::TaskInfo {
        task_id: v1::TaskId {
            value: name.to_owned(),
        },
        ..Default::default()
    };
    Arc::new(Task {
        place,
        state,
        ..Task::new(info, resources, 0.0)
    })
}

fn executor(name: &str, phase: ExecutorPhase, tasks: &[Arc<Task>]) -> Arc<Executor> {
    Arc::new(Executor {
        id: ExecutorId::from(name),
        kind: ExecutorKind::Custom,
        phase,
        info: Arc::default(),
        container: ContainerId::from(name),
        sandbox: PathBuf::new(),
        status: None,
        tasks: tasks.iter().map(|t| (t.id.clone(), t.clone())).collect(),
        completed_tasks: Vector::new(),
    })
}

/// Something of everything.
fn busy() -> AgentState {
    let mut framework = Framework::new(FrameworkId::from("F"), v1::FrameworkInfo::default());
    let running = [
        task("staging", TaskPlace::Queued, TaskState::TaskStaging),
        task("starting", TaskPlace::Launched, TaskState::TaskStarting),
        task("running", TaskPlace::Launched, TaskState::TaskRunning),
        task("killing", TaskPlace::Launched, TaskState::TaskKilling),
        task("ended", TaskPlace::Ended, TaskState::TaskFinished),
    ];
    framework.executors = OrdMap::from_iter(
        [
            executor("a", ExecutorPhase::Running, &running),
            executor("b", ExecutorPhase::Registering, &[]),
            executor("c", ExecutorPhase::Terminating, &[]),
            executor("d", ExecutorPhase::Terminated, &running[4..]),
        ]
        .map(|executor| (executor.id.clone(), executor)),
    );
    let mut state = idle();
    state.phase = Phase::Registered;
    state.started -= 1.0;
    state.recovery_secs = Some(0.5);
    state.resources = parse_resources("cpus:8;gpus:4;mem:8192;disk:200", "*").unwrap();
    state
        .frameworks
        .insert(framework.id.clone(), Arc::new(framework));
    state.counters = Counters {
        tasks_failed: 1,
        tasks_finished: 2,
        tasks_gone: 3,
        tasks_killed: 4,
        tasks_lost: 5,
        executors_terminated: 6,
        valid_status_updates: 7,
        invalid_status_updates: 8,
        valid_framework_messages: 9,
        invalid_framework_messages: 10,
        container_launch_errors: 11,
        recovery_errors: 12,
        ..Counters::default()
    };
    state
}

fn collector(work_dir: &Path) -> Gc {
    Gc::start(GcConfig {
        work_dir: work_dir.to_owned(),
        gc_delay: Duration::from_secs(1000),
        disk_headroom: 0.1,
        disk_watch_interval: Duration::from_secs(60),
    })
}

#[tokio::test]
async fn each_is_declared_once_and_says_what_it_means() {
    let names: Vec<&str> = STATE
        .iter()
        .map(|m| m.0)
        .chain(COUNTERS.iter().map(|m| m.0))
        .chain(GC.iter().map(|m| m.0))
        .chain(HOST.iter().map(|m| m.0))
        .chain(PARTS.iter().map(|m| m.0))
        .chain(["slave/uptime_secs", "slave/recovery_time_secs"])
        .collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(unique.len(), names.len());
    let dir = tempfile::tempdir().unwrap();
    let metrics = Metrics::new();
    declare(
        &metrics,
        &Snapshots::new(idle()),
        &collector(dir.path()),
        &[],
    );
    let help = metrics.help();
    assert_eq!(
        help.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        unique
    );
    assert!(help.values().all(|text| text.ends_with('.')), "{help:?}");
}

#[tokio::test]
async fn each_follows_what_it_is_about() {
    let dir = tempfile::tempdir().unwrap();
    let (metrics, snapshots, gc) = (
        Metrics::new(),
        Snapshots::new(idle()),
        collector(dir.path()),
    );
    let pulled = Arc::new(AtomicU32::new(0));
    let (pulls, fetcher): (Source, Source) = (
        {
            let pulled = pulled.clone();
            Arc::new(move || {
                let millis = f64::from(pulled.load(Ordering::Relaxed));
                BTreeMap::from([("containerizer/docker/image_pull_ms".to_owned(), millis)])
            })
        },
        {
            let pulled = pulled.clone();
            Arc::new(move || {
                let count = f64::from(pulled.load(Ordering::Relaxed));
                let counts = PARTS[1..].iter().map(|part| (part.0.to_owned(), count));
                counts.chain([("not/declared".to_owned(), 1.0)]).collect()
            })
        },
    );
    declare(&metrics, &snapshots, &gc, &[pulls, fetcher]);
    let before = metrics.snapshot();
    assert!(!before.contains_key("slave/recovery_time_secs"));
    assert!(!before.contains_key("containerizer/docker/image_pull_ms"));
    assert_eq!(before["containerizer/fetcher/task_fetches_failed"], 0.0);
    pulled.store(7, Ordering::Relaxed);
    snapshots.publish(busy());
    let sandbox = dir.path().join("slaves/S/frameworks/F");
    fs::create_dir_all(&sandbox).unwrap();
    gc.schedule(&sandbox).await.unwrap();
    // Answers come after what was asked before them.
    gc.unschedule(&dir.path().join("slaves/other")).await;
    let after = metrics.snapshot();
    let same: Vec<&String> = after
        .iter()
        .filter(|(name, value)| before.get(*name) == Some(value))
        .map(|(name, _)| name)
        // Of the host, of time, and of removals, which `mesos_gc` tests itself.
        .filter(|name| !name.starts_with("system/") && !name.starts_with("gc/path_removals_"))
        .filter(|name| *name != "slave/executor_directory_max_allowed_age_secs")
        .collect();
    assert!(same.is_empty(), "nothing moves these: {same:?}");
    for (name, value) in [
        ("slave/tasks_staging", 1.0),
        ("slave/tasks_starting", 1.0),
        ("slave/tasks_running", 1.0),
        ("slave/tasks_killing", 1.0),
        ("slave/executors_registering", 1.0),
        ("slave/executors_running", 1.0),
        ("slave/executors_terminating", 1.0),
        ("slave/frameworks_active", 1.0),
        ("slave/cpus_used", 2.0),
        ("slave/cpus_percent", 0.25),
        ("slave/gpus_used", 4.0),
        ("slave/mem_used", 256.0),
        ("slave/disk_percent", 0.2),
        ("slave/tasks_lost", 5.0),
        ("slave/recovery_time_secs", 0.5),
        ("gc/path_removals_pending", 1.0),
        ("containerizer/docker/image_pull_ms", 7.0),
    ] {
        assert_eq!(after[name], value, "{name}");
    }
    assert!(!after.contains_key("not/declared"));
    assert!(after["system/mem_total_bytes"] > after["system/mem_free_bytes"]);
    assert!(after["slave/executor_directory_max_allowed_age_secs"] > 0.0);
}

/// Sources of the agent by path, without those of this module.
fn sources() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    let mut left = vec![root.clone()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if !path.starts_with(root.join("metrics")) {
                let text = fs::read_to_string(&path).unwrap();
                found.insert(path, text);
            }
        }
    }
    found
}

#[test]
fn something_counts_what_is_shown_as_counted() {
    let sources = sources();
    let anywhere = |text: &str| sources.values().any(|source| source.contains(text));
    for (name, _, _) in COUNTERS {
        let field = name.trim_start_matches("slave/");
        let direct = anywhere(&format!("counters.{field} += "));
        // Ends of tasks are counted by one function, which something has to call.
        let ended = field.starts_with("tasks_")
            && anywhere(&format!("self.{field} += 1"))
            && anywhere("counters.ended(");
        assert!(direct || ended, "nothing counts {name}");
    }
}
