//! HTTP serving kit of the daemons.
