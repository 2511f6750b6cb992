//! The JSON of a record, kept beside it: endpoints that show every task print only those that changed.
use std::sync::OnceLock;

use serde_json::value::RawValue;

/// Made when the record is shown for the first time. A copy of the record starts without it, since
/// records are copied to be changed.
#[derive(Debug, Default)]
pub struct Shown(OnceLock<Box<RawValue>>);

impl Clone for Shown {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Shown {
    /// The JSON, printed by `print` the first time.
    pub(crate) fn get(&self, print: impl FnOnce() -> Box<RawValue>) -> &RawValue {
        self.0.get_or_init(print)
    }

    /// The record is about to be changed in place.
    pub(crate) fn clear(&mut self) {
        self.0.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_printed_anew() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let mut shown = Shown::default();
        assert_eq!(shown.get(|| raw("1")).get(), "1");
        assert_eq!(shown.get(|| raw("2")).get(), "1");
        assert_eq!(shown.clone().get(|| raw("3")).get(), "3");
        shown.clear();
        assert_eq!(shown.get(|| raw("4")).get(), "4");
    }
}
