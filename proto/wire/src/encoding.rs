//! The two encodings of the v1 API, by content type.
use crate::{DecodeError, json, protobuf};

/// How the body of a request, an answer or a stream's record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `application/json`, see [`crate::json`].
    Json,
    /// `application/x-protobuf`, see [`crate::protobuf`].
    Protobuf,
}

impl Encoding {
    /// The value of a `Content-Type` header.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }

    /// The encoding that a `Content-Type` header names. The comparison is exact, as in Apache
    /// Mesos: a parameter such as `; charset=utf-8` makes it another type.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        [Self::Json, Self::Protobuf]
            .into_iter()
            .find(|encoding| encoding.content_type() == content_type)
    }
}

/// A message of the v1 API. Holds for every generated type; other packages do not compile
/// with [`decode`] and [`encode`].
pub trait WireMessage: prost::Message + prost::Name + Default + Clone {}

impl<T: prost::Message + prost::Name + Default + Clone> WireMessage for T {}

/// Reads one message.
///
/// # Errors
/// Input that does not parse, lacks required fields, is nested deeper than
/// [`crate::NESTING_LIMIT`], or would take far more memory than its length. The error's text
/// is meant for the sender.
pub fn decode<M: WireMessage>(encoding: Encoding, bytes: &[u8]) -> Result<M, DecodeError> {
    match encoding {
        Encoding::Json => json::from_slice(bytes),
        Encoding::Protobuf => protobuf::from_slice(bytes),
    }
}

/// Writes one message. JSON is compact and has no newline at its end.
pub fn encode<M: WireMessage>(encoding: Encoding, message: &M) -> Vec<u8> {
    match encoding {
        Encoding::Json => json::to_vec(message),
        Encoding::Protobuf => protobuf::to_vec(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_with_a_parameter_is_another_type() {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let text = encoding.content_type();
            assert_eq!(Encoding::from_content_type(text), Some(encoding));
            assert_eq!(
                Encoding::from_content_type(&format!("{text}; charset=utf-8")),
                None
            );
        }
        assert_eq!(Encoding::from_content_type("Application/JSON"), None);
        assert_eq!(Encoding::from_content_type("application/recordio"), None);
    }
}
