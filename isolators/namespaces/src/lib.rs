//! Isolators on kernel namespaces.
