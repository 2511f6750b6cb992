//! Election and detection with one real ZooKeeper.

mod common;

use std::time::Instant;

use common::*;
use mesos_detector::{Candidacy, Detector, Loss};
use mesos_test_support::ZooKeeper;
use zookeeper_client as zk;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_leads_and_the_next_follows_it() {
    let zookeeper = blocking(ZooKeeper::standalone);
    let url = zookeeper.url("/deep/down/mesos");
    // Before anybody stood, even the path is missing.
    let detector = detector(&url);
    let mut watch = detector.watch();
    let nobody = detected(&mut watch, "nobody leads", |now| now.connected).await;
    assert_eq!(nobody.leader, None);

    let first = contender(&url, "first");
    let first_place = joined(&first).await;
    assert_eq!(first_place.node, "json.info_0000000000");
    assert_eq!(first_place.sequence, 0);
    assert_eq!(first_place.session_timeout, SETTINGS.session_timeout);
    let seen = leads(&mut watch, "first").await.leader.unwrap();
    assert_eq!(seen.election, first_place.election);
    assert_eq!(seen.info, info("first"));
    assert!(first.lease().is_valid(Instant::now()));

    let second = contender(&url, "second");
    let second_place = joined(&second).await;
    assert_eq!(second_place.sequence, 1);
    let third = contender(&url, "third");
    joined(&third).await;
    assert_eq!(leads(&mut watch, "first").await.leader.unwrap(), seen);

    // Withdrawing waits until the node is gone, and nobody may act for it any more.
    let raw = raw(&url).await;
    let node = format!("/deep/down/mesos/{}", first_place.node);
    first.withdraw().await;
    assert!(!first_place.lease.is_valid(Instant::now()));
    assert!(!first.lease().is_valid(Instant::now()));
    assert_eq!(raw.check_stat(&node).await.unwrap(), None);
    assert!(matches!(&*first.candidacy().borrow(), Candidacy::Withdrawn));
    let seen = leads(&mut watch, "second").await.leader.unwrap();
    assert_eq!(seen.election, second_place.election);
    assert!(seen.election > first_place.election);

    // One that stands again stands last.
    first.contend(info("first again"));
    assert_eq!(joined(&first).await.sequence, 3);
    drop(second);
    leads(&mut watch, "third").await;
    third.withdraw().await;
    let again = leads(&mut watch, "first again").await.leader.unwrap();
    assert!(again.election > seen.election);
    assert_eq!(again.realm, seen.realm);
    drop(first);
    let nobody = detected(&mut watch, "nobody leads", |now| now.leader.is_none()).await;
    assert!(nobody.connected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_layout_is_that_of_mesos() {
    let zookeeper = blocking(ZooKeeper::standalone);
    let url = zookeeper.url("/a/mesos");
    let contender = contender(&url, "id");
    let place = joined(&contender).await;
    let raw = raw(&url).await;
    let open = vec![zk::Acl::new(zk::Permission::ALL, zk::AuthId::anyone())];
    for path in ["/a", "/a/mesos"] {
        let (data, stat) = raw.get_data(path).await.unwrap();
        assert_eq!((data.len(), stat.ephemeral_owner), (0, 0), "{path}");
        assert_eq!(raw.get_acl(path).await.unwrap().0, open, "{path}");
    }
    let node = format!("/a/mesos/{}", place.node);
    let (data, stat) = raw.get_data(&node).await.unwrap();
    assert_ne!(stat.ephemeral_owner, 0);
    assert_eq!(stat.czxid.unsigned_abs(), place.election);
    assert_eq!(raw.get_acl(&node).await.unwrap().0, open);
    assert_eq!(
        String::from_utf8(data).unwrap(),
        r#"{"address":{"hostname":"localhost","ip":"127.0.0.1","port":5050},"hostname":"localhost","id":"id","ip":16777343,"pid":"master@127.0.0.1:5050","port":5050,"version":"1.11.0"}"#
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_ignored_and_historic_candidates_are_understood() {
    let zookeeper = blocking(ZooKeeper::standalone);
    let url = zookeeper.url("/mesos");
    let raw = raw(&url).await;
    for name in [
        "log_replicas/0000000000",
        "mesos-rs.registry/agents",
        "other_0000000000",
    ] {
        make(&raw, &format!("/mesos/{name}"), b"x").await;
    }
    let detector = detector(&url);
    let mut watch = detector.watch();
    let now = detected(&mut watch, "an answer", |now| now.connected).await;
    assert_eq!(now.leader, None);

    make(&raw, "/mesos/0000000009", b"master@10.0.0.9:5051").await;
    let now = detected(&mut watch, "a pid", |now| now.leader.is_some()).await;
    assert_eq!(now.address().unwrap().to_string(), "10.0.0.9:5051");

    let binary = mesos_wire::encode(mesos_wire::Encoding::Protobuf, &info("binary"));
    make(&raw, "/mesos/info_0000000008", &binary).await;
    leads(&mut watch, "binary").await;

    // A candidate that cannot be read is no leader, nor does the next one lead.
    make(&raw, "/mesos/json.info_0000000007", b"{").await;
    let now = detected(&mut watch, "garbage", |now| now.leader.is_none()).await;
    assert!(now.problem.unwrap().contains("json.info_0000000007"));
    let good = br#"{"id":"mended","ip":1,"port":2}"#;
    raw.set_data("/mesos/json.info_0000000007", good, None)
        .await
        .unwrap();
    leads(&mut watch, "mended").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_somebody_removes_is_a_place_lost() {
    let zookeeper = blocking(ZooKeeper::standalone);
    let url = zookeeper.url("/mesos");
    let contender = contender(&url, "id");
    let place = joined(&contender).await;
    let raw = raw(&url).await;
    raw.delete(&format!("/mesos/{}", place.node), None)
        .await
        .unwrap();
    let lost = candidacy(&contender, "loss", |now| matches!(now, Candidacy::Lost(_))).await;
    assert!(matches!(lost, Candidacy::Lost(Loss::NodeRemoved)));
    assert!(!place.lease.is_valid(Instant::now()));
    // It does not stand again by itself.
    assert!(raw.list_children("/mesos").await.unwrap().is_empty());
    contender.contend(info("id"));
    let again = joined(&contender).await;
    assert!(again.election > place.election);
    assert!(again.lease.is_valid(Instant::now()));
    assert!(!place.lease.is_valid(Instant::now()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_credentials_all_may_read_and_only_their_owner_writes() {
    let zookeeper = blocking(ZooKeeper::standalone);
    let servers = zookeeper.connect_string();
    let ours = format!("zk://user:right@{servers}/secured/mesos");
    let first = contender(&ours, "first");
    let place = joined(&first).await;
    let raw = raw(&zookeeper.url("/mesos")).await;
    for path in [
        "/secured",
        "/secured/mesos",
        &format!("/secured/mesos/{}", place.node),
    ] {
        let (acl, _) = raw.get_acl(path).await.unwrap();
        let shown: Vec<_> = acl
            .iter()
            .map(|acl| (acl.permission(), acl.scheme().to_owned()))
            .collect();
        assert_eq!(
            shown,
            [
                (zk::Permission::READ, "world".to_owned()),
                (zk::Permission::ALL, "digest".to_owned())
            ],
            "{path}"
        );
    }
    // Anybody finds the leader.
    let detector = detector(&format!("zk://{servers}/secured/mesos"));
    leads(&mut detector.watch(), "first").await;

    for (url, said) in [
        (
            format!("zk://user:wrong@{servers}/secured/mesos"),
            "user `user`",
        ),
        (format!("zk://{servers}/secured/mesos"), "no credentials"),
    ] {
        let refused = contender(&url, "refused");
        let joining = candidacy(&refused, "a refusal", |now| {
            matches!(now, Candidacy::Joining { problem: Some(_) })
        })
        .await;
        let Candidacy::Joining {
            problem: Some(problem),
        } = joining
        else {
            unreachable!("just seen")
        };
        assert!(
            problem.contains(said) && problem.contains("/secured/mesos"),
            "{problem}"
        );
        assert!(!problem.contains("wrong"), "{problem}");
        refused.withdraw().await;
    }
    let second = contender(&ours, "second");
    assert_eq!(joined(&second).await.sequence, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_yet_is_waited_for() {
    let zookeeper = blocking(ZooKeeper::standalone);
    let url = zookeeper.url("/mesos");
    blocking(|| zookeeper.kill_all());
    let contender = contender(&url, "id");
    let detector = detector(&url);
    let mut watch = detector.watch();
    let now = detected(&mut watch, "a problem", |now| now.problem.is_some()).await;
    assert!(!now.connected && now.leader.is_none());
    assert!(now.problem.unwrap().contains(&zookeeper.connect_string()));
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(10), detector.leader())
            .await
            .is_err()
    );
    blocking(|| zookeeper.restart_all());
    joined(&contender).await;
    leads(&mut watch, "id").await;
    assert_eq!(within("the leader", detector.leader()).await.info.id, "id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fixed_address_is_no_election() {
    let contender =
        mesos_detector::Contender::start(source("127.0.0.1:5050"), SETTINGS, info("id"));
    let joining = candidacy(&contender, "a refusal", |now| {
        matches!(now, Candidacy::Joining { problem: Some(_) })
    })
    .await;
    assert!(format!("{joining:?}").contains("zk://HOST1:PORT1"));
    within("withdrawal", contender.withdraw()).await;
    let fixed = Detector::single("127.0.0.1:5050".parse().unwrap());
    assert_eq!(within("the leader", fixed.leader()).await.election, 0);
}
