//! The encoded forms of a record, kept beside it: endpoints that show every task encode only those that changed.
use std::sync::OnceLock;

use mesos_wire::Encoding;
use serde_json::value::RawValue;

/// Each form is made when the record is shown in it for the first time. A copy of the record starts without
/// any, since records are copied to be changed.
#[derive(Debug, Default)]
pub struct Shown {
    legacy: OnceLock<Box<RawValue>>,
    json: OnceLock<Box<[u8]>>,
    protobuf: OnceLock<Box<[u8]>>,
}

impl Clone for Shown {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Shown {
    /// The JSON of the older endpoints, printed by `print` the first time.
    pub(crate) fn legacy(&self, print: impl FnOnce() -> Box<RawValue>) -> &RawValue {
        self.legacy.get_or_init(print)
    }

    /// The v1 message, encoded by `encode` the first time.
    pub(crate) fn v1(&self, encoding: Encoding, encode: impl FnOnce() -> Vec<u8>) -> &[u8] {
        let kept = match encoding {
            Encoding::Json => &self.json,
            Encoding::Protobuf => &self.protobuf,
        };
        kept.get_or_init(|| encode().into_boxed_slice())
    }

    /// The record is about to be changed in place.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_printed_anew() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let mut shown = Shown::default();
        assert_eq!(shown.legacy(|| raw("1")).get(), "1");
        assert_eq!(shown.legacy(|| raw("2")).get(), "1");
        assert_eq!(shown.clone().legacy(|| raw("3")).get(), "3");
        shown.clear();
        assert_eq!(shown.legacy(|| raw("4")).get(), "4");
    }

    #[test]
    fn the_two_encodings_are_kept_apart() {
        let mut shown = Shown::default();
        assert_eq!(shown.v1(Encoding::Json, || b"{}".to_vec()), b"{}");
        assert_eq!(shown.v1(Encoding::Protobuf, || b"p".to_vec()), b"p");
        assert_eq!(shown.v1(Encoding::Json, Vec::new), b"{}");
        shown.clear();
        assert_eq!(shown.v1(Encoding::Json, Vec::new), b"");
    }
}
