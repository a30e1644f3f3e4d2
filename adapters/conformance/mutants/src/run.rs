//! The copy of the tree in which mutants run.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use crate::table::{Mutant, Outcome};

/// Seconds after which a test that states no limit is killed.
const LIMIT: u32 = 600;

/// Runs of each scenario of a simulation, which ends with the first that fails. More than a simulation
/// has by itself, so that a mutant is caught whichever runs the seeds happen to make.
const SEEDS: &str = "1000";

/// A copy of the tree, compiled into the target folder of the tree itself: what is not ours is compiled there
/// already, and an edit compiles what it touches.
#[derive(Debug)]
pub(crate) struct Tree {
    copy: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// Brings the copy under `target/mutants` up to date. A file that is the same already keeps its time of
    /// change, so that a second run compiles nothing; a file that came or went begins a new copy.
    pub(crate) fn copy_of(root: &Path) -> Outcome<Self> {
        let (copy, list) = (root.join("target/mutants/tree"), "target/mutants/list");
        let names = tracked(root)?;
        if fs::read_to_string(root.join(list)).ok() != Some(names.join("\n")) && copy.exists() {
            fs::remove_dir_all(&copy)?;
        }
        for name in &names {
            let (from, to) = (root.join(name), copy.join(name));
            if fs::read(&from).ok() != fs::read(&to).ok() {
                fs::create_dir_all(to.parent().ok_or("a file without a folder")?)?;
                fs::copy(from, to)?;
            }
        }
        fs::write(root.join(list), names.join("\n"))?;
        // A relative path would be of the copy, where cargo runs.
        let target = root.join("target").canonicalize()?;
        Ok(Self { copy, target })
    }

    /// Makes the edit, runs the test, and takes the edit back. The inner result is `Ok` with how the mutant
    /// was caught, or `Err` with why the mutant survived.
    pub(crate) fn run(&self, mutant: &Mutant) -> Outcome<Result<String, String>> {
        let file = self.copy.join(&mutant.file);
        let sound = fs::read_to_string(&file)?;
        fs::write(&file, mutant.edit(&sound)?)?;
        let verdict = self.test(mutant);
        fs::write(&file, sound)?;
        verdict
    }

    fn test(&self, mutant: &Mutant) -> Outcome<Result<String, String>> {
        let start = Instant::now();
        let built = self.cargo(&["cargo", "test", "--no-run"], mutant)?;
        if !built.status.success() {
            return Ok(Err(format!("it does not compile:\n{}", said(&built))));
        }
        // `timeout` ends the test program too, which a signal to cargo alone leaves behind.
        let limit = mutant.limit.unwrap_or(LIMIT).to_string();
        let tested = self.cargo(
            &["timeout", "--signal=KILL", &limit, "cargo", "test"],
            mutant,
        )?;
        let (said, seconds) = (said(&tested), start.elapsed().as_secs());
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

    /// Runs this command with the mutant's arguments of `cargo test`, and with all features unless these
    /// arguments name some. With all features a file of tests is looked for in every package, as `./test unit`
    /// does: what is not ours is compiled for both with the same features then, and only once.
    fn cargo(&self, command: &[&str], mutant: &Mutant) -> Outcome<Output> {
        let all = !mutant.test.contains("features");
        let everywhere = all && mutant.test.contains(" --test ");
        let mut words = mutant.test.split_whitespace();
        if everywhere {
            words.nth(1).ok_or("the test names no package")?;
        }
        let mut command_line = Command::new(command[0]);
        // What cargo says of this package to whom it runs: build scripts that read it would run again, and what needs
        // them be compiled again.
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command_line.env_remove(name);
            }
        }
        let output = command_line
            .args(&command[1..])
            .arg("--locked")
            .args(everywhere.then_some("--workspace"))
            .args(all.then_some("--all-features"))
            .args(words)
            .args(["--", "--exact"])
            .env("CARGO_TARGET_DIR", &self.target)
            .env("RUST_BACKTRACE", "0")
            .env("SIMULATION_SEEDS", SEEDS)
            .env("SIMULATION_FAILURES", "1")
            .current_dir(&self.copy)
            .output()?;
        Ok(output)
    }
}

/// The files that git tracks or would track.
pub(crate) fn tracked(root: &Path) -> Outcome<Vec<String>> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()?;
    if !listed.status.success() {
        return Err(format!("git does not list the tree: {}", said(&listed)).into());
    }
    let names = String::from_utf8(listed.stdout)?;
    let names = names.lines().filter(|name| root.join(name).is_file());
    Ok(names.map(str::to_owned).collect())
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes))
        .concat()
}

/// The seed that replays a simulation which failed.
fn seed(said: &str) -> String {
    let after = said.split_once("SIMULATION_SEED=").map(|(_, after)| after);
    let seed = after.and_then(|after| after.split_whitespace().next());
    seed.map(|seed| format!(", seed {seed}"))
        .unwrap_or_default()
}
