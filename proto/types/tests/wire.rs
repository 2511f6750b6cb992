//! Resources on the wire: recorded ones of Apache Mesos 1.11, round trips, and what is refused.
#![expect(
    deprecated,
    reason = "the fields of the older format are what is tested"
)]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, outside of test functions"
)]

use mesos_types::{Format, Resource, Resources, Scalar, parse_resources};
use mesos_wire::v1::{self, resource::ReservationInfo, resource::reservation_info, value};
use proptest::prelude::*;

/// Each element of a JSON array as a resource.
fn read(json: &serde_json::Value) -> Vec<v1::Resource> {
    let all = json.as_array().unwrap().iter();
    all.map(|one| mesos_wire::json::from_value(one.clone()).unwrap())
        .collect()
}

fn golden(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn each_format_is_written_as_recorded() {
    let post = read(&golden(include_str!("golden/post-refinement.json")));
    assert_eq!(
        Resources::from_wire(&post)
            .unwrap()
            .to_wire(Format::PostRefinement),
        post
    );

    let pre = read(&golden(include_str!("golden/pre-refinement.json")));
    assert_eq!(
        Resources::from_wire(&pre)
            .unwrap()
            .to_wire(Format::PreRefinement),
        pre
    );

    let endpoint = golden(include_str!("golden/endpoint.json"));
    for field in ["total_resources", "allocated_resources"] {
        let recorded = read(&endpoint[field]);
        // Endpoints show both forms at once; either one says it all.
        let mut newer = recorded.clone();
        for resource in &mut newer {
            (resource.role, resource.reservation) = (None, None);
        }
        let resources = Resources::from_wire(&newer).unwrap();
        assert_eq!(resources.to_wire(Format::Endpoint), recorded, "{field}");
        let mut older = recorded.clone();
        older
            .iter_mut()
            .for_each(|resource| resource.reservations.clear());
        assert_eq!(Resources::from_wire(&older).unwrap(), resources, "{field}");
        assert_eq!(resources.to_wire(Format::PreRefinement), older, "{field}");
    }
}

fn scalar(name: &str, amount: f64) -> v1::Resource {
    v1::Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value: amount }),
        ..Default::default()
    }
}

fn ranges(parts: &[(u64, u64)]) -> v1::Resource {
    let range = parts.iter().map(|(begin, end)| value::Range {
        begin: *begin,
        end: *end,
    });
    v1::Resource {
        name: "ports".to_owned(),
        r#type: value::Type::Ranges.into(),
        ranges: Some(value::Ranges {
            range: range.collect(),
        }),
        ..Default::default()
    }
}

fn reserved(kind: reservation_info::Type, role: &str) -> ReservationInfo {
    ReservationInfo {
        r#type: Some(kind.into()),
        role: Some(role.to_owned()),
        ..Default::default()
    }
}

#[test]
fn a_refined_reservation_is_written_as_a_stack_to_everyone() {
    use reservation_info::Type::{Dynamic, Static};
    let mut wire = scalar("cpus", 1.0);
    wire.reservations = vec![reserved(Static, "eng"), reserved(Dynamic, "eng/web")];
    let resources = Resources::from_wire(std::slice::from_ref(&wire)).unwrap();
    for format in [
        Format::PostRefinement,
        Format::PreRefinement,
        Format::Endpoint,
    ] {
        assert_eq!(resources.to_wire(format), [wire.clone()]);
    }
}

#[test]
fn a_static_reservation_is_a_role_in_the_older_format() {
    let resources = parse_resources("cpus(eng):1", "*").unwrap();
    let older = resources.to_wire(Format::PreRefinement);
    assert_eq!((older[0].role(), &older[0].reservation), ("eng", &None));
    assert!(older[0].reservations.is_empty());
    assert_eq!(Resources::from_wire(&older).unwrap(), resources);
}

#[test]
fn what_cannot_be_is_refused_with_its_name_and_the_reason() {
    use reservation_info::Type::{Dynamic, Static};
    let with = |change: &dyn Fn(&mut v1::Resource)| {
        let mut wire = scalar("cpus", 1.0);
        change(&mut wire);
        wire
    };
    for (wire, reason) in [
        (scalar("", 1.0), "name is empty"),
        (scalar("cpus", -1.0), "-1"),
        (scalar("cpus", f64::NAN), "NaN"),
        (scalar("cpus", f64::INFINITY), "inf"),
        (scalar("cpus", 1e300), "finite"),
        (scalar("cpus", 0.0004), "0.001"),
        (scalar("gpus", 0.5), "whole"),
        (ranges(&[(2, 1)]), "ends before it begins"),
        (ranges(&[(1, 5), (5, 9)]), "overlap"),
        (ranges(&[(0, u64::MAX), (7, 7)]), "overlap"),
        (with(&|r| r.scalar = None), "scalar is missing"),
        (
            with(&|r| r.ranges = Some(Default::default())),
            "more than one",
        ),
        (with(&|r| r.r#type = value::Type::Text.into()), "TEXT"),
        (
            with(&|r| r.disk = Some(Default::default())),
            "another resource than disk",
        ),
        (
            with(&|r| r.shared = Some(Default::default())),
            "persistent volumes",
        ),
        (with(&|r| r.role = Some("a//b".into())), "a//b"),
        (
            with(&|r| r.reservation = Some(Default::default())),
            "role `*`",
        ),
        (
            with(&|r| r.reservations = vec![reserved(Static, "*")]),
            "`*`",
        ),
        (
            with(&|r| r.reservations = vec![Default::default()]),
            "reservation",
        ),
        (
            with(&|r| r.reservations = vec![reserved(Static, "a"), reserved(Static, "a/b")]),
            "STATIC",
        ),
        (
            with(&|r| r.reservations = vec![reserved(Static, "a"), reserved(Dynamic, "b")]),
            "refine",
        ),
        (
            with(&|r| r.reservations = vec![reserved(Static, "a"), reserved(Dynamic, "a")]),
            "refine",
        ),
        (
            with(&|r| {
                r.role = Some("a".into());
                r.reservations = vec![reserved(Static, "a")];
            }),
            "both",
        ),
        (
            with(&|r| {
                r.revocable = Some(Default::default());
                r.reservations = vec![reserved(Dynamic, "a")];
            }),
            "revocable",
        ),
    ] {
        let error = Resource::from_wire(&wire).unwrap_err();
        assert_eq!(error.resource, wire.name);
        assert!(error.to_string().contains(reason), "{error}: {wire:?}");
    }
}

#[test]
fn amounts_are_rounded_to_thousandths() {
    let read = Resource::from_wire(&scalar("cpus", 1.5123)).unwrap();
    let wire = read.to_wire(Format::PostRefinement);
    assert_eq!(wire.scalar.unwrap().value, 1.512);
    let nothing = Resources::from_wire(&[scalar("cpus", 0.0)]).unwrap();
    assert_eq!(nothing.scalar("cpus"), None);
    let tiny = Resources::from_wire(&[scalar("cpus", 0.001)]).unwrap();
    assert_eq!(tiny.cpus(), Some(Scalar::from_thousandths(1)));
}

fn any_wire() -> impl Strategy<Value = v1::Resource> {
    let ranges = prop::collection::vec((any::<u64>(), any::<u64>()), 0..4);
    let reservations = prop::collection::vec((-1..4i32, "[a*/]{0,4}"), 0..3);
    let values = (any::<f64>(), ranges, any::<[bool; 6]>());
    (
        "[a-z]{0,4}|disk|gpus",
        -1..5i32,
        values,
        "[a*/]{0,4}",
        reservations,
    )
        .prop_map(|(name, kind, (amount, parts, has), role, reservations)| {
            let range = parts.iter().map(|(begin, end)| value::Range {
                begin: *begin,
                end: *end,
            });
            v1::Resource {
                name,
                r#type: kind,
                scalar: has[0].then_some(value::Scalar { value: amount }),
                ranges: has[1].then(|| value::Ranges {
                    range: range.collect(),
                }),
                set: has[2].then(|| value::Set {
                    item: vec![role.clone()],
                }),
                role: has[3].then_some(role),
                revocable: has[4].then(Default::default),
                shared: has[5].then(Default::default),
                reservations: reservations
                    .into_iter()
                    .map(|(kind, role)| ReservationInfo {
                        r#type: Some(kind),
                        role: Some(role),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            }
        })
}

proptest! {
    #[test]
    fn anything_is_answered_and_what_is_read_survives_the_wire(wire in any_wire()) {
        let Ok(resource) = Resource::from_wire(&wire) else { return Ok(()) };
        for format in [Format::PostRefinement, Format::PreRefinement] {
            let back = Resource::from_wire(&resource.to_wire(format)).unwrap();
            prop_assert_eq!(&back, &resource);
        }
        let mut some = Resources::from(resource.clone());
        some += &Resources::from(resource.clone());
        some -= &Resources::from(resource);
        let _ = (some.to_string(), some.to_wire(Format::Endpoint), some.ports().count());
    }

    #[test]
    fn text_reads_back(cpus in 1i64..1_000_000, mem in 1i64..1_000_000_000, begin in 0u64..60_000, n in 0u64..5000) {
        let text = format!(
            "cpus:{}; mem:{}; ports:[{begin}-{}]; zones:{{a, b}}",
            Scalar::from_thousandths(cpus), Scalar::from_thousandths(mem), begin + n,
        );
        let resources = parse_resources(&text, "*").unwrap();
        prop_assert_eq!(resources.to_string(), text);
    }
}
