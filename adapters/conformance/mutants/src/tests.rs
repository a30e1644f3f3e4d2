//! The table fits the tree.

use std::fs;

use crate::run;
use crate::table::{Mutant, read, root};

/// Takes a second, so that a change of such a text is reported with the change.
#[test]
fn every_text_to_replace_is_in_its_file_once() {
    let mutants = read(&root()).unwrap();
    let stale = mutants.iter().filter_map(|mutant| {
        let text = fs::read_to_string(root().join(&mutant.file)).unwrap_or_default();
        mutant.edit(&text).err()
    });
    let stale: Vec<String> = stale.collect();
    assert!(stale.is_empty(), "\n{}", stale.join("\n"));
}

/// Knows a package by its name and a test by the last part of its name, anywhere in the tree.
#[test]
fn every_test_that_must_fail_is_in_the_tree() {
    let mut sources = String::new();
    for name in run::tracked(&root()).unwrap() {
        if name.ends_with(".rs") || name.ends_with("Cargo.toml") {
            sources += &fs::read_to_string(root().join(name)).unwrap();
        }
    }
    let is_gone = |mutant: &Mutant| {
        let package = mutant.test.split_whitespace().nth(1).unwrap_or_default();
        let function = mutant.test_name().rsplit("::").next().unwrap_or_default();
        let parts = [format!("name = \"{package}\""), format!("fn {function}(")];
        parts.iter().any(|part| !sources.contains(part))
    };
    let mut mutants = read(&root()).unwrap();
    mutants.retain(is_gone);
    assert!(mutants.is_empty(), "{mutants:#?}");
}
