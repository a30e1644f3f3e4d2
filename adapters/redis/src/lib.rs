//! A midplane bus over Redis and Valkey.
