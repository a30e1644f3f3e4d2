//! What the core must not know, held by asking cargo.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs cargo in the workspace and gives what it printed; fails with what it said.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "cargo {arguments:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("cargo prints text")
}

/// The names of a package's dependencies, all the way down, without those of its tests.
fn dependencies(package: &str) -> Vec<String> {
    dependencies_with(package, "--all-features")
}

fn dependencies_with(package: &str, features: &str) -> Vec<String> {
    let tree = cargo(&[
        "tree",
        "--locked",
        "--package",
        package,
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
        features,
    ]);
    let names = tree
        .lines()
        .skip(1)
        .filter_map(|line| line.split(' ').next());
    names
        .filter(|name| !name.is_empty())
        .map(String::from)
        .collect()
}

/// What brings a runtime, a reactor or an operating system.
const RUNTIMES: [&str; 12] = [
    "tokio",
    "smol",
    "async-io",
    "async-std",
    "async-executor",
    "async-global-executor",
    "futures-executor",
    "mio",
    "polling",
    "rustix",
    "libc",
    "parking_lot",
];

/// A target without std is the real check: whatever leaks std fails to build there.
#[test]
fn the_core_and_the_completions_build_without_std() {
    cargo(&[
        "build",
        "--locked",
        "--package",
        "midplane-core",
        "--package",
        "midplane-completions",
        "--target",
        "thumbv7em-none-eabihf",
        "--target-dir",
        "target/no-std",
    ]);
}

#[test]
fn the_core_depends_on_no_runtime_and_on_nothing_of_ours() {
    let dependencies = dependencies("midplane-core");
    assert!(
        dependencies.iter().any(|name| name == "lock_api"),
        "the tree was not read"
    );
    for name in &dependencies {
        assert!(
            !RUNTIMES.contains(&name.as_str()),
            "the core depends on {name}"
        );
        assert!(!name.starts_with("midplane"), "the core depends on {name}");
    }
}

/// Completions are a product of their own on the core's seams: the core's sources and manifest never name them.
#[test]
fn the_core_never_names_completions() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![core.join("Cargo.toml")];
    let mut folders = vec![core.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            let list = if path.is_dir() {
                &mut folders
            } else {
                &mut files
            };
            list.push(path);
        }
    }
    assert!(files.len() > 20, "the sources were not found");
    for file in files {
        let text = fs::read_to_string(&file).expect("a text");
        let names = text.to_lowercase().contains("completion");
        assert!(!names, "{} names completions", file.display());
    }
}

#[test]
fn a_program_with_a_bus_alone_compiles_no_completions() {
    for package in ["midplane", "midplane-redis", "midplane-postgres"] {
        let dependencies = dependencies_with(package, "--no-default-features");
        assert!(
            dependencies.iter().any(|name| name == "midplane-core"),
            "the tree was not read"
        );
        assert!(
            !dependencies
                .iter()
                .any(|name| name == "midplane-completions"),
            "{package} depends on completions"
        );
    }
}

#[test]
fn the_core_has_no_features() {
    let manifest = include_str!("../Cargo.toml");
    let (_, features) = manifest
        .split_once("[features]\n")
        .expect("the table is there and empty");
    assert!(
        features.starts_with("\n["),
        "a feature was added to the core"
    );
}

/// The drivers of the buses, which are its features, bring what they need, whichever runtime the program is on.
#[test]
fn the_shared_server_chooses_no_runtime() {
    let dependencies = dependencies_with("midplane-server", "--no-default-features");
    assert!(
        dependencies.iter().any(|name| name == "hyper"),
        "the tree was not read"
    );
    for runtime in [
        "smol",
        "async-io",
        "async-std",
        "async-executor",
        "mio",
        "polling",
    ] {
        assert!(
            !dependencies.iter().any(|name| name == runtime),
            "the server depends on {runtime}"
        );
    }
}

/// The stated MSRV holds for everything the published crates pull in.
#[test]
fn no_dependency_needs_a_newer_rust() {
    let metadata: serde_json::Value =
        serde_json::from_str(&cargo(&["metadata", "--locked", "--format-version", "1"])).unwrap();
    let version = |value: &serde_json::Value| {
        let mut numbers = value
            .as_str()?
            .split('.')
            .map(|part| part.parse::<u32>().unwrap_or(0));
        Some((numbers.next()?, numbers.next()?))
    };
    let packages = metadata["packages"].as_array().unwrap();
    let own = packages
        .iter()
        .find(|package| package["name"] == "midplane-core")
        .unwrap();
    let stated = version(&own["rust_version"]).expect("an MSRV is stated");
    for package in packages {
        if let Some(needed) = version(&package["rust_version"]) {
            assert!(
                needed <= stated,
                "{} needs Rust {}",
                package["id"],
                package["rust_version"]
            );
        }
    }
}

/// `./test package` packs every crate that can be published: each has its licences, a readme and what finds it.
#[test]
fn every_crate_that_can_be_published_is_packed_and_found() {
    let metadata = cargo(&["metadata", "--locked", "--no-deps", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let script = include_str!("../../test");
    let (_, list) = script
        .split_once("published=(midplane midplane-{")
        .expect("the script lists what is published");
    let (list, _) = list.split_once('}').unwrap();
    let packed = list.split(',').map(|name| format!("midplane-{name}"));
    let packed: BTreeSet<_> = packed.chain(["midplane".into()]).collect();
    let mut published = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        if !package["publish"].is_null() {
            continue;
        }
        let name = package["name"].as_str().unwrap();
        published.insert(name.to_string());
        let folder = Path::new(package["manifest_path"].as_str().unwrap())
            .parent()
            .unwrap();
        for file in [
            "LICENSE-MIT",
            "LICENSE-APACHE",
            package["readme"].as_str().unwrap_or("README.md"),
        ] {
            assert!(folder.join(file).exists(), "{name} has no {file}");
        }
        for key in ["description", "license", "keywords", "categories"] {
            let value = &package[key];
            let length = value
                .as_str()
                .map(str::len)
                .or_else(|| value.as_array().map(Vec::len));
            assert!(
                length.is_some_and(|length| length > 0),
                "{name} has no {key}"
            );
        }
    }
    assert_eq!(packed, published);
}
