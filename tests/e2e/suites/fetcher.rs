//! URIs of a task: fetched, unpacked, made executable before it starts.

use std::fs;
use std::process::Command;

use mesos_test_support::task::Task;
use mesos_test_support::{Scheduler, TestCluster};
use serde_json::json;

use crate::web::Web;

#[test]
fn files_are_fetched_unpacked_and_made_executable() {
    let cluster = TestCluster::start();
    let from = cluster.dir().join("from");
    fs::create_dir_all(from.join("inner")).unwrap();
    fs::write(from.join("inner/file"), "packed\n").unwrap();
    let archive = from.join("a.tar.gz");
    let tar = Command::new("tar")
        .arg("-czf")
        .arg(&archive)
        .arg("-C")
        .arg(&from)
        .arg("inner")
        .status();
    assert!(tar.unwrap().success());
    fs::write(from.join("local.txt"), "local\n").unwrap();
    let web = Web::serve(
        cluster.ip(),
        &[
            ("/a.tar.gz", &fs::read(&archive).unwrap()),
            ("/run.sh", b"#!/bin/sh\necho ran\n"),
            ("/plain?x=1", b"plain\n"),
        ],
    );
    let mut scheduler = Scheduler::subscribe(cluster.master(), "fetch");
    scheduler.launch(vec![
        Task::new("fetch")
            .shell("./run.sh; cat inner/file local.txt sub/renamed; test -e a.tar.gz && echo kept")
            .uri(json!({"value": web.url("/a.tar.gz")}))
            .uri(json!({"value": web.url("/run.sh"), "executable": true}))
            .uri(json!({"value": web.url("/plain?x=1"), "output_file": "sub/renamed"}))
            .uri(json!({"value": format!("file://{}", from.join("local.txt").display())})),
    ]);
    let end = scheduler.wait_end("fetch");
    assert_eq!(end["state"], "TASK_FINISHED", "{end:#}");
    let printed =
        fs::read_to_string(cluster.sandbox(scheduler.id(), "fetch").join("stdout")).unwrap();
    for line in ["ran", "packed", "local", "plain", "kept"] {
        assert!(
            printed.lines().any(|found| found == line),
            "{line} is missing in: {printed}"
        );
    }
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn an_uri_that_cannot_be_fetched_fails_the_task_and_is_named() {
    let cluster = TestCluster::start();
    let web = Web::serve(cluster.ip(), &[]);
    let mut scheduler = Scheduler::subscribe(cluster.master(), "fetch-fails");
    let url = web.url("/missing");
    scheduler.launch(vec![
        Task::new("missing")
            .shell("true")
            .uri(json!({"value": url})),
    ]);
    let end = scheduler.wait_end("missing");
    assert_eq!(end["state"], "TASK_FAILED", "{end:#}");
    assert!(end["message"].as_str().unwrap().contains(&url), "{end:#}");
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn a_cached_uri_is_fetched_once() {
    let cluster = TestCluster::start();
    let web = Web::serve(cluster.ip(), &[("/data", b"data\n")]);
    let mut scheduler = Scheduler::subscribe(cluster.master(), "cache");
    let mut requests = Vec::new();
    for id in ["first", "second"] {
        let uri = json!({"value": web.url("/data"), "cache": true});
        scheduler.launch(vec![Task::new(id).shell("cat data").uri(uri)]);
        assert_eq!(scheduler.wait_end(id)["state"], "TASK_FINISHED");
        let stdout = cluster.sandbox(scheduler.id(), id).join("stdout");
        assert!(fs::read_to_string(stdout).unwrap().contains("data\n"));
        requests.push(web.requests());
    }
    assert_eq!(
        requests[0], requests[1],
        "the second task takes it from the cache"
    );
    scheduler.teardown();
    cluster.finish();
}

#[test]
fn an_archive_cannot_write_outside_of_the_sandbox() {
    let cluster = TestCluster::start();
    let from = cluster.dir().join("from");
    fs::create_dir_all(&from).unwrap();
    fs::write(from.join("victim"), "evil\n").unwrap();
    let archive = from.join("evil.tar");
    let name = cluster.dir().join("escaped");
    // An absolute name, kept by -P, that points beside the sandbox.
    let tar = Command::new("tar")
        .arg("-cPf")
        .arg(&archive)
        .arg(format!("--transform=s|.*|{}|", name.display()))
        .arg(from.join("victim"))
        .status();
    assert!(tar.unwrap().success());
    let mut scheduler = Scheduler::subscribe(cluster.master(), "escape");
    let uri = json!({"value": format!("file://{}", archive.display())});
    scheduler.launch(vec![Task::new("escape").shell("true").uri(uri)]);
    scheduler.wait_end("escape");
    assert!(!name.exists(), "the archive wrote to {}", name.display());
    scheduler.teardown();
    cluster.finish();
}
