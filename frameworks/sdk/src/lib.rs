//! Client library for frameworks and tools: scheduler, executor and operator API over HTTP.
//!
//! - [`MasterAddress`] says where the master is, as a flag such as `--master` gives it.
//! - [`scheduler::Session`] keeps a framework subscribed over master restarts and broken streams.
//! - [`executor::Session`] does the same for an executor and its agent.
//! - [`operator::Operator`] makes the calls of the operator API of a master or an agent.
//!
//! Messages are those of [`mesos_wire::v1`]; nothing is hidden behind other types.

mod address;
mod error;
pub mod executor;
mod http;
pub mod operator;
pub mod scheduler;
mod stream;

pub use address::{AddressError, MasterAddress};
pub use error::Error;
pub use http::HttpClient;
pub use mesos_wire::Encoding;
pub use stream::EventStream;
