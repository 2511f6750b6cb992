//! Operations: applied once, told until acknowledged, and never half done after a crash.

use std::time::Duration;

use mesos_control::v1::{
    AcknowledgeOperation, ApplyOperation, KnownOperation, Welcome, master_message::Body,
};
use mesos_types::Resources;
use mesos_wire::v1::{
    self, Resource, TaskState,
    offer::{Operation, operation},
};

use super::super::{
    Event,
    testing::{FRAMEWORK, Rig, reserved, task, volume},
};

fn reserve(resources: &[Resource]) -> Operation {
    Operation {
        r#type: Some(operation::Type::Reserve.into()),
        id: Some(v1::OperationId {
            value: "op".to_owned(),
        }),
        reserve: Some(operation::Reserve {
            source: Vec::new(),
            resources: resources.to_vec(),
        }),
        ..Default::default()
    }
}

fn unreserve(resources: &[Resource]) -> Operation {
    Operation {
        r#type: Some(operation::Type::Unreserve.into()),
        unreserve: Some(operation::Unreserve {
            resources: resources.to_vec(),
        }),
        ..Default::default()
    }
}

fn create(volumes: &[Resource]) -> Operation {
    Operation {
        r#type: Some(operation::Type::Create.into()),
        create: Some(operation::Create {
            volumes: volumes.to_vec(),
        }),
        ..Default::default()
    }
}

fn destroy(volumes: &[Resource]) -> Operation {
    Operation {
        r#type: Some(operation::Type::Destroy.into()),
        destroy: Some(operation::Destroy {
            volumes: volumes.to_vec(),
        }),
        ..Default::default()
    }
}

impl Rig {
    fn apply(&mut self, uuid: u8, operation: Operation) {
        self.master(Body::ApplyOperation(ApplyOperation {
            framework_id: Some(FRAMEWORK.into()),
            operation_uuid: vec![uuid; 16],
            operation: Some(operation),
        }));
    }

    /// The directories of the next operation that waits for them.
    fn volumes_done(&mut self, result: Result<(), String>) {
        let work = self.work.remove(0);
        self.event(Event::VolumesDone(work.operation, result));
    }

    fn ack_operation(&mut self, uuid: u8) {
        let end = self
            .ends
            .iter()
            .rev()
            .find(|end| end.operation_uuid == [uuid; 16])
            .expect("its end was told");
        let status = end.status.as_ref().unwrap().uuid.as_ref().unwrap();
        let ack = AcknowledgeOperation {
            operation_uuid: vec![uuid; 16],
            status_uuid: status.value.clone(),
        };
        self.master(Body::AcknowledgeOperation(ack));
    }

    fn held(&self) -> String {
        self.core.state().resources.checkpointed().to_string()
    }

    /// Reserved disk, with its operation out of the way.
    fn with_disk() -> Self {
        let mut rig = Self::new();
        rig.apply(100, reserve(&[reserved("disk", 100.0)]));
        rig.ack_operation(100);
        rig.look();
        rig
    }

    /// A volume on it.
    fn with_volume() -> Self {
        let mut rig = Self::with_disk();
        rig.apply(101, create(&[volume("v", 64.0)]));
        rig.volumes_done(Ok(()));
        rig.ack_operation(101);
        rig.look();
        rig
    }
}

fn on(volume: Resource, id: &str) -> v1::TaskInfo {
    let mut task = task(id);
    let role = task.resources[0].allocation_info.clone();
    task.resources.push(Resource {
        allocation_info: role,
        ..volume
    });
    task
}

const DISK: &str = "disk(reservations: [(DYNAMIC,dev)])";

#[test]
fn a_reservation_is_told_until_it_is_acknowledged_and_survives_a_crash() {
    let mut rig = Rig::new();
    rig.apply(1, reserve(&[reserved("cpus", 1.0)]));
    assert_eq!(rig.look(), "operation OPERATION_FINISHED");
    let end = rig.ends[0].status.clone().unwrap();
    assert_eq!(end.operation_id.as_ref().unwrap().value, "op");
    assert!(end.agent_id.is_some() && end.converted_resources.is_empty());
    rig.apply(1, reserve(&[reserved("cpus", 1.0)]));
    assert_eq!(rig.look(), "operation OPERATION_FINISHED", "the same end");
    for pause in [20, 40] {
        rig.pass(Duration::from_secs(pause));
        assert_eq!(rig.look(), "operation OPERATION_FINISHED");
    }
    rig.crash(false);
    rig.connect(&[]);
    assert_eq!(rig.look(), "open 2\noperation OPERATION_FINISHED");
    assert!(
        rig.ends.iter().all(|told| told.status == Some(end.clone())),
        "one end, however often it is told"
    );
    assert_eq!(rig.held(), "cpus(reservations: [(DYNAMIC,dev)]):1");
    rig.ack_operation(1);
    rig.crash(false);
    rig.connect(&[]);
    assert_eq!(rig.look(), "open 2");
    assert_eq!(rig.held(), "cpus(reservations: [(DYNAMIC,dev)]):1");
    rig.apply(2, unreserve(&[reserved("cpus", 1.0)]));
    assert_eq!(rig.held(), "");
    assert_eq!(
        rig.core.state().resources,
        rig.core.state().resources.unreserved()
    );
}

#[test]
fn an_acknowledged_operation_that_comes_again_changes_nothing() {
    let mut rig = Rig::with_disk();
    rig.apply(100, reserve(&[reserved("disk", 100.0)]));
    assert_eq!(rig.look(), "");
    assert_eq!(rig.held(), format!("{DISK}:100"));
}

#[test]
fn a_volume_is_told_only_when_its_directory_is_there() {
    let mut rig = Rig::with_disk();
    rig.apply(1, create(&[volume("v", 64.0)]));
    assert_eq!(rig.look(), "volumes +v -");
    let made = &rig.work[0].make[0];
    assert_eq!(made.path, std::path::Path::new("/w/volumes/roles/dev/v"));
    rig.volumes_done(Ok(()));
    assert_eq!(rig.look(), "operation OPERATION_FINISHED");
    assert_eq!(rig.held(), format!("{DISK}:36; {DISK}[v]:64"));
    rig.ack_operation(1);
    rig.apply(2, destroy(&[volume("v", 64.0)]));
    assert_eq!(rig.look(), "volumes + -v");
    rig.volumes_done(Ok(()));
    assert_eq!(rig.look(), "operation OPERATION_FINISHED");
    assert_eq!(rig.held(), format!("{DISK}:100"));
}

#[test]
fn what_a_crash_cut_short_goes_on_in_its_order() {
    for steps in 0..=2 {
        let mut rig = Rig::with_volume();
        rig.apply(9, destroy(&[volume("v", 64.0)]));
        rig.apply(1, create(&[volume("v", 64.0)]));
        rig.look();
        for _ in 0..steps {
            rig.volumes_done(Ok(()));
        }
        rig.look();
        rig.work.clear();
        rig.crash(false);
        let expected = match steps {
            0 => "volumes + -v\nvolumes +v -",
            1 => "volumes +v -",
            _ => "",
        };
        assert_eq!(rig.look(), expected);
        assert_eq!(rig.held(), format!("{DISK}:36; {DISK}[v]:64"));
        while !rig.work.is_empty() {
            rig.volumes_done(Ok(()));
        }
        rig.connect(&[]);
        let told = rig.look();
        assert_eq!(told.matches("OPERATION_FINISHED").count(), 2, "{told}");
    }
}

#[test]
fn directories_that_were_dealt_with_before_the_crash_are_left_alone() {
    let mut rig = Rig::with_volume();
    rig.apply(9, destroy(&[volume("v", 64.0)]));
    let key = format!("w/{}", rig.work[0].operation);
    rig.resource_journal.insert(key, Vec::new());
    rig.look();
    rig.crash(false);
    assert_eq!(rig.look(), "");
    rig.connect(&[]);
    assert_eq!(rig.look(), "open 2\noperation OPERATION_FINISHED");
    rig.ack_operation(9);
    assert_eq!(rig.resource_journal.len(), 1, "only the resources are left");
}

#[test]
fn a_volume_whose_directory_cannot_be_made_is_no_volume() {
    let mut rig = Rig::with_disk();
    rig.apply(1, create(&[volume("v", 64.0)]));
    rig.volumes_done(Err("no room".to_owned()));
    assert!(
        rig.look()
            .ends_with("operation OPERATION_FAILED \"no room\"")
    );
    assert_eq!(rig.held(), format!("{DISK}:100"));
    rig.crash(false);
    assert_eq!(rig.held(), format!("{DISK}:100"));
}

#[test]
fn what_the_agent_does_not_have_fails_and_changes_nothing() {
    let mut rig = Rig::with_volume();
    let before = rig.core.state().resources.clone();
    let launch = Operation {
        r#type: Some(operation::Type::Launch.into()),
        ..Default::default()
    };
    for (uuid, operation, text) in [
        (1, reserve(&[reserved("cpus", 9.0)]), "does not contain"),
        (2, create(&[volume("w", 64.0)]), "does not contain"),
        (3, create(&[volume("v", 1.0)]), "'v' is not unique"),
        (4, destroy(&[volume("v", 63.0)]), "does not contain"),
        (5, unreserve(&[reserved("disk", 64.0)]), "does not contain"),
        (6, launch, "LAUNCH is no operation"),
        (7, Operation::default(), "no operation"),
    ] {
        rig.apply(uuid, operation);
        let told = rig.look();
        assert!(
            told.starts_with("operation OPERATION_FAILED") && told.contains(text),
            "{uuid}: {told}"
        );
        assert_eq!(rig.core.state().resources, before);
    }
}

#[test]
fn a_volume_in_use_is_neither_destroyed_nor_given_to_a_second_executor() {
    let mut rig = Rig::with_volume();
    rig.running(on(volume("v", 64.0), "t"));
    rig.apply(1, destroy(&[volume("v", 64.0)]));
    let told = rig.look();
    assert!(
        told.contains("OPERATION_FAILED") && told.contains("in use by executor t"),
        "{told}"
    );
    rig.run(on(volume("v", 64.0), "u"));
    let told = rig.look();
    assert!(
        told.contains("TASK_FAILED") && told.contains("still in use by executor t"),
        "{told}"
    );
    rig.ended("t", Some(0));
    rig.apply(2, destroy(&[volume("v", 64.0)]));
    assert!(rig.look().contains("volumes + -v"));
}

#[test]
fn a_shared_volume_is_used_by_several_at_once() {
    let mut rig = Rig::with_disk();
    let shared = Resource {
        shared: Some(Default::default()),
        ..volume("v", 64.0)
    };
    rig.apply(1, create(std::slice::from_ref(&shared)));
    rig.volumes_done(Ok(()));
    rig.running(on(shared.clone(), "t"));
    rig.running(on(shared.clone(), "u"));
    assert_eq!(rig.task_state("t"), Some(TaskState::TaskRunning));
    assert_eq!(rig.task_state("u"), Some(TaskState::TaskRunning));
    rig.ended("t", Some(0));
    rig.apply(2, destroy(std::slice::from_ref(&shared)));
    assert!(rig.look().contains("in use by executor u"));
}

#[test]
fn an_executor_gets_the_volumes_of_later_tasks_before_the_tasks() {
    use super::super::testing::{subscribe, task_of};
    let with = |mut task: v1::TaskInfo| {
        task.resources = on(volume("v", 64.0), "x").resources;
        task
    };
    // While it runs.
    let mut rig = Rig::with_volume();
    rig.run(task_of("e", "t"));
    rig.sandbox_made("e");
    rig.launched("e");
    rig.call(Some(7), subscribe("e", Vec::new()));
    rig.look();
    rig.run(with(task_of("e", "u")));
    let seen = rig.look();
    assert!(
        seen.starts_with("resize e") && !seen.contains("LAUNCH"),
        "{seen}"
    );
    rig.event(Event::Resized(rig.container("e"), Ok(())));
    assert_eq!(rig.look(), "to 7 LAUNCH");
    // While it is being launched.
    let mut rig = Rig::with_volume();
    rig.run(task_of("e", "t"));
    rig.sandbox_made("e");
    rig.run(with(task_of("e", "u")));
    rig.call(Some(7), subscribe("e", Vec::new()));
    rig.look();
    rig.launched("e");
    let seen = rig.look();
    assert!(
        seen.contains("resize e") && !seen.contains("LAUNCH"),
        "{seen}"
    );
    // The agent dies, and does not know whether it got them.
    rig.crash(false);
    assert!(rig.look().contains("resize e"));
    rig.event(Event::Resized(rig.container("e"), Ok(())));
    rig.call(Some(8), subscribe("e", Vec::new()));
    assert!(rig.look().contains("to 8 LAUNCH\nto 8 LAUNCH"));
}

#[test]
fn tasks_on_what_is_not_reserved_here_are_dropped() {
    let mut rig = Rig::with_disk();
    for held in [volume("v", 64.0), reserved("disk", 101.0)] {
        rig.run(on(held, "t"));
        let told = rig.look();
        assert!(
            told.contains("TASK_DROPPED") && told.contains("are unknown to the agent"),
            "{told}"
        );
        rig.ack("t");
    }
    rig.run(on(reserved("disk", 50.0), "t"));
    assert_eq!(rig.look(), "sandbox t");
}

#[test]
fn an_operation_that_never_arrived_is_dropped_also_if_it_comes_later() {
    let mut rig = Rig::new();
    rig.disconnect();
    rig.event(Event::SessionWanted(2));
    rig.look();
    rig.restart_session(Welcome {
        known_operations: vec![KnownOperation {
            framework_id: Some(FRAMEWORK.into()),
            operation_uuid: vec![1; 16],
            operation_id: Some(v1::OperationId {
                value: "op".to_owned(),
            }),
        }],
        ..Default::default()
    });
    let told = rig.look();
    assert!(told.contains("OPERATION_DROPPED"), "{told}");
    rig.apply(1, reserve(&[reserved("cpus", 1.0)]));
    assert!(rig.look().contains("OPERATION_DROPPED"));
    assert_eq!(rig.core.state().resources.checkpointed(), Resources::new());
    rig.ack_operation(1);
    assert!(rig.core.state().operations.is_empty());
}

#[test]
fn a_volume_stays_when_the_host_restarts_and_the_agent_becomes_another() {
    let mut rig = Rig::with_volume();
    let held = rig.held();
    rig.crash(true);
    assert_eq!(rig.held(), held);
    let snapshot = rig.core.snapshot();
    assert_eq!(snapshot.checkpointed_resources.len(), 2);
}
