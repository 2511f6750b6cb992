//! The flag syntax of Mesos daemons.
