//! What the core does, event by event.
