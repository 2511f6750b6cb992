//! The agent: executors, status updates, checkpoints, HTTP.
