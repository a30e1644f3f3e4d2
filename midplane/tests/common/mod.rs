//! Tests that read the environment of a process of their own.

use std::process::Command;

const CHILD: &str = "MIDPLANE_TEST_CONNECT_CHILD";

/// Whether this process was started by [`said_in_environment`].
pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// The environment of a process cannot be changed in it without `unsafe`, so a child's is read: what this test prints
/// behind "environment: ", run by itself.
pub(crate) fn said_in_environment(test: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env_clear()
        .env(CHILD, "1")
        .envs(variables.iter().copied())
        .output()
        .expect("this program starts");
    let output = String::from_utf8(output.stdout).expect("text");
    let mut lines = output.lines();
    let said = lines.find_map(|line| line.split_once("environment: "));
    said.unwrap_or_else(|| panic!("nothing is said: {output}"))
        .1
        .to_owned()
}
