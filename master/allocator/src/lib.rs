//! Hierarchical dominant-resource fairness, without I/O and without a clock.
//!
//! The master's single writer tells an [`Allocator`] what happens, and asks it whom to offer what.
//! Time is the time since a moment of the caller's choice. What a run costs depends on the agents
//! that something happened to, not on the size of the cluster.
//!
//! The rules are those of the hierarchical allocator of Apache Mesos 1.11, with these differences:
//! - Nothing waits for a regular run. Declined resources go to other frameworks at once, freed ones
//!   to anyone; only what a framework has just declined is kept from it for the allocation interval.
//! - Limits bind along the whole chain of roles above; guarantees of sub-roles are kept too.
//! - Reservations count in the share of their role, held or not.
//!
//! Where to begin: `run.rs` and `turn.rs` for a run, `roles.rs` for whose turn it is, `quota.rs` for how much
//! anybody may have, `agent.rs` for the books of one agent.

#![forbid(unsafe_code)]

mod agent;
mod agents;
mod allocator;
mod amounts;
mod bits;
mod charge;
mod error;
mod figures;
mod filters;
mod framework;
mod frameworks;
mod maintenance;
mod offers;
mod options;
mod policy;
mod quota;
mod relief;
mod roles;
mod run;
mod share;
mod sorter;
mod sweep;
mod table;
mod turn;

pub use allocator::Allocator;
pub use error::AllocatorError;
pub use filters::refusal_from_seconds;
pub use maintenance::InverseProposal;
pub use offers::OfferProposal;
pub use options::{
    AgentCapabilities, AgentSpec, FrameworkSpec, Options, parse_min_allocatable, policy_by_name,
};
pub use policy::{DominantShare, Occasion, Policy, Random, Standing};
pub use quota::Quota;
pub use share::Weight;
