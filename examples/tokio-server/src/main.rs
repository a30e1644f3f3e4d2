//! The example server on tokio.

fn main() {}
