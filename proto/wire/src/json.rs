//! JSON by Apache Mesos's own rules, which are not those of proto3.
//!
//! Writing: names as in the `.proto`, in its order; a field that is unset but has a declared
//! default, and is not deprecated, is written with it; enums by name, and left out when the
//! number has none; 64-bit integers as numbers; doubles always with a fraction (`15.0`) or an
//! exponent, infinite ones as the strings `"Infinity"` and `"-Infinity"`; bytes as base64; maps
//! as objects; empty lists left out. Compact.
//!
//! Reading: `null` is unset; unknown fields are passed over; an unknown enum value is unset, and
//! an error only where it is required; one value for a list is a list of one; numbers and
//! booleans may come as strings, infinite doubles must; of two values for one name the last
//! counts. All missing required fields are listed with their paths.
//!
//! Source: `JSON::Protobuf` and `protobuf::parse` in `stout/protobuf.hpp` of Apache Mesos 1.11.
mod number;
mod parse;
mod read;
mod write;

use serde_json::Value;

use crate::error::DecodeError;
use crate::schema::{Message, Schema};
use crate::{WireMessage, protobuf};

pub(crate) use write::write_default;

/// Reads one message from JSON text.
///
/// # Errors
/// As [`crate::decode`].
pub fn from_slice<M: WireMessage>(text: &[u8]) -> Result<M, DecodeError> {
    let message = Schema::of::<M>();
    let bytes = read::to_protobuf(message, text)?;
    if !protobuf::is_complete(message, &bytes) {
        let fields = protobuf::missing(message, &bytes);
        return Err(DecodeError::JsonMissing {
            message: &message.name,
            fields,
        });
    }
    protobuf::decode(message, &bytes)
}

/// Writes one message as compact JSON text.
pub fn to_vec<M: WireMessage>(message: &M) -> Vec<u8> {
    write::from_protobuf(Schema::of::<M>(), &protobuf::to_vec(message))
}

/// The JSON of a message in the protobuf encoding that [`crate::encode`] gave it.
///
/// # Panics
/// May panic on other bytes: they are not checked again.
pub fn transcode<M: WireMessage>(encoded: &[u8]) -> Vec<u8> {
    write::from_protobuf(Schema::of::<M>(), encoded)
}

/// The JSON of each set field, with its index, in the order of the definition.
pub(crate) fn fields_of(message: &Message, encoded: &[u8]) -> Vec<(usize, Vec<u8>)> {
    write::fields(message, encoded)
}

/// One message as a JSON value, to be put into another one.
pub fn to_value<M: WireMessage>(message: &M) -> Value {
    serde_json::from_slice(&to_vec(message)).expect("our own JSON is JSON")
}

/// Reads one message from a JSON value.
///
/// # Errors
/// As [`crate::decode`].
pub fn from_value<M: WireMessage>(value: Value) -> Result<M, DecodeError> {
    from_slice(value.to_string().as_bytes())
}
