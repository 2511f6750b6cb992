//! An agent that finds its master by election: changes of the leader, and a ZooKeeper that is away.

use std::{net::SocketAddr, time::Duration};

use mesos_detector::{Candidacy, Contender, Leader, MasterAddress, Settings};
use mesos_test_support::ZooKeeper;
use mesos_wire::v1::{MasterInfo, TaskState};

use super::{FRAMEWORK, any, containers::Containers, framework, master::Master, start_with, task};

const SETTINGS: Settings = Settings {
    session_timeout: Duration::from_secs(5),
};
const PATIENCE: Duration = Duration::from_secs(60);

fn info(id: &str, address: SocketAddr) -> MasterInfo {
    let address = MasterAddress::new(address.ip().to_string(), address.port());
    MasterInfo {
        id: id.to_owned(),
        ..Leader::fixed(&address).info
    }
}

async fn until(contender: &Contender, holds: impl FnMut(&Candidacy) -> bool) {
    let mut candidacy = contender.candidacy();
    let found = tokio::time::timeout(PATIENCE, candidacy.wait_for(holds)).await;
    found.expect("it comes").expect("the contender lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_turns_to_the_new_leader_and_its_tasks_do_not_notice() {
    let zookeeper = tokio::task::block_in_place(ZooKeeper::standalone);
    let url = zookeeper.url("/mesos");
    let dir = tempfile::tempdir().unwrap();
    let containers = Containers::default();
    // Nobody leads yet.
    let _daemon = start_with(dir.path(), &url, &containers).await;
    let (mut first, mut second) = (Master::start(any()).await, Master::start(any()).await);
    let contend = |id: &str, master: &Master| {
        Contender::start(url.parse().unwrap(), SETTINGS, info(id, master.address))
    };
    let one = contend("one", &first);
    let mut old = first.welcome("m-S0").await;
    old.run(framework(), task("t")).await;
    let status = old.update(TaskState::TaskStarting).await;
    old.acknowledge(FRAMEWORK, &status).await;
    let status = old.update(TaskState::TaskRunning).await;
    old.acknowledge(FRAMEWORK, &status).await;

    let two = contend("two", &second);
    until(&two, |now| now.membership().is_some()).await;
    // The old leader does not hang up; to it, its session stands.
    one.withdraw().await;
    let mut session = second.welcome("m-S0").await;
    assert_eq!(session.snapshot.tasks[0].task_id.value, "t");
    while old.hears().await.is_some() {}

    // Without ZooKeeper the master goes on to be obeyed.
    tokio::task::block_in_place(|| zookeeper.kill_all());
    until(&two, |now| matches!(now, Candidacy::Lost(_))).await;
    session.run(framework(), task("u")).await;
    let status = session.update(TaskState::TaskStarting).await;
    session.acknowledge(FRAMEWORK, &status).await;

    // Elected again, it may have forgotten everything.
    tokio::task::block_in_place(|| zookeeper.restart_all());
    two.contend(info("two", second.address));
    let session = second.welcome("m-S0").await;
    assert_eq!(session.snapshot.tasks.len(), 2);
    assert_eq!(containers.calls(), ["recover 0"]);
}
