//! Isolators on file systems and disk use.
