//! The page for operators says what is so.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::checks::operators::metric_names;
use crate::fixture::Program;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    fs::read_to_string(root().join("docs/OPERATING.md")).expect("the page for operators")
}

/// The words of a text that begin like this.
fn words<'a>(text: &'a str, start: &str) -> BTreeSet<&'a str> {
    let words =
        text.split(|letter: char| !letter.is_ascii_alphanumeric() && !"_-".contains(letter));
    words.filter(|word| word.starts_with(start)).collect()
}

/// Every metric that the page names is one that a server gives, or one of a program's listener of completions as the dashboard
/// has them, and every flag is one that it has.
pub async fn the_page_for_operators_names_what_there_is(program: Program) {
    let (page, server) = (page(), program.start(""));
    let given = metric_names(&server).await;
    let named = words(&page, "midplane_");
    let named: Vec<_> = named.iter().filter(|name| !name.ends_with('_')).collect();
    assert!(named.len() > 15, "{named:?}");
    let dashboard = fs::read_to_string(root().join("midplane/grafana.json"));
    let dashboard = dashboard.expect("the dashboard");
    for name in named {
        let of_a_listener = name.starts_with("midplane_listener_") && dashboard.contains(*name);
        let known = of_a_listener || given.contains(*name);
        assert!(known, "{name} is no metric: {given:?}");
    }
    let help = program.end(&[], &["--help"]).await.stdout;
    let (flags, known) = (words(&page, "--"), words(&help, "--"));
    assert!(flags.len() > 12, "{flags:?}");
    for flag in flags {
        assert!(flag.len() < 4 || known.contains(flag), "{flag} is no flag");
    }
}

/// The fixed phrases that a source logs: the last text of a call, which is no field.
fn phrases(source: &str) -> Vec<&str> {
    let mut phrases = Vec::new();
    let (source, _) = source.split_once("#[cfg(test)]").unwrap_or((source, ""));
    for call in source.split("tracing::").skip(1) {
        let levels = ["info!(", "warn!(", "error!(", "debug!("];
        if !levels.iter().any(|level| call.starts_with(level)) {
            continue;
        }
        let mut depth = 0;
        let end = call.find(|letter| {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            letter == ')' && depth == 0
        });
        let call = &call[..end.expect("a call ends")];
        phrases.extend(call.split('"').skip(1).step_by(2).last());
    }
    phrases
}

/// Every phrase that the servers log stands on the page for operators, and every one that a plane does.
pub async fn every_line_of_the_log_is_explained(_: Program) {
    let page = page();
    let mut found = BTreeSet::new();
    let sources = fs::read_dir(root().join("examples/server/src")).expect("the sources");
    let sources = sources.map(|file| file.expect("a file").path());
    for path in sources.chain([root().join("midplane/src/log.rs")]) {
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let source = fs::read_to_string(&path).expect("a source");
        found.extend(phrases(&source).into_iter().map(str::to_owned));
    }
    assert!(found.len() > 20, "{found:?}");
    for phrase in found {
        assert!(
            page.contains(&format!("`{phrase}`")),
            "{phrase:?} is not explained"
        );
    }
}
