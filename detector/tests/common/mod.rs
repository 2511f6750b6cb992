//! What the tests with a real ZooKeeper share.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod proxy;

use std::{future::Future, time::Duration};

use mesos_detector::{
    Candidacy, Contender, Detected, Detector, Ensemble, Membership, Settings, Source,
};
use mesos_wire::v1::{Address, MasterInfo};
use tokio::sync::watch;
use zookeeper_client as zk;

/// How long to wait for what should take a few seconds at most.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Long enough for a busy machine, short enough to wait for its end.
pub const SETTINGS: Settings = Settings {
    session_timeout: Duration::from_secs(5),
};

/// Waits, or fails with what was waited for.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for: {what}"),
    }
}

/// Runs what blocks without holding up other tasks.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// A master of this id.
pub fn info(id: &str) -> MasterInfo {
    MasterInfo {
        id: id.to_owned(),
        ip: 16_777_343,
        port: 5050,
        pid: Some("master@127.0.0.1:5050".to_owned()),
        hostname: Some("localhost".to_owned()),
        version: Some("1.11.0".to_owned()),
        address: Some(Address {
            hostname: Some("localhost".to_owned()),
            ip: Some("127.0.0.1".to_owned()),
            port: 5050,
        }),
        ..MasterInfo::default()
    }
}

pub fn source(url: &str) -> Source {
    url.parse().expect("a source")
}

pub fn contender(url: &str, id: &str) -> Contender {
    Contender::start(source(url), SETTINGS, info(id))
}

pub fn detector(url: &str) -> Detector {
    Detector::start(source(url), SETTINGS)
}

/// Waits until this is detected; the last state is shown when it is not.
pub async fn detected(
    watch: &mut watch::Receiver<Detected>,
    what: &str,
    holds: impl FnMut(&Detected) -> bool,
) -> Detected {
    let last = watch.clone();
    match tokio::time::timeout(PATIENCE, watch.wait_for(holds)).await {
        Ok(Ok(found)) => found.clone(),
        Ok(Err(_)) => panic!("the detector ended before: {what}"),
        Err(_) => panic!("waited for: {what}; last: {:?}", *last.borrow()),
    }
}

/// Waits until the leader has this id.
pub async fn leads(watch: &mut watch::Receiver<Detected>, id: &str) -> Detected {
    detected(watch, &format!("{id} leads"), |now| {
        now.connected
            && now
                .leader
                .as_ref()
                .is_some_and(|leader| leader.info.id == id)
    })
    .await
}

/// Waits for a state of a candidacy.
pub async fn candidacy(
    contender: &Contender,
    what: &str,
    holds: impl FnMut(&Candidacy) -> bool,
) -> Candidacy {
    let mut watch = contender.candidacy();
    let last = watch.clone();
    match tokio::time::timeout(PATIENCE, watch.wait_for(holds)).await {
        Ok(Ok(found)) => found.clone(),
        Ok(Err(_)) => panic!("the contender ended before: {what}"),
        Err(_) => panic!("waited for: {what}; last: {:?}", *last.borrow()),
    }
}

pub async fn joined(contender: &Contender) -> Membership {
    let candidacy = candidacy(contender, "a place", |now| now.membership().is_some()).await;
    candidacy.membership().expect("just seen").clone()
}

/// A client of its own, to look and to meddle.
pub async fn raw(url: &str) -> zk::Client {
    let ensemble: Ensemble = url.parse().expect("an ensemble");
    let mut connector = zk::Client::connector().with_session_timeout(Duration::from_secs(10));
    if let Some(credentials) = ensemble.credentials() {
        connector = connector.with_auth("digest", &credentials.digest());
    }
    within("a raw client", async {
        connector.connect(&ensemble.connect_string()).await
    })
    .await
    .expect("ZooKeeper runs")
}

/// Makes a node that anybody may change, and those above it.
pub async fn make(client: &zk::Client, path: &str, data: &[u8]) {
    let options = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
    let parent = path.rsplit_once('/').expect("absolute").0;
    if !parent.is_empty() {
        client.mkdir(parent, &options).await.expect("mkdir");
    }
    client.create(path, data, &options).await.expect("create");
}

/// Waits until a node is gone.
pub async fn gone(client: &zk::Client, path: &str) {
    within(&format!("{path} is gone"), async {
        loop {
            match client
                .check_and_watch_stat(path)
                .await
                .expect("ZooKeeper runs")
            {
                (None, _) => return,
                (Some(_), changed) => changed.changed().await,
            };
        }
    })
    .await;
}
