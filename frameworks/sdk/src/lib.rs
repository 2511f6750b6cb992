//! Client library for frameworks and tools: scheduler, executor and operator API over HTTP.
//!
//! - [`Source`] says where masters are found, as a flag such as `--master` gives it; a [`Detector`] follows it,
//!   and [`leader`] looks once.
//! - [`scheduler::Session`] keeps a framework subscribed over changes of the leader, restarts and broken streams.
//! - [`executor::Session`] does the same for an executor and its agent.
//! - [`operator::Operator`] makes the calls of the operator API of a master or an agent.
//!
//! Messages are those of [`mesos_wire::v1`]; nothing is hidden behind other types.

mod error;
pub mod executor;
mod http;
mod masters;
pub mod operator;
pub mod scheduler;
mod stream;

pub use error::Error;
pub use http::HttpClient;
pub use masters::leader;
pub use mesos_detector::{AddressError, Detector, MasterAddress, Settings, Source, SourceError};
pub use mesos_wire::Encoding;
pub use stream::EventStream;
