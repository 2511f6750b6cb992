//! The isolators `cgroups/cpu` and `cgroups/mem`: one file each, with a v1 and a v2 half beneath.

#![forbid(unsafe_code)]

pub mod cpu;
pub mod mem;
mod settings;

#[cfg(test)]
mod fake;

pub use cpu::CpuIsolator;
pub use mem::MemIsolator;
pub use settings::{CgroupSettings, remove_patiently};
