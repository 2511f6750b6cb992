//! Memory limits: who goes beyond is killed, and the framework learns why.

use std::time::{Duration, Instant};

use mesos_test_support::task::Task;
use mesos_test_support::{Scheduler, TestCluster, docker, wait_for};

/// Takes a gigabyte in steps, each page touched, then would stay.
const HOG: &str = r#"python3 -c 'import time; a = [b"x" * (1 << 20) + bytes([i % 256]) for i in range(1024)]; time.sleep(1000)'"#;

fn a_hog_is_killed(task: Task) {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "hog");
    scheduler.launch(vec![task]);
    let end = scheduler.wait_end("hog");
    assert_eq!(end["state"], "TASK_FAILED", "{end:#}");
    assert_eq!(
        end["reason"], "REASON_CONTAINER_LIMITATION_MEMORY",
        "{end:#}"
    );
    assert!(
        end["message"]
            .as_str()
            .unwrap()
            .to_lowercase()
            .contains("memory"),
        "{end:#}"
    );
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn a_memory_hog_is_told_apart_in_the_mesos_containerizer() {
    a_hog_is_killed(Task::new("hog").shell(HOG).needs(0.5, 64.0, &[]));
}

#[test]
fn docker_a_memory_hog_is_told_apart() {
    a_hog_is_killed(
        Task::new("hog")
            .docker(docker::python_image())
            .shell(HOG)
            .needs(0.5, 64.0, &[]),
    );
}

#[test]
fn statistics_show_limits_and_use() {
    let cluster = TestCluster::start();
    let mut scheduler = Scheduler::subscribe(cluster.master(), "statistics");
    scheduler.launch(vec![Task::new("busy").shell("while :; do :; done").needs(
        0.5,
        64.0,
        &[],
    )]);
    scheduler.wait_state("busy", "TASK_RUNNING");
    let began = Instant::now();
    wait_for("processor time adds up", || {
        let answer = mesos_test_support::http::get(cluster.agent(), "/monitor/statistics")
            .unwrap()
            .json();
        let statistics = &answer[0]["statistics"];
        let used = statistics["cpus_user_time_secs"].as_f64().unwrap_or(0.0)
            + statistics["cpus_system_time_secs"].as_f64().unwrap_or(0.0);
        let limits = (
            statistics["mem_limit_bytes"].as_u64(),
            statistics["cpus_soft_limit"].as_f64(),
        );
        if used > 0.1 && limits == (Some(96 << 20), Some(0.6)) {
            Ok(())
        } else {
            Err(answer)
        }
    });
    assert!(began.elapsed() < Duration::from_secs(60));
    scheduler.kill("busy");
    assert_eq!(scheduler.wait_end("busy")["state"], "TASK_KILLED");
    scheduler.teardown();
    cluster.finish();
}
