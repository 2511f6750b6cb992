//! Properties of every decoder: any bytes are survived, nesting ends, messages come back.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic like the tests"
)]

mod generator;

use std::fmt::Debug;

use generator::Generator;
use mesos_wire::{Encoding, NESTING_LIMIT, WireMessage, decode, encode, json, v1};
use proptest::prelude::*;

/// Runs a generic function for the messages that bodies hold; all others lie in them.
macro_rules! for_each_root {
    ($function:ident($($argument:expr),*)) => {
        $function::<v1::scheduler::Call>($($argument),*);
        $function::<v1::scheduler::Event>($($argument),*);
        $function::<v1::executor::Call>($($argument),*);
        $function::<v1::executor::Event>($($argument),*);
        $function::<v1::master::Call>($($argument),*);
        $function::<v1::master::Response>($($argument),*);
        $function::<v1::master::Event>($($argument),*);
        $function::<v1::agent::Call>($($argument),*);
        $function::<v1::agent::Response>($($argument),*);
        $function::<v1::agent::ProcessIo>($($argument),*);
        $function::<v1::resource_provider::Call>($($argument),*);
        $function::<v1::resource_provider::Event>($($argument),*);
        $function::<v1::MasterInfo>($($argument),*);
    };
}

fn survive<M: WireMessage>(bytes: &[u8]) {
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let _ = decode::<M>(encoding, bytes);
    }
}

/// What was generated, in protobuf, comes back from JSON and from protobuf.
fn come_back<M: WireMessage + PartialEq + Debug>(seed: u64) {
    let bytes = Generator::new(seed).message(&M::full_name());
    let message: M = decode(Encoding::Protobuf, &bytes).expect("a whole message");
    let again = decode::<M>(Encoding::Protobuf, &encode(Encoding::Protobuf, &message));
    assert_eq!(again.as_ref(), Ok(&message));
    let text = encode(Encoding::Json, &message);
    let from_json: M = decode(Encoding::Json, &text).expect("our own JSON");
    // Defaults are spelled out by now, so all else must be equal.
    assert_eq!(encode(Encoding::Json, &from_json), text);
    let value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(json::to_value(&message), value);
    assert_eq!(json::from_value::<M>(value), Ok(from_json));
}

/// JSON-like text that gets far into the reader.
fn json_like() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "type",
        "subscribe",
        "framework_info",
        "user",
        "accept",
        "operations",
        "launch",
        "value",
        "task_infos",
        "resources",
        "scalar",
        "ranges",
        "range",
        "labels",
        "offer_filters",
        "framework_id",
        "container",
        "docker",
        "port_mappings",
        "get_state",
        "data",
        "x",
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?[0-9]{1,25}(\\.[0-9]{1,5})?(e-?[0-9]{1,4})?",
        "\"[A-Z_a-z0-9=+/é\\\\u]{0,12}\"",
        "[{}\\[\\]:,\"a-z0-9\\\\]{0,6}",
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let name = proptest::sample::select(NAMES);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| format!("[{}]", values.join(","))),
            proptest::collection::vec((name, inner), 0..6).prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| format!("\"{name}\":{value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for_each_root!(survive(&bytes));
    }

    #[test]
    fn any_text_is_survived(text in json_like()) {
        for_each_root!(survive(text.as_bytes()));
    }

    #[test]
    fn messages_come_back(seed: u64) {
        for_each_root!(come_back(seed));
    }

    #[test]
    fn doubles_come_back(value in any::<f64>().prop_filter("JSON has no NaN", |v| !v.is_nan())) {
        let scalar = v1::value::Scalar { value };
        let again: v1::value::Scalar = json::from_slice(&json::to_vec(&scalar)).unwrap();
        prop_assert_eq!(again.value.to_bits(), value.to_bits());
    }

    #[test]
    fn integers_come_back(begin: u64, end: u64) {
        let range = v1::value::Range { begin, end };
        let text = json::to_vec(&range);
        let expected = format!("{{\"begin\":{begin},\"end\":{end}}}");
        prop_assert_eq!(&text, expected.as_bytes());
        prop_assert_eq!(json::from_slice::<v1::value::Range>(&text), Ok(range));
    }

    #[test]
    fn text_comes_back(value: String) {
        let id = v1::TaskId { value };
        let text = json::to_vec(&id);
        let foreign: serde_json::Value = serde_json::from_slice(&text).unwrap();
        prop_assert_eq!(foreign["value"].as_str(), Some(id.as_str()));
        prop_assert_eq!(json::from_slice::<v1::TaskId>(&text), Ok(id));
    }
}

/// Container ids that hold each other, `depth` messages in all.
fn nested_json(depth: usize) -> String {
    "{\"value\":\"a\",\"parent\":".repeat(depth - 1) + "{\"value\":\"a\"}" + &"}".repeat(depth - 1)
}

fn nested_protobuf(depth: usize) -> Vec<u8> {
    let mut bytes = b"\x0a\x01a".to_vec();
    for _ in 1..depth {
        let mut outer = b"\x0a\x01a\x12".to_vec();
        prost::encode_length_delimiter(bytes.len(), &mut outer).unwrap();
        outer.extend_from_slice(&bytes);
        bytes = outer;
    }
    bytes
}

#[test]
fn nesting_ends_in_an_error() {
    let json = |depth| json::from_slice::<v1::ContainerId>(nested_json(depth).as_bytes());
    let protobuf = |depth| decode::<v1::ContainerId>(Encoding::Protobuf, &nested_protobuf(depth));
    assert!(json(NESTING_LIMIT).is_ok());
    assert!(protobuf(NESTING_LIMIT).is_ok());
    for depth in [NESTING_LIMIT + 1, NESTING_LIMIT + 2, 10_000] {
        assert!(json(depth).is_err(), "{depth}");
    }
    for depth in [NESTING_LIMIT + 2, 5_000] {
        assert!(protobuf(depth).is_err(), "{depth}");
    }
    // What is passed over counts as well.
    let unknown = format!("{{\"x\":{}}}", "[".repeat(100_000));
    assert!(json::from_slice::<v1::ContainerId>(unknown.as_bytes()).is_err());
}

#[test]
fn many_empty_elements_do_not_take_more_memory_than_their_length_allows() {
    let empty = |n: usize| {
        let elements = vec!["{}"; n].join(",");
        format!("{{\"type\":\"ACCEPT\",\"accept\":{{\"operations\":[{elements}]}}}}")
    };
    assert!(json::from_slice::<v1::scheduler::Call>(empty(100).as_bytes()).is_ok());
    let error = json::from_slice::<v1::scheduler::Call>(empty(1_000_000).as_bytes()).unwrap_err();
    assert!(error.to_string().contains("too many elements"), "{error}");
    let mut accept = b"\x1a\x00".repeat(1_000_000);
    let mut call = vec![];
    prost::encoding::encode_key(3, prost::encoding::WireType::LengthDelimited, &mut call);
    prost::encoding::encode_varint(accept.len() as u64, &mut call);
    call.append(&mut accept);
    assert!(decode::<v1::scheduler::Call>(Encoding::Protobuf, &call).is_err());
}

#[test]
fn repeated_names_take_time_in_proportion() {
    let members = "\"accept\":{\"offer_ids\":[]},\"decline\":{\"offer_ids\":[]},".repeat(50_000);
    let text = format!("{{{members}\"type\":\"REVIVE\"}}");
    let call: v1::scheduler::Call = json::from_slice(text.as_bytes()).unwrap();
    assert_eq!(call.r#type(), v1::scheduler::call::Type::Revive);
}
