//! Isolator names to constructors, in launch order.
