//! Containers through the Docker Engine API.
//!
//! The containerizer makes a container that carries its owner in labels, starts it, and keeps
//! three small loops beside it: one that learns of its end, one that keeps a writer of its output
//! running, and one for all that removes ended containers later. Each of them takes what the
//! engine says as the truth, so an engine that was away, or an agent that was, is nothing special.

#![forbid(unsafe_code)]

mod advice;
mod containerizer;
mod engine;
mod entry;
mod image;
mod inspect;
mod launch;
mod limits;
mod names;
mod options;
mod output;
mod parameters;
mod recovery;
mod removal;
mod request;
mod supervision;
mod usage;
mod volumes;

pub use containerizer::DockerContainerizer;
pub use engine::EngineError;
pub use names::work_dir_id;
pub use options::{Deadlines, DnsRule, DockerOptions};
pub use request::{CreateRequest, RequestError, create_request};
