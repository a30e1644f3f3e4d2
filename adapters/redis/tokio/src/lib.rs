//! What `midplane-redis` needs of its driver on tokio: features, and no code.
//!
//! The driver has one feature for TLS on each runtime, and Cargo cannot say "TLS on those runtimes that are enabled"
//! with the features of one package. As a package for each runtime it can: `midplane-redis` depends on this one
//! with its feature `tokio`, and its feature `tls` adds `tls` here only then. Programs depend on `midplane-redis`.
