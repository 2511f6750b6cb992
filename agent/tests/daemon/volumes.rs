//! Volumes on the disk, with deaths between the steps of an operation.

use std::{fs, path::Path, time::Duration};

use mesos_agent::checkpoint::{
    OperationRecord,
    resources::{self, put_carried_out, put_operation, put_resources},
};
use mesos_control::v1::{
    AcknowledgeOperation, ApplyOperation, OperationUpdate, agent_message, master_message,
};
use mesos_types::Resources;
use mesos_wire::v1::{
    self, OperationState, TaskState,
    offer::{Operation, operation},
};
use uuid::Uuid;

use crate::{FRAMEWORK, any, containers::Containers, framework, master, start, task, wait_for};

fn reserved(mib: f64) -> v1::Resource {
    v1::Resource {
        name: "disk".to_owned(),
        scalar: Some(v1::value::Scalar { value: mib }),
        reservations: vec![v1::resource::ReservationInfo {
            r#type: Some(v1::resource::reservation_info::Type::Dynamic.into()),
            role: Some("a/b".to_owned()),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn volume(mib: f64) -> v1::Resource {
    v1::Resource {
        disk: Some(v1::resource::DiskInfo {
            persistence: Some(v1::resource::disk_info::Persistence {
                id: "v".to_owned(),
                principal: None,
            }),
            volume: Some(v1::Volume {
                mode: v1::volume::Mode::Rw.into(),
                container_path: "data".to_owned(),
                ..Default::default()
            }),
            source: None,
        }),
        ..reserved(mib)
    }
}

fn reserve() -> Operation {
    Operation {
        r#type: Some(operation::Type::Reserve.into()),
        reserve: Some(operation::Reserve {
            source: Vec::new(),
            resources: vec![reserved(64.0)],
        }),
        ..Default::default()
    }
}

fn create() -> Operation {
    Operation {
        r#type: Some(operation::Type::Create.into()),
        create: Some(operation::Create {
            volumes: vec![volume(64.0)],
        }),
        ..Default::default()
    }
}

fn destroy() -> Operation {
    Operation {
        r#type: Some(operation::Type::Destroy.into()),
        destroy: Some(operation::Destroy {
            volumes: vec![volume(64.0)],
        }),
        ..Default::default()
    }
}

impl master::Agent {
    async fn apply(&mut self, uuid: u8, operation: Operation) {
        self.say(master_message::Body::ApplyOperation(ApplyOperation {
            framework_id: Some(FRAMEWORK.into()),
            operation_uuid: vec![uuid; 16],
            operation: Some(operation),
        }))
        .await;
    }

    /// The next end of an operation, acknowledged.
    async fn end_of(&mut self, uuid: u8) -> v1::OperationStatus {
        let agent_message::Body::OperationUpdate(OperationUpdate {
            operation_uuid,
            status,
            ..
        }) = self.hear().await
        else {
            panic!("no end of an operation");
        };
        assert_eq!(operation_uuid, [uuid; 16]);
        let status = status.unwrap();
        let ack = AcknowledgeOperation {
            operation_uuid,
            status_uuid: status.uuid.clone().unwrap().value,
        };
        self.say(master_message::Body::AcknowledgeOperation(ack))
            .await;
        status
    }
}

/// `work_dir/volumes/roles/a b/v`.
fn directory(work_dir: &Path) -> std::path::PathBuf {
    work_dir.join("volumes/roles/a b/v")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_comes_stays_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    let containers = Containers::default();
    let mut master = master::Master::start(any()).await;
    let daemon = start(dir.path(), master.address, &containers).await;
    let mut session = master.welcome("m-S0").await;
    session.apply(1, reserve()).await;
    session.apply(2, create()).await;
    // The task arrives right behind it, and finds its volume.
    let mut on_volume = task("t");
    on_volume.resources.push(volume(64.0));
    session.run(framework(), on_volume).await;
    let mut heard = Vec::new();
    while heard.len() < 3 {
        heard.push(match session.hear().await {
            agent_message::Body::OperationUpdate(update) => {
                let state = update.status.unwrap().state();
                (update.operation_uuid[0], state.as_str_name())
            }
            agent_message::Body::Update(update) => {
                (0, update.status.unwrap().state().as_str_name())
            }
            other => panic!("{other:?}"),
        });
    }
    heard.sort_unstable();
    assert_eq!(
        heard,
        [
            (0, TaskState::TaskStarting.as_str_name()),
            (1, OperationState::OperationFinished.as_str_name()),
            (2, OperationState::OperationFinished.as_str_name()),
        ]
    );
    let running = || containers.of("t").is_some();
    wait_for("the task is launched", running).await;
    let volume = directory(dir.path());
    assert!(volume.is_dir());
    fs::write(volume.join("file"), "kept").unwrap();
    let config = containers.of("t").unwrap();
    containers.end(&config.id, 0);
    drop(daemon);
    drop(session);
    // Another agent of the same work_dir: what is on its disk is still there.
    fs::remove_file(dir.path().join("meta/slaves/latest")).unwrap();
    let _daemon = start(dir.path(), master.address, &containers).await;
    let mut session = master.welcome("m-S1").await;
    assert_eq!(session.hello.agent_id, None);
    assert!(volume.join("file").exists());
    // What was not acknowledged is told to whoever leads now.
    let mut told = [session.hear().await, session.hear().await].map(|body| match body {
        agent_message::Body::OperationUpdate(update) => update.operation_uuid[0],
        other => panic!("{other:?}"),
    });
    told.sort_unstable();
    assert_eq!(told, [1, 2]);
    session.apply(3, destroy()).await;
    let end = session.end_of(3).await;
    assert_eq!(end.state(), OperationState::OperationFinished, "{end:?}");
    assert!(!volume.exists());
    let aside = dir.path().join("volumes/.removed");
    wait_for("what was in it is gone", || {
        fs::read_dir(&aside).unwrap().next().is_none()
    })
    .await;
}

/// What an agent that died left: an operation that changed what it has, and perhaps its directories.
fn died(work_dir: &Path, operation: Operation, held: &[v1::Resource], carried_out: bool) {
    let (mut journal, _) = resources::open(work_dir).unwrap();
    let uuid = Uuid::from_bytes([9; 16]);
    let record = OperationRecord {
        framework: Some(FRAMEWORK.to_owned()),
        info: Some(operation),
        status: Some(v1::OperationStatus {
            state: OperationState::OperationPending.into(),
            ..Default::default()
        }),
        number: 1,
    };
    let held = Resources::from_wire(held).unwrap();
    let mut changes = vec![put_resources(&held), put_operation(uuid, &record)];
    if carried_out {
        changes.push(put_carried_out(uuid));
    }
    resources::append(&mut journal, &changes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_goes_on_from_wherever_the_agent_died() {
    for (operation, held, before, carried_out, after) in [
        // Written down, and nothing done yet.
        (create(), volume(64.0), false, false, true),
        // The directory was made, and nobody told.
        (create(), volume(64.0), true, false, true),
        (destroy(), reserved(64.0), true, false, false),
        (destroy(), reserved(64.0), false, false, false),
        // It was removed and noted, and then a volume of the same name was made.
        (destroy(), volume(64.0), true, true, true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let case = format!("{:?} {before} {carried_out}", operation.r#type());
        let kind = operation.r#type();
        let volume = directory(dir.path());
        if before {
            fs::create_dir_all(&volume).unwrap();
            fs::write(volume.join("file"), "x").unwrap();
        }
        died(dir.path(), operation, &[held], carried_out);
        let containers = Containers::default();
        let mut master = master::Master::start(any()).await;
        let daemon = start(dir.path(), master.address, &containers).await;
        let mut session = master.welcome("m-S0").await;
        let end = session.end_of(9).await;
        assert_eq!(end.state(), OperationState::OperationFinished, "{case}");
        assert_eq!(volume.is_dir(), after, "{case}");
        assert_eq!(volume.join("file").exists(), before && after, "{case}");
        let snapshots = daemon.agent.snapshots().clone();
        wait_for("the operation is forgotten", || {
            snapshots.load().operations.is_empty()
        })
        .await;
        assert!(kind == operation::Type::Create || snapshots.load().drain.is_none());
        let shown = snapshots.load().resources.checkpointed();
        assert_eq!(shown.disk().unwrap().as_f64(), 64.0, "{case}");
        // What had been put aside does not stay either.
        let aside = dir.path().join("volumes/.removed");
        wait_for("nothing is left aside", || {
            fs::read_dir(&aside).map_or(true, |mut left| left.next().is_none())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_cannot_be_made_is_told_and_the_disk_is_as_before() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("volumes/roles")).unwrap();
    fs::write(dir.path().join("volumes/roles/a b"), "in the way").unwrap();
    let containers = Containers::default();
    let mut master = master::Master::start(any()).await;
    let daemon = start(dir.path(), master.address, &containers).await;
    let mut session = master.welcome("m-S0").await;
    session.apply(1, reserve()).await;
    session.apply(2, create()).await;
    session.end_of(1).await;
    let end = session.end_of(2).await;
    assert_eq!(end.state(), OperationState::OperationFailed);
    assert!(end.message.unwrap().contains("volumes/roles/a b"));
    drop(daemon);
    drop(session);
    let _daemon = start(dir.path(), master.address, &containers).await;
    let session = tokio::time::timeout(Duration::from_secs(10), master.welcome("m-S0")).await;
    let held = &session.unwrap().snapshot.checkpointed_resources;
    let read = Resources::from_wire(held).unwrap();
    assert_eq!(read, Resources::from_wire(&[reserved(64.0)]).unwrap());
}
