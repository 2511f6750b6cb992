//! The agent-master control service: messages, client and server stubs.

pub mod codec;

/// Package `mesos_rs.control.v1`, generated from `proto/`.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("mesos_rs.control.v1");
}

/// Lowest protocol version this release speaks.
pub const PROTOCOL_LOWEST: u32 = 1;
/// Highest protocol version this release speaks.
pub const PROTOCOL_HIGHEST: u32 = 1;
/// Largest piece of an encoded snapshot in one message, in bytes.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;
/// Largest snapshot a master accepts, in bytes: about 200,000 tasks.
pub const SNAPSHOT_MAX_BYTES: usize = 256 << 20;
