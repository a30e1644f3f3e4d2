//! The table of mutants, as it stands in `table/*.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::Outcome;

/// One edit that breaks one promise, and the test that must fail on the edit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    /// The table's file and the entry's key, as in `registry/closed-flag-is-ignored`.
    #[serde(skip)]
    pub(crate) name: String,
    /// The promise that the edit breaks, its number in front.
    pub(crate) promise: String,
    /// The file to edit, from the root of the tree.
    pub(crate) file: String,
    /// The text to replace, which is in the file exactly once.
    find: String,
    replace: String,
    /// The arguments of `cargo test`; the last is the full name of the test.
    pub(crate) test: String,
    /// After how many seconds a test that hangs is killed and the mutant counts as caught. Without a
    /// limit a test that hangs is killed after ten minutes and the mutant counts as a survivor.
    pub(crate) limit: Option<u32>,
}

/// Reads every mutant, in the order of the names.
pub(crate) fn read(root: &Path) -> Outcome<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for entry in fs::read_dir(root.join("adapters/conformance/mutants/table"))? {
        let path = entry?.path();
        let area = path.file_stem().unwrap_or_default().to_string_lossy();
        let table: BTreeMap<String, Mutant> = toml::from_str(&fs::read_to_string(&path)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        mutants.extend(table.into_iter().map(|(key, mutant)| Mutant {
            name: format!("{area}/{key}"),
            ..mutant
        }));
    }
    mutants.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(mutants)
}

impl Mutant {
    /// The full name of the test that must fail.
    pub(crate) fn test_name(&self) -> &str {
        self.test.split_whitespace().last().unwrap_or_default()
    }

    /// The text of the file with the edit made.
    pub(crate) fn edit(&self, text: &str) -> Result<String, String> {
        match text.matches(&self.find).count() {
            1 => Ok(text.replace(&self.find, &self.replace)),
            count => Err(format!(
                "{}: {} has this text {count} times, not once:\n{}\n",
                self.name, self.file, self.find
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{root, run};

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
}
