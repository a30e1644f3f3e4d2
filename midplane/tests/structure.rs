//! The adapters are written in parallel, and a program compiles no runtime but its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ADAPTERS: [&str; 3] = ["redis", "nats", "postgres"];

/// What every adapter is made of, beside what its documentation names as peculiar to it.
const FILES: [&str; 6] = ["lib", "settings", "url", "tls", "link", "error"];

const HEADINGS: [&str; 5] = [
    "# Mapping",
    "# Limits",
    "# What happens on disconnect",
    "# Where it runs",
    "# Map",
];

/// What a program on tokio compiles nothing of.
const SMOL: [&str; 14] = [
    "async-channel",
    "async-executor",
    "async-fs",
    "async-global-executor",
    "async-io",
    "async-net",
    "async-process",
    "async-signal",
    "async-task",
    "blocking",
    "futures-rustls",
    "polling",
    "smol",
    "smol-timeout",
];

/// What a program on smol compiles nothing of. The driver of Redis uses the traits of `tokio` itself on any runtime.
const TOKIO: [&str; 2] = ["mio", "tokio-rustls"];

fn sources(adapter: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../adapters/{adapter}/src"))
}

fn documentation(adapter: &str) -> String {
    let lib = fs::read_to_string(sources(adapter).join("lib.rs")).expect("a crate");
    let lines = lib.lines().filter_map(|line| line.strip_prefix("//!"));
    lines.map(|line| format!("{}\n", line.trim())).collect()
}

#[test]
fn adapters_differ_only_in_the_files_that_they_name_as_peculiar() {
    for adapter in ADAPTERS {
        let documentation = documentation(adapter);
        let (_, map) = documentation.split_once("# Map\n").expect("a map");
        let (_, peculiar) = map.split_once("Peculiar to").expect("what is peculiar");
        let found: BTreeSet<_> = fs::read_dir(sources(adapter))
            .expect("sources")
            .map(|entry| entry.expect("an entry").path())
            .map(|path| path.file_stem().expect("a name").to_owned())
            .map(|name| name.into_string().expect("text"))
            .collect();
        for name in FILES {
            assert!(found.contains(name), "{adapter} has no {name}.rs");
        }
        for name in found.iter().filter(|name| !FILES.contains(&name.as_str())) {
            let named = format!("`{name}`");
            let stands_in = name == "no_tls" && map.contains(&named);
            assert!(
                stands_in || peculiar.contains(&named),
                "{adapter} does not name {name} as peculiar to it"
            );
        }
    }
}

#[test]
fn adapters_are_documented_under_the_same_headings() {
    for adapter in ADAPTERS {
        let documentation = documentation(adapter);
        let headings: Vec<_> = documentation
            .lines()
            .filter(|line| line.starts_with("# "))
            .filter(|line| HEADINGS.contains(line))
            .collect();
        assert_eq!(headings, HEADINGS, "{adapter}");
    }
}

/// The packages that a program compiles with these features of a package, each with its own features.
fn packages(package: &str, features: &str) -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal,build"])
        .args(["--prefix", "none", "--format", "{p} [{f}]"])
        .args(["--no-default-features", "--package", package])
        .args(["--features", features])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree failed: {said}");
    let tree = String::from_utf8(output.stdout).expect("cargo prints text");
    let packages: Vec<_> = tree
        .lines()
        .filter_map(|line| line.split_once(" v"))
        .map(|(name, rest)| {
            let features = rest.split_once('[').map_or("", |(_, features)| features);
            (name.to_owned(), features.replace(']', " "))
        })
        .collect();
    assert!(
        packages.iter().any(|(name, _)| name == "redis"),
        "the tree was not read"
    );
    packages
}

#[test]
fn a_program_on_tokio_with_redis_compiles_nothing_of_smol() {
    for (package, features) in [
        ("midplane-redis", "tokio"),
        ("midplane-redis", "tokio,tls,completions"),
        ("midplane", "redis,tokio,tls"),
    ] {
        for (name, _) in packages(package, features) {
            assert!(
                !SMOL.contains(&name.as_str()),
                "{package} with {features} compiles {name}"
            );
        }
    }
}

#[test]
fn a_program_on_smol_with_redis_compiles_no_reactor_of_tokio() {
    for (package, features) in [
        ("midplane-redis", "smol"),
        ("midplane-redis", "smol,tls,completions"),
        ("midplane", "redis,smol,tls"),
    ] {
        for (name, enabled) in packages(package, features) {
            assert!(
                !TOKIO.contains(&name.as_str()),
                "{package} with {features} compiles {name}"
            );
            let runtime = |feature: &str| matches!(feature.trim(), "net" | "rt" | "time" | "mio");
            assert!(
                name != "tokio" || !enabled.split([',', ' ']).any(runtime),
                "{package} with {features} compiles tokio with {enabled}"
            );
        }
    }
}
