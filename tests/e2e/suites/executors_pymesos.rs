//! PyPI's pymesos 0.3.15, a framework and executor library nobody here wrote.
//!
//! Each script in `pymesos/` plays one part and exits with 0 when all was as it should be.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use mesos_test_support::{TestCluster, executables};

pub(crate) fn python() -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON
        .get_or_init(|| {
            let script = executables::repository().join("scripts/make-pymesos-venv");
            let output = Command::new(&script).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success(),
                "{} failed: {said}",
                script.display()
            );
            PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
        })
        .clone()
}

fn plays(part: &str) {
    let python = python();
    let cluster = TestCluster::start();
    let scripts = executables::repository().join("tests/e2e/pymesos");
    let output = Command::new("timeout")
        .arg("150")
        .arg(&python)
        .arg(scripts.join("framework.py"))
        .arg(part)
        .arg(cluster.master().to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{part}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    cluster.finish();
}

#[test]
fn pymesos_subscribes_and_runs_a_task_to_its_end() {
    plays("finish");
}

#[test]
fn pymesos_kills_a_task() {
    plays("kill");
}

#[test]
fn pymesos_declines_and_is_offered_again() {
    plays("decline");
}

#[test]
fn pymesos_reconciles() {
    plays("reconcile");
}

#[test]
fn pymesos_runs_tasks_in_an_executor_of_its_own() {
    plays("executor");
}

#[test]
fn pymesos_learns_that_its_executor_was_killed() {
    plays("executor_lost");
}
