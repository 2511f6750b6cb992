//! Reading protobuf: proto2's rules, which prost does not check, on the encoded bytes.
//!
//! Required fields must be present; a value that an enum does not know is as if it were not
//! there; nesting and memory are bounded before anything is allocated.
mod maps;
mod missing;
mod survey;

use crate::WireMessage;
use crate::error::{DecodeError, MalformedProtobuf};
use crate::schema::{Message, Schema};
use crate::tag::Malformed;

pub(crate) use missing::missing;
use survey::{Survey, canonical};

/// What any input may take in decoded form, bytes.
const MEMORY_BASE: usize = 16 << 20;
/// What it may take on top, for each byte of it. Resources, the smallest thing that fills big
/// messages, take about 30 times their encoded length.
const MEMORY_FACTOR: usize = 64;

/// Reads one message, see [`crate::decode`].
///
/// # Errors
/// As [`crate::decode`].
pub fn from_slice<M: WireMessage>(bytes: &[u8]) -> Result<M, DecodeError> {
    let message = Schema::of::<M>();
    let malformed = |Malformed(text)| DecodeError::Protobuf {
        message: &message.name,
        source: MalformedProtobuf(text.to_owned()),
    };
    let mut survey = Survey::new(bytes);
    survey
        .message(message, 0, bytes.len(), 0)
        .map_err(malformed)?;
    let clean;
    let bytes = if survey.unclean {
        let mut out = Vec::with_capacity(bytes.len());
        canonical(message, bytes, &mut out).map_err(malformed)?;
        clean = out;
        &clean
    } else {
        bytes
    };
    if survey.memory > memory_limit(bytes.len()) {
        return Err(DecodeError::TooLarge {
            message: &message.name,
        });
    }
    if survey.unclean || survey.incomplete {
        let fields = missing(message, bytes);
        if !fields.paths.is_empty() {
            return Err(DecodeError::ProtobufMissing {
                message: &message.name,
                fields,
            });
        }
    }
    decode(message, bytes)
}

/// Writes one message, as other readers of proto2 expect it.
pub fn to_vec<M: WireMessage>(message: &M) -> Vec<u8> {
    maps::complete_maps(Schema::of::<M>(), message.encode_to_vec())
}

/// Decodes bytes whose required fields are known to be there.
pub(crate) fn decode<M: WireMessage>(
    message: &'static Message,
    bytes: &[u8],
) -> Result<M, DecodeError> {
    M::decode(bytes).map_err(|error| DecodeError::Protobuf {
        message: &message.name,
        source: MalformedProtobuf(error.to_string()),
    })
}

/// Bytes of decoded structs that input of `length` bytes may ask for.
pub(crate) fn memory_limit(length: usize) -> usize {
    MEMORY_BASE.saturating_add(length.saturating_mul(MEMORY_FACTOR))
}

/// Whether every required field is there, in bytes that this crate has written.
pub(crate) fn is_complete(message: &Message, bytes: &[u8]) -> bool {
    let mut survey = Survey::new(bytes);
    survey.message(message, 0, bytes.len(), 0).is_ok() && !survey.incomplete
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    fn read<M: WireMessage>(bytes: &[u8]) -> Result<M, String> {
        from_slice(bytes).map_err(|error| error.to_string())
    }

    #[test]
    fn garbage_has_mesoss_text_and_its_cause() {
        let error = from_slice::<v1::scheduler::Call>(&[0xff; 4]).unwrap_err();
        assert_eq!(error.to_string(), "Failed to parse body into Call protobuf");
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn missing_fields_are_listed_with_their_paths() {
        // accept { operations { launch { task_infos { name: "a" } task_infos { } } } }
        let call = b"\x22\x0b\x12\x09\x12\x07\x0a\x03\x0a\x01a\x0a\x00";
        let error = read::<v1::scheduler::Call>(call).unwrap_err();
        assert_eq!(
            error,
            "Failed to parse body into Call protobuf: Missing required fields: \
             accept.operations[0].launch.task_infos[0].task_id, \
             accept.operations[0].launch.task_infos[0].agent_id, \
             accept.operations[0].launch.task_infos[1].name, \
             accept.operations[0].launch.task_infos[1].task_id, \
             accept.operations[0].launch.task_infos[1].agent_id"
        );
    }

    #[test]
    fn an_unknown_enum_value_is_unset() {
        // type: 99, framework_id { value: "f" }
        let call: v1::scheduler::Call = read(b"\x10\x63\x0a\x03\x0a\x01f").unwrap();
        assert_eq!((call.r#type, call.framework_id), (None, Some("f".into())));
        // In a required field: task_id { value: "t" } state: 99
        let error = read::<v1::TaskStatus>(b"\x0a\x03\x0a\x01t\x10\x63").unwrap_err();
        assert!(error.ends_with("Missing required fields: state"), "{error}");
    }

    #[test]
    fn parts_of_one_message_belong_together() {
        // framework_info { user: "u" } framework_info { name: "n" }
        let subscribe: v1::scheduler::call::Subscribe =
            read(b"\x0a\x03\x0a\x01u\x0a\x03\x12\x01n").unwrap();
        let info = subscribe.framework_info;
        assert_eq!((info.user.as_str(), info.name.as_str()), ("u", "n"));
    }

    #[test]
    fn a_zero_in_a_map_is_written() {
        let limits = [("cpus".to_owned(), v1::value::Scalar { value: 0.0 })].into();
        let config = v1::quota::QuotaConfig {
            role: "r".into(),
            limits,
            guarantees: [].into(),
        };
        let bytes = to_vec(&config);
        assert!(
            bytes.ends_with(&[0x09, 0, 0, 0, 0, 0, 0, 0, 0]),
            "{bytes:?}"
        );
        assert_eq!(from_slice(&bytes).as_ref(), Ok(&config));
        let json = crate::json::to_vec(&config);
        assert_eq!(json, br#"{"role":"r","limits":{"cpus":{"value":0.0}}}"#);
    }
}
