//! Pieces for writing JSON straight from the records, without a tree in between.

use mesos_wire::WireMessage;
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;

/// A list written from an iterator.
pub(super) struct List<I>(pub(super) I);

impl<I: Iterator + Clone> Serialize for List<I>
where
    I::Item: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

/// A message by the rules of the v1 API's JSON, which the older endpoints share.
pub(super) struct Wire<'a, M>(pub(super) &'a M);

impl<M: WireMessage> Serialize for Wire<'_, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = String::from_utf8(mesos_wire::json::to_vec(self.0)).map_err(S::Error::custom)?;
        RawValue::from_string(text)
            .map_err(S::Error::custom)?
            .serialize(serializer)
    }
}

/// An object written from pairs.
pub(super) struct Pairs<I>(pub(super) I);

impl<K: Serialize, V: Serialize, I: Iterator<Item = (K, V)> + Clone> Serialize for Pairs<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.clone())
    }
}
