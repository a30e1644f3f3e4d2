//! The table of mutants, as it stands in `table/*.toml`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

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

/// The root of the tree that this package is in.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
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
