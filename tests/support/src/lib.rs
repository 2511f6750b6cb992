//! Test clusters, fakes, polling.
