//! One ZooKeeper server: what is kept, who may write, and what a lost connection means.
use std::time::Duration;

use futures::future::join_all;
use mesos_master::registry::{Change, Registrar, Registry, RegistryError, WriteError};
use mesos_test_support::ZooKeeper;
use proptest::{strategy::Strategy as _, strategy::ValueTree as _, test_runner::TestRunner};

use super::{facts, generate, lead, master, model, read, samples, settings, write};

#[tokio::test]
async fn everything_is_there_for_the_next_leader() {
    let zookeeper = ZooKeeper::standalone();
    let settings = settings(&zookeeper, "/deep/mesos");
    let (registrar, empty) = lead(&settings, 1, "first").await;
    assert_eq!(empty, Registry::default());
    let mut expected = Registry::default();
    for change in samples::everything() {
        write(&registrar, &change).await;
        model::apply(&mut expected, &change);
    }
    let figures = registrar.figures().unwrap();
    assert!(figures.size_bytes() > 300 && figures.queued() == 0);
    expected.master = Some(master("first"));
    let (_, registry) = lead(&settings, 2, "second").await;
    assert_eq!(registry, expected);
}

#[tokio::test]
async fn what_is_read_is_what_the_changes_come_to() {
    let zookeeper = ZooKeeper::standalone();
    let mut runner = TestRunner::default();
    for round in 0..12 {
        let settings = settings(&zookeeper, &format!("/mesos/{round}"));
        let mut expected = Registry::default();
        let mut made = Vec::new();
        for _ in 0..2 {
            let changes = generate::changes().new_tree(&mut runner).unwrap().current();
            let (registrar, registry) = lead(&settings, 0, "m").await;
            assert_eq!(facts(&registry), facts(&expected), "after {made:?}");
            let mut last = None;
            for change in changes {
                last = registrar.write(&change).unwrap();
                model::apply(&mut expected, &change);
                made.push(change);
            }
            // Everything before it is kept when the last one is.
            if let Some(last) = last {
                last.await.unwrap();
            }
        }
        assert_eq!(
            facts(&read(&settings).await),
            facts(&expected),
            "after {made:?}"
        );
    }
}

#[tokio::test]
async fn a_deposed_leader_can_write_nothing() {
    let zookeeper = ZooKeeper::standalone();
    let settings = settings(&zookeeper, "/mesos");
    let (old, _) = lead(&settings, 1, "old").await;
    write(&old, &samples::admit("a")).await;
    let (new, registry) = lead(&settings, 2, "new").await;
    assert!(registry.agents.contains_key("a"));
    let late = old.write(&samples::admit("late")).unwrap().unwrap();
    let error = late.await.unwrap_err();
    let WriteError::Fenced { place, by } = &error else {
        panic!("{error}");
    };
    assert_eq!(place, "/mesos/mesos-rs.registry");
    assert_eq!(by, "master new at master-new@127.0.0.1:5050, election 2");
    // And it stays so.
    assert_eq!(old.write(&samples::admit("later")).unwrap_err(), error);
    write(&new, &samples::admit("b")).await;
    let registry = read(&settings).await;
    let ids: Vec<_> = registry.agents.keys().map(ToString::to_string).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[tokio::test]
async fn a_leader_that_was_elected_earlier_cannot_take_over() {
    let zookeeper = ZooKeeper::standalone();
    let settings = settings(&zookeeper, "/mesos");
    let (new, _) = lead(&settings, 3, "new").await;
    let stale = Registrar::zookeeper(settings.clone(), 2, &master("stale")).await;
    let error = stale.unwrap_err();
    assert!(matches!(error, RegistryError::Fenced { .. }), "{error}");
    write(&new, &samples::admit("a")).await;
    // The same one may, after its process was started again or it lost its way.
    assert!(lead(&settings, 3, "new").await.1.agents.contains_key("a"));
}

/// Writes until it is deposed; what was acknowledged.
async fn write_until_fenced(registrar: Registrar, name: String) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for wave in 0.. {
        let ids: Vec<String> = (0..200).map(|n| format!("{name}-{wave}-{n}")).collect();
        let outcomes: Vec<_> = ids
            .iter()
            .map(|id| registrar.write(&samples::admit(id)))
            .collect();
        for (id, outcome) in ids.into_iter().zip(outcomes) {
            let outcome = match outcome {
                Ok(waiting) => waiting.unwrap().await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) => acknowledged.push(id),
                Err(WriteError::Fenced { .. }) => return acknowledged,
                Err(error) => panic!("{error}"),
            }
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_the_takeover_is_there_after_it() {
    let zookeeper = ZooKeeper::standalone();
    let settings = settings(&zookeeper, "/mesos");
    for round in 0..6 {
        let (old, _) = lead(&settings, 2 * round + 1, "old").await;
        let writing = tokio::spawn(write_until_fenced(old, round.to_string()));
        let (new, registry) = lead(&settings, 2 * round + 2, "new").await;
        for id in writing.await.unwrap() {
            assert!(registry.agents.contains_key(id.as_str()), "{id} is lost");
        }
        // What the new leader has read does not change any more under its feet.
        drop(new);
        assert_eq!(facts(&read(&settings).await), facts(&registry));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_wait_for_a_server_that_comes_back() {
    let zookeeper = ZooKeeper::standalone();
    let settings = settings(&zookeeper, "/mesos");
    let (registrar, _) = lead(&settings, 1, "m").await;
    let admit = |from: usize| {
        (from..from + 750)
            .map(|n| {
                registrar
                    .write(&samples::admit(&format!("S{n}")))
                    .unwrap()
                    .unwrap()
            })
            .collect::<Vec<_>>()
    };
    let before = admit(0);
    zookeeper.kill_9(0);
    let after = admit(750);
    zookeeper.restart_all();
    for outcome in join_all(before.into_iter().chain(after)).await {
        outcome.unwrap();
    }
    assert_eq!(read(&settings).await.agents.len(), 1500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_expired_is_replaced() {
    let zookeeper = ZooKeeper::standalone();
    let mut settings = settings(&zookeeper, "/mesos");
    settings.session_timeout = Duration::from_millis(800);
    let (registrar, _) = lead(&settings, 1, "m").await;
    write(&registrar, &samples::admit("a")).await;
    zookeeper.freeze(0);
    let outcome = registrar.write(&samples::admit("b")).unwrap().unwrap();
    // Long enough for the client to give its session up by its own clock.
    tokio::time::sleep(Duration::from_secs(3)).await;
    zookeeper.thaw(0);
    outcome.await.unwrap();
    write(&registrar, &samples::admit("c")).await;
    assert_eq!(read(&settings).await.agents.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_kept_in_time_is_told_and_nothing_follows_it() {
    let zookeeper = ZooKeeper::standalone();
    let mut settings = settings(&zookeeper, "/mesos");
    settings.session_timeout = Duration::from_millis(800);
    settings.store_timeout = Duration::from_secs(2);
    let (registrar, _) = lead(&settings, 1, "m").await;
    write(&registrar, &samples::admit("a")).await;
    zookeeper.kill_9(0);
    let outcomes: Vec<_> = (0..100)
        .map(|n| {
            registrar
                .write(&samples::admit(&format!("b{n}")))
                .unwrap()
                .unwrap()
        })
        .collect();
    for outcome in outcomes {
        let error = outcome.await.unwrap_err();
        assert!(
            matches!(error, WriteError::Unavailable { seconds: 2, .. }),
            "{error}"
        );
    }
    let error = registrar.write(&Change::Weights(Vec::new())).unwrap_err();
    assert!(matches!(error, WriteError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn twenty_thousand_agents() {
    let zookeeper = ZooKeeper::standalone();
    let settings = settings(&zookeeper, "/mesos");
    let (registrar, _) = lead(&settings, 1, "m").await;
    let begun = std::time::Instant::now();
    let outcomes: Vec<_> = (0..20_000)
        .map(|n| {
            let id = format!("2c8b5f52-8a1e-4d68-9ee0-8c4a6c1f2b3d-S{n}");
            registrar.write(&samples::admit(&id)).unwrap().unwrap()
        })
        .collect();
    assert!(registrar.figures().unwrap().queued() > 0);
    for outcome in join_all(outcomes).await {
        outcome.unwrap();
    }
    println!("20,000 agents admitted in {:?}", begun.elapsed());
    let begun = std::time::Instant::now();
    let (registrar, registry) = lead(&settings, 2, "n").await;
    println!("20,000 agents read in {:?}", begun.elapsed());
    assert_eq!(registry.agents.len(), 20_000);
    assert!(registrar.figures().unwrap().fetch() > Duration::ZERO);
}
