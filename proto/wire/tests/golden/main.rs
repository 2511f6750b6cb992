//! What a real Apache Mesos 1.11.0 wrote is read, and written again with the same shape.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic like the tests"
)]

mod corpus;
mod http;
mod mutation;

use std::fmt::Debug;

use mesos_recordio::{Decoder, Encoder};
use mesos_wire::{DecodeError, Encoding, WireMessage, decode, encode, v1};
use serde_json::Value;

use corpus::{Api, Part, Sample, records, samples};

/// Calls a generic function with the type of a sample.
macro_rules! with_type {
    ($sample:expr, $function:ident($($argument:expr),*)) => {
        match ($sample.api, $sample.part) {
            (Api::Scheduler, Part::Call) => $function::<v1::scheduler::Call>($($argument),*),
            (Api::Scheduler, _) => $function::<v1::scheduler::Event>($($argument),*),
            (Api::Executor, Part::Call) => $function::<v1::executor::Call>($($argument),*),
            (Api::Executor, _) => $function::<v1::executor::Event>($($argument),*),
            (Api::Master, Part::Call) => $function::<v1::master::Call>($($argument),*),
            (Api::Master, Part::Response) => $function::<v1::master::Response>($($argument),*),
            (Api::Master, _) => $function::<v1::master::Event>($($argument),*),
            (Api::Agent, Part::Call) => $function::<v1::agent::Call>($($argument),*),
            (Api::Agent, Part::Response) => $function::<v1::agent::Response>($($argument),*),
            (Api::Agent, _) => $function::<v1::agent::ProcessIo>($($argument),*),
        }
    };
}
pub(crate) use with_type;

fn transcode<M: WireMessage>(
    from: Encoding,
    to: Encoding,
    bytes: &[u8],
) -> Result<Vec<u8>, DecodeError> {
    decode::<M>(from, bytes).map(|message| encode(to, &message))
}

fn json_of(sample: &Sample) -> Result<Vec<u8>, DecodeError> {
    with_type!(
        sample,
        transcode(sample.encoding, Encoding::Json, &sample.bytes)
    )
}

/// Whether the codec, rather than what comes after it, refused a call.
fn is_about_encoding(refusal: &str) -> bool {
    refusal.starts_with("Failed to parse body") || refusal.starts_with("Failed to convert JSON")
}

#[test]
fn everything_that_mesos_read_or_wrote_is_read() {
    for sample in samples() {
        let refused = sample.refusal.as_deref().is_some_and(is_about_encoding);
        match json_of(&sample) {
            Ok(_) => assert!(!refused, "{} is taken", sample.name),
            Err(error) => assert!(refused, "{}: {error}", sample.name),
        }
    }
}

#[test]
fn refusals_have_mesoss_text() {
    let mut seen = 0;
    for sample in samples() {
        let Some(refusal) = sample.refusal.as_deref().filter(|r| is_about_encoding(r)) else {
            continue;
        };
        let error = json_of(&sample).unwrap_err().to_string();
        // A field that is not at the top is named with its path as well.
        let text = error.split(" (at ").next().unwrap();
        assert_eq!(text, refusal, "{}", sample.name);
        seen += 1;
    }
    assert!(seen >= 7, "only {seen}");
}

/// `checkpoint` of AgentInfo is a leftover of the unversioned message that Mesos writes these
/// answers from; v1 does not have it.
fn without_leftovers(json: &[u8]) -> String {
    let json = std::str::from_utf8(json).expect("JSON is text");
    json.replace(r#"},"checkpoint":true}"#, "}}")
}

fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(v, w)| same(v, w))
        }
        // Both write the last digit of a double as they like.
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 2.0 * f64::EPSILON * a.abs()
        }
        (a, b) => a == b,
    }
}

#[test]
fn json_has_mesoss_members_and_values_in_mesoss_order() {
    let mut seen = 0;
    for sample in samples() {
        if sample.part == Part::Call || sample.encoding != Encoding::Json {
            continue;
        }
        let theirs = without_leftovers(&sample.bytes);
        let ours = String::from_utf8(json_of(&sample).unwrap()).unwrap();
        let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        assert!(
            same(&value(&ours), &value(&theirs)),
            "{}\n{ours}\n{theirs}",
            sample.name
        );
        let shape = |json: &str| json.replace(|c: char| c.is_ascii_digit(), "");
        // Maps have no order.
        if !sample.name.ends_with("/master-get_quota-after.res#0") {
            assert_eq!(shape(&ours), shape(&theirs), "{}", sample.name);
        }
        seen += 1;
    }
    assert!(seen > 150, "only {seen}");
}

#[test]
fn protobuf_is_written_as_it_was() {
    // Mesos writes the parts of these by hand, in another order than that of the numbers, and
    // with the leftover `checkpoint`, which takes two bytes.
    let by_hand = [
        "agent-get_state-pb",
        "master-get_agents-pb",
        "master-get_state-pb",
        "master-subscribe-pb",
    ];
    let mut seen = 0;
    for sample in samples() {
        if sample.encoding != Encoding::Protobuf || sample.refusal.is_some() {
            continue;
        }
        let to = Encoding::Protobuf;
        let ours = with_type!(sample, transcode(to, to, &sample.bytes)).unwrap();
        if by_hand
            .iter()
            .any(|name| sample.name == format!("ops/{name}.res#0"))
        {
            assert!(
                [0, 2].contains(&(sample.bytes.len() - ours.len())),
                "{}",
                sample.name
            );
        } else {
            assert_eq!(ours, sample.bytes, "{}", sample.name);
        }
        seen += 1;
    }
    assert!(seen > 20, "only {seen}");
}

#[test]
fn both_encodings_hold_the_same() {
    fn check<M: WireMessage + PartialEq + Debug>(sample: &Sample) {
        let Ok(message) = decode::<M>(sample.encoding, &sample.bytes) else {
            return;
        };
        let protobuf = encode(Encoding::Protobuf, &message);
        let from_protobuf = decode::<M>(Encoding::Protobuf, &protobuf);
        assert_eq!(from_protobuf.as_ref(), Ok(&message), "{}", sample.name);
        // JSON spells defaults out, so the message it holds is not the same, but its JSON is.
        let json = encode(Encoding::Json, &message);
        let from_json = decode::<M>(Encoding::Json, &json).unwrap();
        assert_eq!(encode(Encoding::Json, &from_json), json, "{}", sample.name);
        let again = decode::<M>(Encoding::Protobuf, &encode(Encoding::Protobuf, &from_json));
        assert_eq!(again, Ok(from_json), "{}", sample.name);
    }
    for sample in &samples() {
        with_type!(sample, check(sample));
    }
}

#[test]
fn streams_are_records_in_any_chunks() {
    let mut seen = 0;
    for answer in corpus::streams() {
        let whole = records(&answer.body);
        for (chunk, record) in answer.chunks.iter().zip(&whole) {
            assert_eq!(Encoder::encode(record), *chunk);
        }
        for size in [1, 2, 3, 7, 64, 1000, 4096] {
            let mut decoder = Decoder::new(1 << 20);
            let mut found = vec![];
            for piece in answer.body.chunks(size) {
                decoder.push(piece);
                while let Some(record) = decoder.next().unwrap() {
                    found.push(record.to_vec());
                }
            }
            assert_eq!(found, whole);
        }
        seen += whole.len();
    }
    assert!(seen > 150, "only {seen}");
}

/// The last capability of a master has a number, 3, for which 1.11.0 has no v1 name; later
/// versions do.
#[test]
fn an_object_whose_enum_value_had_no_name_stays_empty() {
    let stream = samples()
        .into_iter()
        .find(|s| s.name == "sched/session-main.res#0")
        .unwrap();
    let json = String::from_utf8(json_of(&stream).unwrap()).unwrap();
    let capabilities = r#""capabilities":[{"type":"AGENT_UPDATE"},{"type":"AGENT_DRAINING"},{}]"#;
    assert!(json.contains(capabilities), "{json}");
}
