//! The mesos command line.
