//! Durable key-value store of a daemon.
