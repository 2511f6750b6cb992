//! Sandboxes of ended tasks are collected after a while; what is not theirs stays.

use std::fs;

use mesos_test_support::task::Task;
use mesos_test_support::{Scheduler, TestCluster, wait_for};

#[test]
fn an_old_sandbox_goes_and_what_it_links_to_stays() {
    let cluster = TestCluster::builder()
        .agent(&[
            "--gc_delay=2secs",
            "--disk_watch_interval=1secs",
            "--gc_disk_headroom=0",
        ])
        .start();
    let outside = cluster.dir().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "keep").unwrap();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "gc");
    let command = format!("ln -s {} link; echo x >file", outside.display());
    scheduler.launch(vec![
        Task::new("old").shell(&command),
        Task::new("alive").shell("sleep 1000"),
    ]);
    assert_eq!(scheduler.wait_end("old")["state"], "TASK_FINISHED");
    scheduler.wait_state("alive", "TASK_RUNNING");
    let executors = cluster.sandbox(scheduler.id(), "old");
    let runs = executors.parent().unwrap().to_owned();
    wait_for("the sandbox is collected", || {
        let left: Vec<_> = fs::read_dir(&runs)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    assert_eq!(
        fs::read_to_string(outside.join("precious")).unwrap(),
        "keep"
    );
    assert!(
        cluster
            .sandbox(scheduler.id(), "alive")
            .join("stdout")
            .exists(),
        "a live task keeps its sandbox"
    );
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn a_young_sandbox_stays() {
    let cluster = TestCluster::builder()
        .agent(&["--disk_watch_interval=1secs", "--gc_delay=100weeks"])
        .start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "gc-young");
    scheduler.launch(vec![Task::new("young").shell("echo x >file")]);
    assert_eq!(scheduler.wait_end("young")["state"], "TASK_FINISHED");
    let metric = "slave/executor_directory_max_allowed_age_secs";
    wait_for("the disk was looked at", || {
        let metrics = mesos_test_support::http::get(cluster.agent(), "/metrics/snapshot")
            .unwrap()
            .json();
        if metrics[metric].as_f64().is_some_and(|age| age > 0.0) {
            Ok(())
        } else {
            Err(metrics[metric].clone())
        }
    });
    assert!(
        cluster
            .sandbox(scheduler.id(), "young")
            .join("file")
            .exists()
    );
    scheduler.teardown();
    cluster.finish();
}
