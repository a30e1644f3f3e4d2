//! Holds the two servers to differ in nothing but the runtime.

use std::fs;
use std::path::Path;

/// More lines than this would be more than a runtime.
const DIFFERENCES: usize = 20;

/// The lines of a server that are not empty. That a socket needs a shim to be what futures read and write is of the
/// runtime, and too short to say so by itself.
fn main_of(server: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(server)
        .join("src/main.rs");
    let source = fs::read_to_string(path).unwrap();
    source
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.replace(".compat()", ""))
        .collect()
}

/// The lines that only one of the two has, by the longest common subsequence.
fn differences<'a>(left: &'a [String], right: &'a [String]) -> Vec<&'a str> {
    let mut longest = vec![vec![0; right.len() + 1]; left.len() + 1];
    for (l, line) in left.iter().enumerate().rev() {
        for (r, other) in right.iter().enumerate().rev() {
            longest[l][r] = if line == other {
                longest[l + 1][r + 1] + 1
            } else {
                longest[l + 1][r].max(longest[l][r + 1])
            };
        }
    }
    let (mut l, mut r, mut only) = (0, 0, Vec::new());
    while l < left.len() || r < right.len() {
        if l < left.len() && r < right.len() && left[l] == right[r] {
            (l, r) = (l + 1, r + 1);
        } else if r == right.len() || (l < left.len() && longest[l + 1][r] >= longest[l][r + 1]) {
            only.push(&*left[l]);
            l += 1;
        } else {
            only.push(&*right[r]);
            r += 1;
        }
    }
    only
}

#[test]
fn only_the_runtime_differs() {
    let (tokio, smol) = (main_of("tokio-server"), main_of("smol-server"));
    assert!(tokio.len() > 10 && smol.len() > 10, "the servers are there");
    let only = differences(&tokio, &smol);
    assert!(only.len() <= DIFFERENCES, "{only:#?}");
    for line in only {
        let runtime = ["tokio", "smol"];
        assert!(runtime.iter().any(|word| line.contains(word)), "{line:?}");
    }
}

#[test]
fn differences_are_found() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (left, right) = (lines("a\nb\nc\nd"), lines("b\nx\nd\ne"));
    assert_eq!(differences(&left, &right), ["a", "c", "x", "e"]);
    assert!(differences(&left, &left).is_empty());
}
