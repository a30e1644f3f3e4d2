//! The README's program as two processes over a real Redis.

use std::process::Command;

use futures::executor::block_on;
use midplane_testkit::child::Child;
use midplane_testkit::eventually;
use midplane_testkit::server::Server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_first");

/// What the program prints of the event that each replica publishes.
const EVENT: &str = "Event(Event { bytes: 8, text: true, key: None })";

fn start(url: &str) -> Child {
    Child::start(Command::new(PROGRAM).arg(url)).expect("the program starts")
}

#[test]
fn two_replicas_get_what_either_publishes() {
    let redis = Server::redis();
    let first = start(&redis.url());
    assert_eq!(first.line().as_deref(), Some(EVENT), "{}", first.log());
    let second = start(&redis.url());
    // Its own, and on the other that of the second.
    assert_eq!(second.line().as_deref(), Some(EVENT), "{}", second.log());
    assert_eq!(first.line().as_deref(), Some(EVENT), "{}", first.log());
}

/// Who runs it without a Redis reads what failed and by which setting.
#[test]
fn without_a_server_the_program_says_what_to_look_at() {
    let program = start("redis://:hunter2@127.0.0.1:1");
    assert_eq!(program.line(), None);
    let says = || program.log().contains("the bus of the url is not open");
    block_on(eventually("the program says why", says));
    let log = program.log();
    assert!(
        log.contains("127.0.0.1:1") && !log.contains("hunter2"),
        "{log}"
    );
}

/// The README shows this very program, but for the argument that names the server.
#[test]
fn the_readme_has_this_program() {
    let readme = include_str!("../../../README.md");
    let main = include_str!("../src/main.rs");
    let (_, body) = main.split_once("await?;\n").expect("it connects");
    let lines: Vec<_> = body
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    assert!(lines.len() > 8, "{lines:?}");
    let place = |line: &str| {
        readme
            .lines()
            .position(|of| of.split(" //").next().is_some_and(|of| of.trim() == line))
    };
    for line in lines {
        assert!(place(line).is_some(), "the README has no `{line}`");
    }
}

/// The README sells and starts, and the examples are read: both are short.
#[test]
fn the_readme_and_the_examples_are_short() {
    let words = include_str!("../../../README.md")
        .split_whitespace()
        .count();
    assert!(words < 900, "the README has {words} words");
    for file in [
        "axum-app/src/main.rs",
        "axum-app/src/bin/chat.rs",
        "axum-app/src/bin/jobs.rs",
        "axum-app/src/bin/tokens.rs",
        "compio/src/main.rs",
        "hyper-server/src/main.rs",
        "hyper-server/src/websocket.rs",
    ] {
        let path = format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"));
        let lines = std::fs::read_to_string(path)
            .expect("an example")
            .lines()
            .count();
        assert!(lines < 100, "{file} has {lines} lines");
    }
}
