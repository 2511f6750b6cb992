//! Hierarchical dominant-resource fairness, without I/O.
