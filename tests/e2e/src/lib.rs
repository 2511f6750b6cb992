//! Nothing: the suites of this crate are in `suites`, and use only flags, files and HTTP.

#![forbid(unsafe_code)]
