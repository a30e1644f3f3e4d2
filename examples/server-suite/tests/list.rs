//! Holds the list of the checks to the checks there are, and the programs that measure to their flags.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A check that is written and not listed would never run.
#[test]
fn every_check_is_listed() {
    let checks = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/checks");
    let list = fs::read_to_string(checks.join("mod.rs")).unwrap();
    let mut written = Vec::new();
    for file in fs::read_dir(&checks).unwrap() {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        for line in source.lines() {
            if let Some(name) = line.strip_prefix("pub async fn ") {
                written.push(name.split('(').next().unwrap().to_owned());
            }
        }
    }
    assert!(written.len() > 30, "{written:?}");
    for name in written {
        let times = list.lines().filter(|line| line.trim() == name).count();
        assert_eq!(times, 1, "{name} is listed {times} times");
    }
}

#[test]
fn what_measures_names_the_flag_that_is_wrong_and_measures_nothing() {
    for (program, arguments, named) in [
        (env!("CARGO_BIN_EXE_outages"), &["oracle"][..], "oracle"),
        (env!("CARGO_BIN_EXE_outages"), &["--rate", "0"], "--rate"),
        (env!("CARGO_BIN_EXE_rolling"), &["--rate", "1001"], "--rate"),
        (env!("CARGO_BIN_EXE_rolling"), &["--client"], "--client"),
        (env!("CARGO_BIN_EXE_thin"), &["--minutes", "0"], "--minutes"),
    ] {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
}
