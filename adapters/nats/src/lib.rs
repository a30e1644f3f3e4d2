//! A midplane bus over NATS.
