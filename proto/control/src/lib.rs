//! The agent-master control service.
