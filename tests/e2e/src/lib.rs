//! Black-box suites that start the real binaries.
