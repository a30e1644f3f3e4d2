//! Holds the list of the checks to the checks there are.

use std::fs;
use std::path::Path;

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
