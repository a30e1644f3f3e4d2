//! Holds the two servers to differ in nothing but the runtime.

use std::fs;
use std::path::Path;

use similar::{ChangeTag, TextDiff};

/// More lines than this would be more than a runtime.
const DIFFERENCES: usize = 20;

/// The lines of a server that are not empty. That a socket needs a shim to be what futures read and write is of the
/// runtime, and too short to say so by itself.
fn main_of(server: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(server)
        .join("src/main.rs");
    let source = fs::read_to_string(path).unwrap();
    source
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.replace(".compat()", "") + "\n")
        .collect()
}

/// The lines that only one of the two has, by the longest common subsequence.
fn differences(left: &str, right: &str) -> Vec<String> {
    let lines = TextDiff::from_lines(left, right);
    let changes = lines.iter_all_changes();
    let changes = changes.filter(|change| change.tag() != ChangeTag::Equal);
    changes
        .map(|change| change.value().trim_end().to_owned())
        .collect()
}

#[test]
fn only_the_runtime_differs() {
    let (tokio, smol) = (main_of("tokio-server"), main_of("smol-server"));
    let long = [&tokio, &smol].iter().all(|main| main.lines().count() > 10);
    assert!(long, "the servers are there");
    let only = differences(&tokio, &smol);
    assert!(only.len() <= DIFFERENCES, "{only:#?}");
    for line in only {
        let runtime = ["tokio", "smol"];
        assert!(runtime.iter().any(|word| line.contains(word)), "{line:?}");
    }
}

#[test]
fn differences_are_found() {
    let (left, right) = ("a\nb\nc\nd\n", "b\nx\nd\ne\n");
    assert_eq!(differences(left, right), ["a", "c", "x", "e"]);
    assert!(differences(left, left).is_empty());
}
