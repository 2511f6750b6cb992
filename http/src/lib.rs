//! HTTP serving kit of the daemons: one port, one router, the manners of Mesos's HTTP layer.
//!
//! - [`Server`] listens and speaks HTTP/1.1 and h2c on one port; gRPC calls go to a tonic router beside it.
//! - [`Router`] finds a handler by the longest prefix of path tokens, as libprocess does.
//! - [`Request`] and [`Response`] are what handlers see; JSONP, gzip and `HEAD` are applied outside of them.
//! - [`call`] negotiates the v1 calls; [`RecordSender`] writes an event stream, one record per chunk.
//! - [`metrics`], [`files`], [`logging`], [`system`], [`version`] are the endpoints that both daemons serve.
//!
//! A handler's future is dropped when its client goes away, so a handler hands a change over in one step
//! (a send to the task that owns the state) and only then waits for its outcome.

pub mod auth;
pub mod call;
mod compress;
pub mod files;
mod latency;
pub mod logging;
pub mod metrics;
mod prometheus;
mod query;
mod request;
mod response;
mod router;
mod server;
mod stream;
pub mod system;
pub mod version;

pub use auth::{Action, AllowAll, Authorizer, Object};
pub use call::{Dialect, negotiate, parse_call, respond};
pub use metrics::Metrics;
pub use request::{Head, Request};
pub use response::{Body, Response};
pub use router::{Route, Router, Service};
pub use server::{Limits, ServeError, Server};
pub use stream::{RecordSender, SendError, record_stream};

pub use bytes::Bytes;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
