//! What agents have and tasks need: values, their metadata, and collections with an algebra.

mod collection;
mod interned;
mod json;
mod parse;
mod quantities;
mod ranges;
mod resource;
mod scalar;
mod wire;

pub use collection::Resources;
pub use json::resources_json;
pub use parse::parse_resources;
pub use quantities::Quantities;
pub use ranges::{Range, Ranges};
pub use resource::{Meta, Resource, Value};
pub use scalar::Scalar;
pub use wire::{Format, ResourceError};
