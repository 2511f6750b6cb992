//! Pieces for writing JSON straight from the records, without a tree in between.
use std::cell::Cell;

use mesos_wire::WireMessage;
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;

/// A list written from an iterator, once.
pub(crate) struct List<I>(Cell<Option<I>>);

/// See [`List`].
pub(crate) fn list<I: Iterator>(items: I) -> List<I> {
    List(Cell::new(Some(items)))
}

impl<I: Iterator> Serialize for List<I>
where
    I::Item: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.take().into_iter().flatten())
    }
}

/// A message by the rules of the v1 API's JSON, which the older endpoints share.
pub(crate) struct Wire<'a, M>(pub(crate) &'a M);

impl<M: WireMessage> Serialize for Wire<'_, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = String::from_utf8(mesos_wire::json::to_vec(self.0)).map_err(S::Error::custom)?;
        RawValue::from_string(text)
            .map_err(S::Error::custom)?
            .serialize(serializer)
    }
}

/// `{}`.
pub(crate) struct Empty;

impl Serialize for Empty {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(std::iter::empty::<((), ())>())
    }
}

/// Prints a value.
pub(crate) fn print<T: Serialize>(
    capacity: usize,
    value: &T,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(capacity);
    serde_json::to_writer(&mut out, value)?;
    Ok(out)
}
