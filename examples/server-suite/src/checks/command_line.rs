//! The command line: help, and what is wrong said in a line.

use crate::fixture::Program;
use crate::flags;

/// Runs a program that cannot do what it is asked: one line that says why, with this word and no password in it, and
/// no success.
async fn refused(program: Program, environment: &[(&str, &str)], flags: &[&str], word: &str) {
    let end = program.end(environment, flags).await;
    let told = format!("{environment:?} {flags:?}: {end:?}");
    assert!(!end.status.success(), "{told}");
    assert_eq!(end.stdout, "", "{told}");
    assert_eq!(end.stderr.trim_end().lines().count(), 1, "{told}");
    assert!(end.stderr.contains(word), "no {word:?}: {told}");
    assert!(!end.stderr.contains("hunter2"), "{told}");
}

/// `--help` succeeds and names every flag that the checks use.
pub async fn help_names_every_flag(program: Program) {
    let end = program.end(&[], &["--help"]).await;
    assert!(end.status.success(), "{end:?}");
    assert_eq!(end.stderr, "");
    let words: Vec<_> = end.stdout.split([' ', '\n', ',', '=']).collect();
    for flag in flags::names().iter().chain(&["--listen", "--help"]) {
        assert!(words.contains(flag), "{flag} is not in {}", end.stdout);
    }
}

/// An address that is taken, is no address, or is not of this machine alone.
pub async fn a_bad_address_is_one_clear_line(program: Program) {
    let server = program.start("");
    let taken = server.address.to_string();
    for (address, word) in [
        (&*taken, &*taken),
        ("nonsense", "nonsense"),
        ("", "--listen"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1:65536", "65536"),
        ("0.0.0.0:0", "loopback"),
        ("[::]:0", "loopback"),
        ("192.0.2.1:0", "loopback"),
    ] {
        refused(program, &[], &["--listen", address], word).await;
    }
    server.get("/healthz", 200).await;
}

/// A limit that is no number, or out of its range; a flag that there is not.
pub async fn a_bad_limit_is_one_clear_line(program: Program) {
    let huge = "99999999999999999999999";
    for flag in flags::names() {
        for value in ["nonsense", "0", "", huge, "1.5 parsecs"] {
            let flags = ["--listen", "127.0.0.1:0", flag, value];
            refused(program, &[], &flags, flag).await;
        }
    }
    for flag in ["--dance", "--listen", "surplus"] {
        refused(program, &[], &[flag], flag).await;
    }
    let url = "redis://ada:hunter2@127.0.0.1:1";
    refused(program, &[], &[url], "unexpected").await;
    refused(program, &[], &["--max-body", url], "--max-body").await;
}

/// A backplane that is unknown, unsaid, or not there, by flag or by environment: never a single node instead. The
/// line says by which setting, and holds no password.
pub async fn a_bad_backplane_is_one_clear_line(program: Program) {
    let (name, url) = ("MIDPLANE_BACKPLANE", "MIDPLANE_BACKPLANE_URL");
    // Nothing listens on port 1.
    let nowhere = "redis://ada:hunter2@127.0.0.1:1";
    let spaced = ["--backplane", "memory:", "--backplane-prefix", "a b"];
    let keys = std::env::temp_dir().join(format!("midplane-keys-{}", std::process::id()));
    std::fs::write(&keys, "1: hunter2\n").expect("a file");
    let keys = keys.to_str().expect("a path of text");
    let short = ["--backplane", "memory:", "--bus-key-file", keys];
    let absent = [
        "--backplane",
        "memory:",
        "--bus-key-file",
        "/nonexistent/keys",
    ];
    let flagged: [(&[&str], &str); 9] = [
        (&short, "--bus-key-file"),
        (&absent, "/nonexistent/keys"),
        (&["--bus-signing", "require"], "--bus-key-file"),
        (&["--backplane", "nonsense"], "redis://"),
        (&["--backplane", ""], "empty"),
        (&["--backplane", nowhere], "127.0.0.1:1"),
        (&["--json-lane"], "--backplane"),
        (&["--backplane-prefix", "p"], "MIDPLANE_BACKPLANE_URL"),
        (&spaced, "PREFIX"),
    ];
    let listen = ["--listen", "127.0.0.1:0"];
    for (flags, word) in flagged {
        refused(program, &[], &[&listen, flags].concat(), word).await;
    }
    let set: [(&[(&str, &str)], &str); 4] = [
        (&[(name, "rabbit")], name),
        (&[(name, "redis")], url),
        (&[(url, nowhere)], url),
        (&[(name, "nats"), (url, nowhere)], "nats"),
    ];
    for (environment, word) in set {
        refused(program, environment, &listen, word).await;
    }
}

/// Without a backplane the server is ready, and says that it is alone.
pub async fn a_single_node_says_so(program: Program) {
    let server = program.start("");
    let line = server.child.line();
    let line = line.expect("a line behind the ready line");
    assert!(line.starts_with("backplane: none"), "{line}");
    server.get("/readyz", 200).await;
    let health = server.get("/healthz", 200).await.json();
    assert_eq!(health["backplane"]["bus"], "none", "{health}");
    assert_eq!(health["backplane"]["state"], "live", "{health}");
}
