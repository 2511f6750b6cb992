//! Downloads URIs into the sandbox.
