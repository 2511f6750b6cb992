//! The small program that becomes a container.
