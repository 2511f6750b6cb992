//! The operator API on `/api/v1`, and what all reading endpoints share.

mod answers;
pub(crate) mod api;
pub(crate) mod containers;
mod reading;
mod validate;

pub use reading::{ReadSide, routes};
pub(crate) use reading::{Viewer, blocking};
