//! Election and detection with three real ZooKeepers, of which some die, hang or move.

mod common;

use std::time::Instant;

use common::*;
use mesos_detector::{Candidacy, Contender, Detector, Loss, Settings, Source};
use mesos_test_support::ZooKeeper;

/// The member that serves the only session there is.
fn serving(zookeeper: &ZooKeeper) -> usize {
    mesos_test_support::wait_for("one member serves the session", || {
        let counts: Vec<usize> = (0..3).map(|member| zookeeper.sessions(member)).collect();
        match counts.iter().sum::<usize>() {
            1 => Ok(counts
                .iter()
                .position(|count| *count == 1)
                .expect("the sum is 1")),
            _ => Err(counts),
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_die_or_hang_one_after_another_change_nothing() {
    let zookeeper = blocking(ZooKeeper::ensemble);
    let url = zookeeper.url("/mesos");
    // Long, so that only a mistake of ours can lose it.
    let settings = Settings {
        session_timeout: std::time::Duration::from_secs(15),
    };
    let contender = Contender::start(source(&url), settings, info("id"));
    let place = joined(&contender).await;
    for hang in [false, true, false] {
        // The one we are connected to.
        let member = blocking(|| serving(&zookeeper));
        if hang {
            zookeeper.freeze(member);
        } else {
            blocking(|| zookeeper.kill_9(member));
        }
        // Our next exchange goes through another member: the lease grows.
        let until = place.lease.until();
        within("a renewed lease", async {
            while place.lease.until() <= until {
                assert!(place.lease.is_valid(Instant::now()));
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await;
        if hang {
            zookeeper.thaw(member);
        } else {
            blocking(|| zookeeper.restart(member));
        }
        let detector = detector(&url);
        let seen = leads(&mut detector.watch(), "id").await.leader.unwrap();
        assert_eq!(seen.election, place.election);
        assert!(contender.candidacy().borrow().membership().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ensemble_that_was_away_is_found_again() {
    let zookeeper = blocking(ZooKeeper::ensemble);
    let url = zookeeper.url("/mesos");
    let contender = contender(&url, "id");
    let place = joined(&contender).await;
    let detector = detector(&url);
    let mut watch = detector.watch();
    let seen = leads(&mut watch, "id").await.leader.unwrap();
    assert_eq!(seen.election, place.election);

    blocking(|| zookeeper.kill_all());
    let lost = candidacy(&contender, "loss", |now| matches!(now, Candidacy::Lost(_))).await;
    assert!(matches!(lost, Candidacy::Lost(Loss::SessionExpired)));
    assert!(!place.lease.is_valid(Instant::now()));
    // What was known is still told, as old knowledge.
    let now = detected(&mut watch, "no connection", |now| !now.connected).await;
    assert_eq!(now.leader.unwrap(), seen);

    contender.contend(info("id again"));
    blocking(|| zookeeper.restart_all());
    let again = joined(&contender).await;
    assert!(again.election > place.election);
    // The node of the old session does not stand in the way until ZooKeeper gives it up.
    let children = raw(&url).await.list_children("/mesos").await.unwrap();
    assert_eq!(children, [again.node]);
    let seen = leads(&mut watch, "id again").await.leader.unwrap();
    assert_eq!(seen.election, again.election);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ensemble_that_moved_is_found_through_the_file_that_names_it() {
    let mut zookeeper = blocking(ZooKeeper::standalone);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("zk");
    std::fs::write(&file, zookeeper.url("/mesos")).unwrap();
    let source = Source::File(file.clone());
    let contender = Contender::start(source.clone(), SETTINGS, info("id"));
    let detector = Detector::start(source, SETTINGS);
    let mut watch = detector.watch();
    let place = joined(&contender).await;
    let seen = leads(&mut watch, "id").await.leader.unwrap();

    blocking(|| zookeeper.move_elsewhere());
    candidacy(&contender, "loss", |now| matches!(now, Candidacy::Lost(_))).await;
    contender.contend(info("moved"));
    std::fs::write(&file, zookeeper.url("/mesos")).unwrap();
    assert!(joined(&contender).await.election > place.election);
    let moved = leads(&mut watch, "moved").await.leader.unwrap();
    assert_eq!(moved.realm, seen.realm);
    assert!(moved.election > seen.election);

    // One that comes back empty is another one: its numbers begin again.
    blocking(|| zookeeper.lose_everything());
    candidacy(&contender, "loss", |now| matches!(now, Candidacy::Lost(_))).await;
    contender.contend(info("new"));
    std::fs::write(&file, zookeeper.url("/mesos")).unwrap();
    let new = leads(&mut watch, "new").await.leader.unwrap();
    assert_ne!(new.realm, seen.realm);
}
