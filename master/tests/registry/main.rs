//! The registry: what a master has written is what the next one reads, in every place where it is kept.
//!
//! The ZooKeeper is a real one; `scripts/setup` installs what it needs.
#![allow(clippy::unwrap_used, missing_docs)]

mod embedded;
mod ensemble;
mod generate;
mod large;
mod model;
mod refusals;
mod samples;
mod standalone;
mod storm;

use std::time::Duration;

use mesos_master::registry::{Change, Registrar, Registry, ZooKeeperSettings};
use mesos_test_support::ZooKeeper;
use mesos_wire::v1::MasterInfo;

/// Settings for a registry at `path` of these servers.
fn settings(zookeeper: &ZooKeeper, path: &str) -> ZooKeeperSettings {
    ZooKeeperSettings {
        servers: zookeeper.connect_string(),
        path: path.to_owned(),
        credentials: None,
        session_timeout: Duration::from_secs(6),
        fetch_timeout: Duration::from_secs(60),
        store_timeout: Duration::from_secs(60),
    }
}

/// A master.
fn master(id: &str) -> MasterInfo {
    MasterInfo {
        id: id.to_owned(),
        ip: 16_777_343,
        port: 5050,
        pid: Some(format!("master-{id}@127.0.0.1:5050")),
        hostname: Some("localhost".to_owned()),
        ..MasterInfo::default()
    }
}

/// Takes over as the master `id`.
async fn lead(settings: &ZooKeeperSettings, election: u64, id: &str) -> (Registrar, Registry) {
    Registrar::zookeeper(settings.clone(), election, &master(id))
        .await
        .unwrap()
}

/// What is there, read by a master that leads for this alone.
async fn read(settings: &ZooKeeperSettings) -> Registry {
    lead(settings, 0, "reader").await.1
}

/// Writes the change and waits until it is kept.
async fn write(registrar: &Registrar, change: &Change) {
    registrar.write(change).unwrap().unwrap().await.unwrap();
}

/// Everything but who led, which every reader changes.
fn facts(registry: &Registry) -> Registry {
    Registry {
        master: None,
        ..registry.clone()
    }
}
