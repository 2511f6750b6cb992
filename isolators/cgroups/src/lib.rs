//! Isolators on cgroup controllers.
