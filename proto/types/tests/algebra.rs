//! The laws that resources obey, over any mixture of reservations, disks, volumes and allocations.

use mesos_types::{Meta, Range, Ranges, Resource, Resources, Scalar, Value, parse_resources};
use mesos_wire::v1::resource::{DiskInfo, ReservationInfo, disk_info, reservation_info};
use proptest::prelude::*;

fn reservation(kind: reservation_info::Type, role: &str) -> ReservationInfo {
    ReservationInfo {
        r#type: Some(kind.into()),
        role: Some(role.to_owned()),
        ..Default::default()
    }
}

fn reservations() -> impl Strategy<Value = Vec<ReservationInfo>> {
    use reservation_info::Type::{Dynamic, Static};
    prop_oneof![
        3 => Just(vec![]),
        1 => Just(vec![reservation(Static, "eng")]),
        1 => Just(vec![reservation(Dynamic, "eng")]),
        1 => Just(vec![reservation(Static, "eng"), reservation(Dynamic, "eng/web")]),
    ]
}

fn disk() -> impl Strategy<Value = Option<DiskInfo>> {
    let source = |kind: disk_info::source::Type| DiskInfo {
        source: Some(disk_info::Source {
            r#type: kind.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let volume = |id: &str| DiskInfo {
        persistence: Some(disk_info::Persistence {
            id: id.to_owned(),
            principal: None,
        }),
        ..Default::default()
    };
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(source(disk_info::source::Type::Path))),
        1 => Just(Some(source(disk_info::source::Type::Mount))),
        1 => "[ab]".prop_map(move |id| Some(volume(&id))),
    ]
}

fn resource() -> impl Strategy<Value = Resource> {
    let allocation = prop_oneof![Just(None), "[xy]".prop_map(Some)];
    let kinds = (
        reservations(),
        disk(),
        allocation,
        any::<bool>(),
        any::<bool>(),
    );
    (0u8..5, 1i64..5000, 0u64..30, 0u64..8, kinds).prop_map(|(kind, amount, begin, n, kinds)| {
        let (reservations, disk, allocation, revocable, shared) = kinds;
        let scalar = Value::Scalar(Scalar::from_thousandths(amount));
        let (name, value) = match kind {
            0 => ("cpus", scalar),
            1 => ("mem", scalar),
            2 => ("disk", scalar),
            3 => (
                "ports",
                Value::Ranges(Ranges::new([Range {
                    begin,
                    end: begin + n,
                }])),
            ),
            _ => (
                "zones",
                Value::Set((begin..=begin + n).map(|i| i.to_string()).collect()),
            ),
        };
        Resource::new(name, value).with_meta(|meta| {
            meta.reservations = reservations;
            meta.allocation_role = allocation.as_deref().map(Into::into);
            meta.revocable = revocable;
            meta.disk = if kind == 2 { disk } else { None };
            meta.shared = shared && meta.disk.as_ref().is_some_and(|d| d.persistence.is_some());
        })
    })
}

fn resources() -> impl Strategy<Value = Resources> {
    prop::collection::vec(resource(), 0..7).prop_map(Resources::from_iter)
}

/// Without ranges and sets, where adding what is there already adds nothing.
fn countable() -> impl Strategy<Value = Resources> {
    resources().prop_map(|all| all.filter(|r| matches!(r.value, Value::Scalar(_))))
}

proptest! {
    #[test]
    fn addition_knows_no_order(a in resources(), b in resources(), c in resources()) {
        prop_assert_eq!(&a + &b, &b + &a);
        prop_assert_eq!(&(&a + &b) + &c, &a + &(&b + &c));
        prop_assert_eq!(&a + &Resources::new(), a);
    }

    #[test]
    fn subtraction_undoes_addition(a in countable(), b in countable(), c in resources(), d in resources()) {
        prop_assert_eq!(&(&a + &b) - &b, a);
        // With pieces in both it takes them away for good.
        let both = &(&c + &d) - &d;
        prop_assert!(c.contains(&both));
        prop_assert!((&d - &d).is_empty());
    }

    #[test]
    fn a_sum_contains_its_parts(a in resources(), b in resources()) {
        let sum = &a + &b;
        prop_assert!(sum.contains(&a) && sum.contains(&b));
        prop_assert!(a.contains(&Resources::new()));
        if a.contains(&b) {
            prop_assert_eq!(&(&a - &b) + &b, a.clone());
        }
        if a.contains(&b) && b.contains(&a) {
            prop_assert_eq!(a, b);
        }
    }

    #[test]
    fn nothing_goes_below_nothing(a in resources(), b in resources()) {
        let rest = &a - &b;
        for resource in rest.iter() {
            prop_assert!(!resource.value.is_empty());
        }
        for (name, amount) in rest.quantities().iter() {
            prop_assert!(amount <= a.quantities().get(name));
        }
    }

    #[test]
    fn amounts_do_not_depend_on_whose_they_are(a in countable()) {
        let plain = a.filter(|r| !r.meta.shared);
        prop_assert_eq!(plain.to_unreserved().quantities(), plain.quantities());
        prop_assert_eq!(plain.allocated_to("z").quantities(), plain.quantities());
        let roles: Vec<_> = plain.allocated_to("z").allocation_roles().into_iter().map(str::to_owned).collect();
        prop_assert!(plain.is_empty() || roles == ["z"]);
        prop_assert!(a.unallocated().allocation_roles().is_empty());
    }

    #[test]
    fn parts_by_kind_make_up_the_whole(a in resources()) {
        prop_assert_eq!(&a.revocable() + &a.non_revocable(), a.clone());
        let mut sum = a.unreserved();
        for role in a.reservation_roles() {
            sum += &a.reserved_for(role);
        }
        prop_assert_eq!(&sum, &a);
        prop_assert_eq!(a.allocatable_to("eng/web"), a.clone());
        let ops = a.allocatable_to("ops");
        prop_assert_eq!(ops, a.unreserved());
    }

    #[test]
    fn what_is_found_is_there_and_is_what_was_wanted(a in countable(), cpus in 0i64..6000, mem in 0i64..6000) {
        let plain = a.filter(|r| r.meta.disk.is_none());
        let wanted = Resources::from_iter([
            Resource::scalar("cpus", Scalar::from_thousandths(cpus)),
            Resource::scalar("mem", Scalar::from_thousandths(mem)),
        ]);
        match plain.find(&wanted) {
            Some(found) => {
                prop_assert!(plain.contains(&found));
                prop_assert_eq!(found.quantities(), wanted.quantities());
            }
            None => prop_assert!(!plain.quantities().contains(&wanted.quantities())),
        }
    }
}

#[test]
fn a_tenth_and_two_tenths_are_three_tenths() {
    let parse = |text| parse_resources(text, "*").unwrap();
    let mut sum = parse("cpus:0.1");
    sum += &parse("cpus:0.2");
    assert_eq!(sum, parse("cpus:0.3"));
    sum -= &parse("cpus:0.3");
    assert!(sum.is_empty());
}

#[test]
fn a_mounted_disk_is_all_or_nothing() {
    let mount = |megabytes: i64| {
        let disk = Resource::scalar("disk", Scalar::from_thousandths(megabytes * 1000));
        Resources::from(disk.with_meta(|meta: &mut Meta| {
            meta.disk = Some(DiskInfo {
                source: Some(disk_info::Source {
                    r#type: disk_info::source::Type::Mount.into(),
                    ..Default::default()
                }),
                ..Default::default()
            });
        }))
    };
    assert!(mount(100).contains(&mount(100)));
    assert!(!mount(100).contains(&mount(50)));
    assert_eq!(&mount(100) - &mount(50), mount(100));
    let two = &mount(100) + &mount(100);
    assert_eq!(two.iter().count(), 2);
    assert!(two.contains(&two) && !mount(100).contains(&two));
    assert_eq!(&two - &mount(100), mount(100));
}

#[test]
fn a_shared_volume_is_counted() {
    let volume = Resource::scalar("disk", Scalar::from_thousandths(1000)).with_meta(|meta| {
        meta.shared = true;
        meta.disk = Some(DiskInfo {
            persistence: Some(disk_info::Persistence {
                id: "v".into(),
                principal: None,
            }),
            ..Default::default()
        });
    });
    let one = Resources::from(volume);
    let two = &one + &one;
    assert_eq!((two.distinct().count(), two.iter().count()), (1, 2));
    assert_eq!(two.quantities(), one.quantities());
    assert!(two.contains(&one) && !one.contains(&two));
    assert_eq!(&two - &one, one);
    assert!((&one - &one).is_empty());
}

#[test]
fn where_a_volume_is_mounted_does_not_make_it_another() {
    let volume = |path: &str| {
        Resources::from(
            Resource::scalar("disk", Scalar::from_thousandths(1000)).with_meta(|meta| {
                meta.disk = Some(DiskInfo {
                    persistence: Some(disk_info::Persistence {
                        id: "v".into(),
                        principal: None,
                    }),
                    volume: Some(mesos_wire::v1::Volume {
                        container_path: path.to_owned(),
                        ..Default::default()
                    }),
                    ..Default::default()
                });
            }),
        )
    };
    assert_eq!(volume("a"), volume("b"));
}
