//! What offer operations take and give: nothing is won or lost, each can be taken back, and what an
//! agent remembers gives back what it had.

use mesos_types::{
    Conversion, Format, Meta, OperationError, Resource, ResourceOperation, Resources, Scalar,
    Value, parse_resources,
};
use mesos_wire::v1::{
    self, Volume,
    offer::{Operation, operation},
    resource::{DiskInfo, ReservationInfo, disk_info, reservation_info},
    volume,
};
use proptest::prelude::*;

fn mib(amount: i64) -> Value {
    Value::Scalar(Scalar::from_thousandths(amount))
}

fn dynamic(role: &str) -> ReservationInfo {
    ReservationInfo {
        r#type: Some(reservation_info::Type::Dynamic.into()),
        role: Some(role.to_owned()),
        ..Default::default()
    }
}

fn reserve(resource: &Resource, role: &str) -> Resource {
    resource.with_meta(|meta| meta.reservations.push(dynamic(role)))
}

/// A volume of so many thousandths of a MiB on this disk.
fn volume(disk: &Resource, id: &str, amount: i64) -> Resource {
    let mut made = disk.with_meta(|meta| {
        let disk = meta.disk.get_or_insert_with(DiskInfo::default);
        disk.persistence = Some(disk_info::Persistence {
            id: id.to_owned(),
            principal: None,
        });
        disk.volume = Some(Volume {
            mode: volume::Mode::Rw.into(),
            container_path: "data".to_owned(),
            ..Default::default()
        });
    });
    made.value = mib(amount);
    made
}

fn path_disk(amount: i64) -> Resource {
    Resource::new("disk", mib(amount)).with_meta(|meta: &mut Meta| {
        meta.disk = Some(DiskInfo {
            source: Some(disk_info::Source {
                r#type: disk_info::source::Type::Path.into(),
                ..Default::default()
            }),
            ..Default::default()
        });
    })
}

/// What flags give an agent.
fn static_total() -> Resources {
    let mut total = parse_resources(
        "cpus:4;cpus(eng):4;mem:4096;disk:10000;disk(eng):5000;ports:[31000-32000]",
        "*",
    )
    .expect("resources");
    total.add(path_disk(8_000_000));
    total
}

/// Applies an operation if it fits; every operation of the wire goes through the reader, too.
fn apply(total: &Resources, wanted: &ResourceOperation) -> Result<Resources, OperationError> {
    let read = ResourceOperation::from_wire(&wanted.to_wire(Format::PostRefinement))?;
    assert_eq!(&read, wanted);
    total.apply_all(&read.conversions())
}

/// Any operation, on what is there or on what is not, chosen by three numbers.
fn propose(total: &Resources, kind: u8, pick: usize, amount: i64) -> ResourceOperation {
    let all: Vec<Resource> = total.distinct().cloned().collect();
    let one = all[pick % all.len()].clone();
    let roles = ["eng", "eng/web", "ops"];
    let part = |r: &Resource| {
        let mut part = r.clone();
        if let Value::Scalar(has) = part.value
            && !r.is_indivisible()
        {
            let some = amount.rem_euclid(has.thousandths().max(1)) + 1;
            part.value = mib(some.min(has.thousandths()));
        }
        part
    };
    match kind % 6 {
        0 => ResourceOperation::Reserve {
            source: Resources::new(),
            resources: reserve(&part(&one), roles[pick % 3]).into(),
        },
        1 => ResourceOperation::Unreserve {
            resources: part(&one).into(),
        },
        2 => ResourceOperation::Create {
            volumes: {
                let share = part(&one);
                let size = amount.rem_euclid(5_000_000) + 1;
                let shared = amount % 3 == 0;
                let size = if let Value::Scalar(has) = share.value {
                    has.thousandths()
                } else {
                    size
                };
                volume(&share, ["a", "b", "c"][pick % 3], size)
                    .with_meta(|meta| meta.shared = shared)
                    .into()
            },
        },
        3 => ResourceOperation::Destroy {
            volumes: one.into(),
        },
        4 => ResourceOperation::Grow {
            addition: {
                let mut plain = one.with_meta(|meta| {
                    meta.disk = meta.disk.take().and_then(|mut disk| {
                        disk.persistence = None;
                        disk.volume = None;
                        disk.source.is_some().then_some(disk)
                    });
                });
                plain.value = mib(amount.rem_euclid(900_000) + 1);
                plain
            },
            volume: one,
        },
        _ => ResourceOperation::Shrink {
            volume: one,
            subtract: Scalar::from_thousandths(amount.rem_euclid(900_000)),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn whatever_is_done_nothing_is_won_or_lost_and_an_agent_remembers_it(
        steps in prop::collection::vec((any::<u8>(), any::<usize>(), 0i64..20_000_000), 1..40)
    ) {
        let flags = static_total();
        let mut total = flags.clone();
        for (kind, pick, amount) in steps {
            let wanted = propose(&total, kind, pick, amount);
            // Refused is refused; what it was stays.
            let Ok(after) = apply(&total, &wanted) else { continue };
            prop_assert_eq!(after.quantities(), total.quantities(), "{:?}", wanted);
            prop_assert_eq!(after.ports(), total.ports());
            let back: Vec<Conversion> =
                wanted.conversions().iter().rev().map(Conversion::inverse).collect();
            prop_assert_eq!(&after.apply_all(&back).unwrap(), &total);
            let remembered = after.checkpointed();
            prop_assert_eq!(&flags.apply_checkpointed(&remembered).unwrap(), &after);
            total = after;
        }
    }

    #[test]
    fn an_allocation_goes_along(role in "[a-c]") {
        let total = static_total().allocated_to(&role);
        let wanted = ResourceOperation::Reserve {
            source: Resources::new(),
            resources: reserve(&Resource::new("disk", mib(64_000)), &role).into(),
        };
        let with = wanted.allocated_where_unset(&role);
        prop_assert!(total.apply_all(&wanted.conversions()).is_err());
        let after = total.apply_all(&with.conversions()).unwrap();
        prop_assert_eq!(
            after.unallocated(),
            static_total().apply_all(&wanted.conversions()).unwrap()
        );
        prop_assert_eq!(with.unallocated(), wanted);
    }
}

fn refused(operation: &ResourceOperation) -> String {
    ResourceOperation::from_wire(&operation.to_wire(Format::PostRefinement))
        .expect_err("it is refused")
        .to_string()
}

#[test]
fn an_operation_that_is_not_well_formed_is_refused_with_its_reason() {
    let disk = Resource::new("disk", mib(64_000));
    let ours = reserve(&disk, "eng");
    let on_ours = volume(&ours, "v", 64_000);
    let changed = |change: &dyn Fn(&mut DiskInfo)| {
        on_ours.with_meta(|meta| change(meta.disk.as_mut().unwrap()))
    };
    let create = |volumes: Vec<Resource>| ResourceOperation::Create {
        volumes: Resources::from_iter(volumes),
    };
    let reserve_one = |resource: Resource| ResourceOperation::Reserve {
        source: Resources::new(),
        resources: resource.into(),
    };
    let cases = [
        (
            reserve_one(disk.clone()),
            "Resource disk:64 is not dynamically reserved",
        ),
        (
            reserve_one(on_ours.clone()),
            "A persistent volume disk(reservations: [(DYNAMIC,eng)])[v]:64 must already be reserved",
        ),
        (create(vec![]), "CREATE of no resources"),
        (
            ResourceOperation::Unreserve {
                resources: disk.clone().into(),
            },
            "Resource disk:64 is not dynamically reserved",
        ),
        (
            ResourceOperation::Unreserve {
                resources: on_ours.clone().into(),
            },
            "A dynamically reserved persistent volume disk(reservations: [(DYNAMIC,eng)])[v]:64 cannot be \
             unreserved directly. Please destroy the persistent volume first then unreserve the resource",
        ),
        (
            create(vec![ours.clone()]),
            "Resource disk(reservations: [(DYNAMIC,eng)]):64 does not have DiskInfo",
        ),
        (
            create(vec![changed(&|d| d.volume = None)]),
            "Expecting 'volume' to be set for persistent volume",
        ),
        (
            create(vec![changed(&|d| {
                d.volume.as_mut().unwrap().mode = volume::Mode::Ro.into()
            })]),
            "Read-only persistent volume not supported",
        ),
        (
            create(vec![changed(&|d| {
                d.volume.as_mut().unwrap().host_path = Some("/".to_owned())
            })]),
            "Expecting 'host_path' to be unset for persistent volume",
        ),
        (
            create(vec![volume(&disk, "v", 1)]),
            "Persistent volumes cannot be created from unreserved resources",
        ),
        (
            create(vec![on_ours.clone(), volume(&ours, "v", 32_000)]),
            "Persistence ID 'v' is not unique",
        ),
        (
            ResourceOperation::Destroy {
                volumes: ours.clone().into(),
            },
            "disk(reservations: [(DYNAMIC,eng)]):64 is not a persistent volume",
        ),
        (
            ResourceOperation::Grow {
                volume: on_ours.clone(),
                addition: disk.clone(),
            },
            "Incompatible resources in the 'GrowVolume.volume' (disk(reservations: [(DYNAMIC,eng)])[v]:64) \
             and 'GrowVolume.addition' (disk:64) fields",
        ),
        (
            ResourceOperation::Shrink {
                volume: on_ours.clone(),
                subtract: Scalar::from_thousandths(64_000),
            },
            "The value of 'ShrinkVolume.subtract' (64) must be smaller than the size of the volume (64)",
        ),
        (
            ResourceOperation::Shrink {
                volume: on_ours.clone(),
                subtract: Scalar::ZERO,
            },
            "The value of 'ShrinkVolume.subtract' must be greater than zero",
        ),
        (
            ResourceOperation::Reserve {
                source: disk.clone().into(),
                resources: reserve(&Resource::new("disk", mib(65_000)), "eng").into(),
            },
            "The quantities in 'source' (disk:64) and in 'resources' (disk(reservations: \
             [(DYNAMIC,eng)]):65) must be the same",
        ),
    ];
    for (operation, text) in cases {
        assert_eq!(refused(&operation), text);
    }
}

#[test]
fn disks_of_resource_providers_and_launches_are_refused_here() {
    for (kind, word) in [
        (
            operation::Type::CreateDisk,
            "resource providers are not built",
        ),
        (
            operation::Type::DestroyDisk,
            "resource providers are not built",
        ),
        (operation::Type::Launch, "no operation on what an agent has"),
        (
            operation::Type::Reserve,
            "Expecting 'reserve' to be present",
        ),
    ] {
        let wire = Operation {
            r#type: Some(kind.into()),
            ..Default::default()
        };
        let text = ResourceOperation::from_wire(&wire).unwrap_err().to_string();
        assert!(text.contains(word), "{text}");
    }
    let many = Operation {
        r#type: Some(operation::Type::Unreserve.into()),
        unreserve: Some(operation::Unreserve {
            resources: vec![v1::Resource::default(); 1001],
        }),
        ..Default::default()
    };
    let text = ResourceOperation::from_wire(&many).unwrap_err().to_string();
    assert_eq!(text, "The operation names 1001 resources; allowed: 1000");
}

#[test]
fn a_reservation_with_a_source_is_replaced_in_one_step() {
    let disk = Resource::new("disk", mib(64_000));
    let total = Resources::from_iter([reserve(&disk, "eng"), Resource::new("cpus", mib(1000))]);
    let moved = ResourceOperation::Reserve {
        source: reserve(&disk, "eng").into(),
        resources: reserve(&disk, "ops").into(),
    };
    let after = apply(&total, &moved).unwrap();
    assert_eq!(
        after,
        Resources::from_iter([reserve(&disk, "ops"), Resource::new("cpus", mib(1000))])
    );
}

#[test]
fn a_shared_volume_goes_only_when_nobody_else_holds_it() {
    let held = volume(
        &reserve(&Resource::new("disk", mib(64_000)), "eng"),
        "v",
        64_000,
    )
    .with_meta(|meta| meta.shared = true);
    let destroy = ResourceOperation::Destroy {
        volumes: held.clone().into(),
    };
    let twice = Resources::from_iter([held.clone(), held.clone()]);
    assert!(matches!(
        apply(&twice, &destroy),
        Err(OperationError::StillShared(_))
    ));
    assert_eq!(
        apply(&held.into(), &destroy).unwrap(),
        reserve(&Resource::new("disk", mib(64_000)), "eng").into()
    );
}

#[test]
fn what_does_not_fit_the_flags_is_named() {
    let flags = parse_resources("cpus:1;disk:10", "*").unwrap();
    let remembered = reserve(&Resource::new("disk", mib(64_000)), "eng").into();
    let text = flags
        .apply_checkpointed(&remembered)
        .unwrap_err()
        .to_string();
    assert_eq!(text, "cpus:1; disk:10 does not contain disk:64");
    let text = flags.apply_checkpointed(&flags).unwrap_err().to_string();
    assert_eq!(text, "Unexpected checkpointed resources cpus:1");
}
