//! Isolators that only measure.
