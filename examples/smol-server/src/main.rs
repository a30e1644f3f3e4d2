//! The example server on smol.

fn main() {}
