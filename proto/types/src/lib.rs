//! Identifiers, resource algebra, task and agent states.
