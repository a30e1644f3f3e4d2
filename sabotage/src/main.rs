//! Breaks the code on purpose, one sin at a time, and requires the named test to notice.
//!
//! ```text
//! cargo run --locked -p sabotage              every sin, about four minutes
//! cargo run --locked -p sabotage -- detach    those whose name contains the word
//! ```
//!
//! A check that cannot fail proves nothing. Each [`Sin`] is an edit of one place; it is made
//! in a copy of the tree under `target/sabotage`, and the test that holds the promise must fail there.
//! An edit that no longer applies, a copy that does not compile and a test that passes are each an
//! error: none is skipped.

mod adapters;
mod cluster;
mod completions;
mod faults;
mod postgres;
mod servers;
mod sins;

use std::error::Error;
use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::Instant;

use sins::{SINS, Sin};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    match chosen(&wanted).and_then(|chosen| run(&chosen)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "sabotage: {error}");
            ExitCode::FAILURE
        }
    }
}

fn all() -> impl Iterator<Item = &'static Sin> {
    SINS.iter()
        .chain(adapters::SINS)
        .chain(cluster::SINS)
        .chain(completions::SINS)
        .chain(faults::SINS)
        .chain(postgres::SINS)
        .chain(servers::SINS)
}

/// All sins; those whose name contains a word; or one share of them all, as in `--share 2/4`.
fn chosen(wanted: &[String]) -> Outcome<Vec<&'static Sin>> {
    let chosen: Vec<&Sin> = match wanted {
        [] => all().collect(),
        [flag, share] if flag == "--share" => {
            let (number, of) = share.split_once('/').ok_or("a share is written as 2/4")?;
            let (number, of): (usize, usize) = (number.parse()?, of.parse()?);
            // Neighbours break the same packages, so little is built.
            let until = |number: usize| number * all().count() / of.max(1);
            let (first, last) = (until(number), until(number + 1));
            all().skip(first).take(last - first).collect()
        }
        [word] => all().filter(|sin| sin.name.contains(&**word)).collect(),
        _ => return Err("give nothing, a word of a sin's name, or --share 2/4".into()),
    };
    if chosen.is_empty() {
        return Err(format!("no sin is meant by {wanted:?}").into());
    }
    Ok(chosen)
}

fn run(chosen: &[&Sin]) -> Outcome<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("the package has no parent")?;
    let copy = root.join("target/sabotage/tree");
    copy_tracked(root, &copy)?;
    let mut noticed = 0;
    for (number, sin) in chosen.iter().enumerate() {
        let start = Instant::now();
        let verdict = commit(sin, &copy)?;
        noticed += usize::from(verdict.is_ok());
        writeln!(
            stdout(),
            "[{:>2}/{}] {:<45} {} ({:.0} s)",
            number + 1,
            chosen.len(),
            sin.name,
            match &verdict {
                Ok(seed) => format!("caught by {}{seed}", sin.test),
                Err(why) => format!("NOT CAUGHT by {}: {why}", sin.test),
            },
            start.elapsed().as_secs_f64()
        )?;
    }
    writeln!(
        stdout(),
        "sabotage: {noticed} passed, {} failed",
        chosen.len() - noticed
    )?;
    Ok(noticed == chosen.len())
}

/// Copies what git tracks or would track, so that the sins never touch the tree itself.
fn copy_tracked(root: &Path, copy: &Path) -> Outcome<()> {
    if copy.exists() {
        fs::remove_dir_all(copy)?;
    }
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()?;
    if !listed.status.success() {
        return Err("git does not list the files of the tree".into());
    }
    for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
        let (from, to) = (root.join(name), copy.join(name));
        if from.is_file() {
            fs::create_dir_all(to.parent().ok_or("a file without a folder")?)?;
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

/// Makes the edit, runs the test, and takes the edit back. `Ok` says with which seed, of a test that has one;
/// `Err`, why the sin counts as unnoticed.
fn commit(sin: &Sin, copy: &Path) -> Outcome<Result<String, String>> {
    let file = copy.join(sin.file);
    let sound = fs::read_to_string(&file)?;
    if sound.matches(sin.sound).count() != 1 {
        return Err(format!(
            "{}: the text to break is not in {} once",
            sin.name, sin.file
        )
        .into());
    }
    fs::write(&file, sound.replace(sin.sound, sin.broken))?;
    let output = test(sin, copy);
    fs::write(&file, sound)?;
    let output = output?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.success() {
        return Ok(Err("the test passed".into()));
    }
    // Anything but a test that ran and failed is a mistake in the sin.
    let failed = said.contains(&format!("{} --- FAILED", sin.test))
        || said.contains(&format!("{} ... FAILED", sin.test));
    Ok(if failed {
        Ok(seed(&said))
    } else {
        Err(format!("the test did not run:\n{said}"))
    })
}

/// The seed that a failed simulation replays.
fn seed(said: &str) -> String {
    let after = said.split_once("SIMULATION_SEED=").map(|(_, after)| after);
    let seed = after.and_then(|after| after.split_whitespace().next());
    seed.map(|seed| format!(" with seed {seed}"))
        .unwrap_or_default()
}

fn test(sin: &Sin, copy: &Path) -> Outcome<Output> {
    let mut command = Command::new("cargo");
    command
        .args(["test", "--locked", "--quiet", "--package", sin.package])
        .args(sin.suite)
        .args(["--", "--exact", sin.test])
        .env("CARGO_TARGET_DIR", target(copy))
        .env("RUST_BACKTRACE", "0")
        .current_dir(copy);
    Ok(command.output()?)
}

/// One folder for all sins: only what the edit touches is built again.
fn target(copy: &Path) -> PathBuf {
    copy.with_file_name("target")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cheap, so that whoever changes such a line learns of it at once.
    #[test]
    fn every_text_to_break_is_there_once() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let gone = all().filter(|sin| {
            let text = fs::read_to_string(root.join(sin.file)).unwrap_or_default();
            text.matches(sin.sound).count() != 1
        });
        let gone: Vec<&str> = gone.map(|sin| sin.name).collect();
        assert!(gone.is_empty(), "{gone:#?}");
    }
}
