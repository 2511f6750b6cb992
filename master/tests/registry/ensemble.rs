//! Three ZooKeeper servers: losing one of them is not noticed, losing the quorum is waited for.
use futures::future::join_all;
use mesos_master::registry::{Committed, Registrar};
use mesos_test_support::ZooKeeper;

use super::{lead, read, samples, settings};

fn admit(registrar: &Registrar, round: usize) -> Vec<Committed> {
    (0..1000)
        .map(|n| {
            let change = samples::admit(&format!("{round}-{n}"));
            registrar.write(&change).unwrap().unwrap()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_server_can_be_lost_in_the_middle_of_writing() {
    let zookeeper = ZooKeeper::ensemble();
    let settings = settings(&zookeeper, "/mesos");
    let (registrar, _) = lead(&settings, 1, "m").await;
    for member in 0..3 {
        let outcomes = admit(&registrar, member);
        zookeeper.kill_9(member);
        for outcome in join_all(outcomes).await {
            outcome.unwrap();
        }
        zookeeper.restart(member);
    }
    let outcomes = admit(&registrar, 3);
    zookeeper.kill_all();
    let outcomes = outcomes.into_iter().chain(admit(&registrar, 4));
    zookeeper.restart_all();
    for outcome in join_all(outcomes).await {
        outcome.unwrap();
    }
    assert_eq!(read(&settings).await.agents.len(), 5000);
}
