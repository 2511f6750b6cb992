//! Containers from namespaces and cgroups.
