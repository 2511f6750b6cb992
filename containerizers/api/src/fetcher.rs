//! What fetches URIs into a sandbox, as containerizers see it.

use std::path::PathBuf;

use async_trait::async_trait;
use mesos_types::ContainerId;
use mesos_wire::v1::command_info::Uri;

/// What to fetch, and to where.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// For logs and messages.
    pub container: ContainerId,
    /// In this order.
    pub uris: Vec<Uri>,
    /// Where files go.
    pub sandbox: PathBuf,
    /// Who owns them; `None`: the agent's own user.
    pub user: Option<String>,
}

/// A URI could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot fetch `{uri}`: {message}")]
pub struct FetchError {
    /// As the task gave it.
    pub uri: String,
    /// What happened, and what is allowed where that is the matter.
    pub message: String,
}

/// Downloads, extracts and chowns; never writes outside the sandbox.
#[async_trait]
pub trait Fetcher: Send + Sync {
    /// Fetches all or fails with the first that failed. Dropping the future stops it.
    async fn fetch(&self, request: FetchRequest) -> Result<(), FetchError>;
}
