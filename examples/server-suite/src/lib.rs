//! The end-to-end checks that every example server must pass.
