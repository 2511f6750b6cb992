//! The typed half of the scripts.
