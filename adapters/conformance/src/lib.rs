//! The promises of a bus as checks that any adapter can run, and the servers to run them on.
