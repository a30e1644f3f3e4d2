//! Instruction counts under callgrind. Times differ from run to run and machine to machine, the instructions of one
//! compiler hardly do.
//!
//! The cost of a case is the difference between repeating the case N times and 2 N times, so the start and the end of the
//! program are not counted. A change that costs a tenth more fails here, and so does one that saves a third: then the
//! number below is recorded anew, in the commit that earned it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A case: how often it is repeated, the units of each repetition, and the recorded instructions of a unit.
struct Case<'a> {
    name: &'a str,
    times: u64,
    units: u64,
    instructions: f64,
}

const fn case(name: &str, times: u64, units: u64, instructions: f64) -> Case<'_> {
    Case {
        name,
        times,
        units,
        instructions,
    }
}

const PUBLISH: Case<'_> = case("publish", 5_000, 1, 548.0);

/// The registry's cases, and those of the wire, whose frames have 64 messages.
const CASES: [Case<'_>; 7] = [
    PUBLISH,
    case("deliver", 100, 1_000, 51.8),
    // Tables are built anew now and then, when by the hash seed of the run: enough cycles that one more does not count.
    case("cycle", 2_000, 1, 10_218.0),
    case("encode-64", 100, 64, 717.9),
    case("encode-1024", 100, 64, 1_197.0),
    case("decode-64", 100, 64, 1_403.0),
    case("decode-1024", 100, 64, 1_550.0),
];

/// The program, optimized as a release, without what takes long to compile.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        build.args(["build", "--locked", "--quiet", "--profile", "optimized"]);
        build.args(["-p", "instructions"]);
        assert!(build.status().expect("cargo runs").success());
        // Next to the folder of this test's profile.
        let folder = PathBuf::from(env!("CARGO_BIN_EXE_instructions"));
        let target = folder.ancestors().nth(2).expect("a target folder");
        target.join("optimized/instructions")
    })
}

/// Counts the instructions of a run.
fn count(name: &str, times: u64) -> u64 {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(program()).args([name, &times.to_string()]);
    let output = valgrind
        .stdin(Stdio::null())
        .output()
        .expect("valgrind is installed, as ./test tools sees to");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said.lines()
        .find_map(|line| line.split_once("Collected : "))
        .and_then(|(_, count)| count.trim().parse().ok())
        .unwrap_or_else(|| panic!("no count in {said}"))
}

fn instructions(case: &Case<'_>) -> f64 {
    let more = count(case.name, 2 * case.times) - count(case.name, case.times);
    more as f64 / (case.times * case.units) as f64
}

/// The ratio of a case's instructions to the recorded ones.
#[expect(clippy::print_stdout, reason = "the number to record anew")]
fn change(case: &Case<'_>) -> f64 {
    let instructions = instructions(case);
    println!("{}: {instructions:.1} instructions", case.name);
    instructions / case.instructions
}

#[test]
fn nothing_takes_more_instructions_than_it_did() {
    let changed: Vec<String> = CASES
        .iter()
        .map(|case| (case, change(case)))
        .filter(|(_, change)| !(0.67..=1.1).contains(change))
        .map(|(case, change)| {
            format!(
                "{} takes {change:.2} of its recorded instructions",
                case.name
            )
        })
        .collect();
    assert!(changed.is_empty(), "{}", changed.join(", "));
}

/// One allocation more in a publish is a failure.
#[test]
fn an_allocation_more_is_seen() {
    assert!(change(&case("publish-copied", 5_000, 1, PUBLISH.instructions)) > 1.1);
}

/// A payload that is alone in its frame is neither read nor copied, however long it is. A payload among many is copied
/// once in every node, so that it does not keep the whole frame.
#[test]
fn a_payload_of_its_own_frame_is_not_copied() {
    let [short, long] = [1_024, 65_536]
        .map(|bytes| instructions(&case(&format!("decode-alone-{bytes}"), 500, 1, 0.0)));
    let per_byte = (long - short) / (65_536.0 - 1_024.0);
    println!("decoding takes {per_byte:.5} instructions for each byte of payload");
    assert!(per_byte < 0.001, "{per_byte}");
}
