//! The checks that every example server must pass, against this one.

server_suite::suite!(env!("CARGO_BIN_EXE_tokio-server"));
