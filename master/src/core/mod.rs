//! The only code that changes the state: an event goes in, effects come out, nothing is waited for.

mod event;
mod timers;

pub use event::{AgentHello, Effect, Event, Reply};
