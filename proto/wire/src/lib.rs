//! Messages of the Mesos v1 API, and their JSON and protobuf encodings.
//!
//! The types are generated from `proto/` and live in [`v1`]. One codec, driven by the
//! descriptors of the same files, reads and writes their JSON; protobuf input passes the same
//! checks. What is read comes from the network: input of any kind ends in a message or in a
//! [`DecodeError`], whose text is fit for the body of a 400 answer.

#![forbid(unsafe_code)]

mod encoding;
mod error;
mod ids;
pub mod json;
pub mod protobuf;
mod schema;
mod splice;
mod tag;

/// Generated from `proto/`: one module per protobuf package, so `mesos.v1.scheduler.Call`
/// is `generated::mesos::v1::scheduler::Call`.
#[allow(missing_docs, clippy::all, deprecated)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/wire.rs"));
}

pub use encoding::{Encoding, WireMessage, decode, encode};
pub use error::{DecodeError, MalformedProtobuf, MissingFields, SyntaxError};
pub use generated::mesos::v1;
pub use splice::Splice;

/// The encoded `google.protobuf.FileDescriptorSet` of every v1 file, without comments.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// How deep input may be nested: messages in messages, and in JSON every object and array.
/// The same as prost's own limit for protobuf.
pub const NESTING_LIMIT: usize = 100;

/// The ids, the encodings and the functions that most callers want.
pub mod prelude {
    pub use crate::v1::{
        AgentId, ContainerId, ExecutorId, FrameworkId, OfferId, OperationId, TaskId,
    };
    pub use crate::{DecodeError, Encoding, WireMessage, decode, encode};
}
