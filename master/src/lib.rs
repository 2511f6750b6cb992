//! The master: frameworks, agents, offers, HTTP.
