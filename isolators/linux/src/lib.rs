//! Safe doors to the kernel: cgroups, mounts, namespaces, pidfds.
