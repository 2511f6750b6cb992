//! End-to-end suites: real daemons, a real Docker engine, real processes. All need root on Debian
//! 12 with `scripts/setup` done, and the binaries of `cargo build --workspace --all-targets`.
//!
//! Modules whose name ends in `_docker`, and tests whose name begins with `docker_`, need an
//! engine. Everything runs in parallel and cleans up after itself.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bad_tasks;
mod cli;
mod command_tasks;
mod coverage;
mod docker_images;
mod docker_tasks;
mod engine_tap;
mod executors_pymesos;
mod fetcher;
mod flags;
mod gc;
mod golden_errors;
mod guest_v2;
mod ha;
mod http_api;
mod kazoo;
mod kill_9;
mod limits;
mod offers;
mod operations;
mod operators;
mod quickstart;
mod volumes;
mod web;
