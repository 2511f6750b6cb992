//! Messages of the Mesos v1 API, and their JSON and protobuf encodings.

/// Generated from `proto/`: one module per protobuf package, so `mesos.v1.scheduler.Call`
/// is `generated::mesos::v1::scheduler::Call`.
#[allow(missing_docs, clippy::all, deprecated)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/wire.rs"));
}

pub use generated::mesos::v1;
