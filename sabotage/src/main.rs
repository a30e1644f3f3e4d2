//! Breaks the code on purpose, one sin at a time, and requires the named test to notice.

fn main() {}
