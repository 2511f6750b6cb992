//! A leader that is cut off or frozen: by the time another one leads, it knows that it does not.

mod common;

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use common::{proxy::Proxy, *};
use mesos_detector::{Candidacy, Loss};
use mesos_test_support::ZooKeeper;
use nix::{
    sys::signal::{Signal, kill},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_knows_it_before_another_leads() {
    let zookeeper = blocking(ZooKeeper::standalone);
    let direct = zookeeper.url("/mesos");
    let proxy = Proxy::new(zookeeper.members()[0]).await;
    let old = contender(&format!("zk://{}/mesos", proxy.address), "old");
    let place = joined(&old).await;
    let new = contender(&direct, "new");
    joined(&new).await;
    let detector = detector(&direct);
    let mut watch = detector.watch();
    leads(&mut watch, "old").await;

    proxy.cut();
    let seen = leads(&mut watch, "new").await.leader.unwrap();
    assert!(!place.lease.is_valid(Instant::now()));
    let lost = candidacy(&old, "loss", |now| matches!(now, Candidacy::Lost(_))).await;
    assert!(matches!(lost, Candidacy::Lost(Loss::SessionExpired)));

    // What it hears late does not make it believe again.
    proxy.mend();
    old.contend(info("old again"));
    let again = joined(&old).await;
    assert!(again.election > seen.election);
    assert!(!place.lease.is_valid(Instant::now()));
    leads(&mut watch, "new").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_detector_that_is_cut_off_says_so() {
    let zookeeper = blocking(ZooKeeper::standalone);
    let direct = zookeeper.url("/mesos");
    let first = contender(&direct, "first");
    joined(&first).await;
    let proxy = Proxy::new(zookeeper.members()[0]).await;
    let detector = detector(&format!("zk://{}/mesos", proxy.address));
    let mut watch = detector.watch();
    let seen = leads(&mut watch, "first").await.leader.unwrap();
    proxy.cut();
    let now = detected(&mut watch, "no connection", |now| !now.connected).await;
    assert_eq!(now.leader.unwrap(), seen);
    let second = contender(&direct, "second");
    joined(&second).await;
    first.withdraw().await;
    proxy.mend();
    leads(&mut watch, "second").await;
}

/// A child that is killed when the test ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The line `NANOSECONDS valid|over STATE`.
fn parse(line: &str) -> (Duration, bool, String) {
    let words: Vec<&str> = line.split(' ').collect();
    let nanos = words[0].parse().expect("nanoseconds");
    (
        Duration::from_nanos(nanos),
        words[1] == "valid",
        words[2].to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_leader_that_wakes_up_believes_nothing() {
    let zookeeper = blocking(ZooKeeper::standalone);
    let url = zookeeper.url("/mesos");
    let example = std::env::current_exe()
        .expect("a test has a path")
        .with_file_name("../examples/contender");
    let mut child = Command::new(&example)
        .args([&url, "frozen", "5000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}; cargo build -p mesos-detector --examples makes it",
                example.display()
            )
        });
    let out = child.stdout.take().expect("piped");
    let process = Process(child);
    let pid = Pid::from_raw(i32::try_from(process.0.id()).expect("a pid"));
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if sender.send(parse(&line)).is_err() {
                return;
            }
        }
    });
    let next = || blocking(|| lines.recv_timeout(PATIENCE).expect("it prints"));
    while !next().1 {}

    let new = contender(&url, "new");
    joined(&new).await;
    let detector = detector(&url);
    let mut watch = detector.watch();
    leads(&mut watch, "frozen").await;
    kill(pid, Signal::SIGSTOP).unwrap();
    leads(&mut watch, "new").await;
    let woken: Duration = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap().into();
    kill(pid, Signal::SIGCONT).unwrap();
    loop {
        let (when, valid, state) = next();
        assert!(
            !valid || when < woken,
            "it believed at {when:?}, after {woken:?}"
        );
        if when >= woken && state == "lost" {
            break;
        }
    }
}
