//! The copy of the tree in which mutants run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use crate::Outcome;
use crate::table::Mutant;

/// Seconds after which a test that states no limit is killed.
const LIMIT: u32 = 600;

/// A copy of the tree, beside one target folder for all mutants: an edit compiles what it touches.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Brings the copy under `target/mutants` up to date. A file that is the same already keeps its time of
    /// change, so that a second run compiles nothing.
    pub(crate) fn copy_of(root: &Path) -> Outcome<Self> {
        let tree = root.join("target/mutants/tree");
        fs::create_dir_all(&tree)?;
        let names = tracked(root)?;
        for path in files_in(&tree)? {
            let name = path.strip_prefix(&tree)?.to_string_lossy();
            if !names.contains(&*name) {
                fs::remove_file(path)?;
            }
        }
        for name in &names {
            let (from, to) = (root.join(name), tree.join(name));
            if fs::read(&from)? != fs::read(&to).unwrap_or_default() || !to.exists() {
                fs::create_dir_all(to.parent().ok_or("a file without a folder")?)?;
                fs::copy(from, to)?;
            }
        }
        Ok(Self { root: tree })
    }

    /// Makes the edit, runs the test, and takes the edit back. The inner result is `Ok` with how the mutant
    /// was caught, or `Err` with why the mutant survived.
    pub(crate) fn run(&self, mutant: &Mutant) -> Outcome<Result<String, String>> {
        let file = self.root.join(&mutant.file);
        let sound = fs::read_to_string(&file)?;
        fs::write(&file, mutant.edit(&sound)?)?;
        let verdict = self.test(mutant);
        fs::write(&file, sound)?;
        verdict
    }

    fn test(&self, mutant: &Mutant) -> Outcome<Result<String, String>> {
        let start = Instant::now();
        let mut build = Command::new("cargo");
        let built = self.output(build.args(["test", "--no-run"]), mutant)?;
        if !built.status.success() {
            return Ok(Err(format!("it does not compile:\n{}", said(&built))));
        }
        // `timeout` ends the test program too, which a signal to cargo alone leaves behind.
        let limit = mutant.limit.unwrap_or(LIMIT).to_string();
        let mut test = Command::new("timeout");
        let tested = self.output(
            test.args(["--signal=KILL", &limit, "cargo", "test"]),
            mutant,
        )?;
        let said = said(&tested);
        let seconds = start.elapsed().as_secs();
        Ok(if tested.status.success() {
            Err("the test passed, or there is none of this name".into())
        } else if said.contains(&format!("test {} ... FAILED", mutant.test_name())) {
            Ok(format!("in {seconds} s{}", seed(&said)))
        } else if mutant.limit.is_some() && tested.status.code().is_none() {
            Ok(format!("by the limit of {limit} s, in {seconds} s"))
        } else {
            Err(format!("the test ended, but did not fail:\n{said}"))
        })
    }

    /// Runs `cargo test` with the mutant's arguments.
    fn output(&self, command: &mut Command, mutant: &Mutant) -> Outcome<Output> {
        let output = command
            .arg("--locked")
            .args(mutant.test.split_whitespace())
            .args(["--", "--exact"])
            .env("CARGO_TARGET_DIR", self.root.with_file_name("target"))
            .env("RUST_BACKTRACE", "0")
            .current_dir(&self.root)
            .output()?;
        Ok(output)
    }
}

/// The files that git tracks or would track.
pub(crate) fn tracked(root: &Path) -> Outcome<BTreeSet<String>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others"])
        .arg("--exclude-standard")
        .current_dir(root)
        .output()?;
    if !listed.status.success() {
        return Err(format!("git does not list the tree: {}", said(&listed)).into());
    }
    let names = String::from_utf8(listed.stdout)?;
    Ok(names
        .split_terminator('\0')
        .filter(|name| root.join(name).is_file())
        .map(str::to_owned)
        .collect())
}

fn files_in(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_in(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// The seed that replays a simulation which failed.
fn seed(said: &str) -> String {
    let after = said.split_once("SIMULATION_SEED=").map(|(_, after)| after);
    let seed = after.and_then(|after| after.split_whitespace().next());
    seed.map(|seed| format!(", seed {seed}"))
        .unwrap_or_default()
}
