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

/// Knows a package by its name and a test by the last part of its name, anywhere in the tree. A library's tests are in modules,
/// which the exact name has in front.
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
        let exact = !mutant.test.contains(" --lib ") || mutant.test_name().contains("::");
        !exact || parts.iter().any(|part| !sources.contains(part))
    };
    let mut mutants = read(&root()).unwrap();
    mutants.retain(is_gone);
    assert!(mutants.is_empty(), "{mutants:#?}");
}

/// Knows a check by a line of its suite that is `module::check` and nothing else.
#[test]
fn every_check_of_a_suite_has_a_mutant() {
    let mutants = read(&root()).unwrap();
    for suite in [
        "adapters/conformance/src/suite/mod.rs",
        "completions/suite/src/lib.rs",
    ] {
        let text = fs::read_to_string(root().join(suite)).unwrap();
        let mut checks: Vec<&str> = text.lines().filter_map(check).collect();
        assert!(checks.len() > 10, "{suite} lists only {checks:?}");
        checks.retain(|check| {
            let fails = |mutant: &Mutant| mutant.test_name().ends_with(&format!("::{check}"));
            !mutants.iter().any(fails)
        });
        assert!(checks.is_empty(), "{suite}: no mutant fails {checks:#?}");
    }
}

fn check(line: &str) -> Option<&str> {
    let (module, check) = line.trim().trim_end_matches(',').split_once("::")?;
    let is_name = |text: &str| text.chars().all(|c| c == '_' || c.is_ascii_lowercase());
    (is_name(module) && is_name(check)).then_some(check)
}
