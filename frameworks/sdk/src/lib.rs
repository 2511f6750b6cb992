//! Scheduler and executor client library.
