//! The command line: help, and what is wrong said in a line.

use crate::PATIENCE;
use crate::fixture::{End, Program, flags};

/// The end of a program that could not do what it was told: one line that says why, and no success.
fn refused(end: &End, word: &str, told: &[&str]) {
    assert!(!end.status.success(), "{told:?}: {end:?}");
    assert_eq!(end.stdout, "", "{told:?}: {end:?}");
    assert_eq!(
        end.stderr.trim_end().lines().count(),
        1,
        "{told:?}: {end:?}"
    );
    assert!(
        end.stderr.contains(word),
        "{told:?}: no {word:?} in {end:?}"
    );
}

/// `--help` succeeds and names every flag that the checks use.
pub async fn help_names_every_flag(program: Program) {
    let end = program.end(&["--help"]).await;
    assert!(end.status.success(), "{end:?}");
    assert_eq!(end.stderr, "");
    let used = flags::SETS
        .into_iter()
        .flatten()
        .filter(|word| word.starts_with("--"));
    for flag in used.chain(&["--listen", "--help"]) {
        let named = end
            .stdout
            .split([' ', '\n', ',', '='])
            .any(|word| word == *flag);
        assert!(named, "{flag} is not in {}", end.stdout);
    }
}

/// An address that is taken, is no address, or is not of this machine alone.
pub async fn a_bad_address_is_one_clear_line(program: Program) {
    let server = program.start(&[]);
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
        let told = ["--listen", address];
        refused(&program.end(&told).await, word, &told);
    }
    assert_eq!(server.get("/healthz").await.status, 200);
}

/// A limit that is no number, or out of its range; a flag that there is not.
pub async fn a_bad_limit_is_one_clear_line(program: Program) {
    let used = flags::SETS
        .into_iter()
        .flatten()
        .filter(|word| word.starts_with("--"));
    let mut used: Vec<&str> = used.copied().collect();
    used.sort_unstable();
    used.dedup();
    for flag in used {
        for value in [
            "nonsense",
            "0",
            "",
            "99999999999999999999999",
            "1.5 parsecs",
        ] {
            let told = ["--listen", "127.0.0.1:0", flag, value];
            refused(&program.end(&told).await, flag, &told);
        }
    }
    for told in [&["--dance"][..], &["--listen"], &["surplus"]] {
        refused(&program.end(told).await, told[0], told);
    }
}

/// A backplane that is unknown, unsaid, or not there, by flag or by environment: never a single node instead. The
/// line says by which setting, and holds no password.
pub async fn a_bad_backplane_is_one_clear_line(program: Program) {
    let (name, url) = ("MIDPLANE_BACKPLANE", "MIDPLANE_BACKPLANE_URL");
    // Nothing listens on port 1.
    let nowhere = "redis://ada:hunter2@127.0.0.1:1";
    let flagged: [(&[&str], &str); 6] = [
        (&["--backplane", "nonsense"], "redis://"),
        (&["--backplane", ""], "empty"),
        (&["--backplane", nowhere], "127.0.0.1:1"),
        (&["--json-lane"], "--backplane"),
        (&["--backplane-prefix", "p"], "MIDPLANE_BACKPLANE_URL"),
        (
            &["--backplane", "memory:", "--backplane-prefix", "a b"],
            "PREFIX",
        ),
    ];
    for (flags, word) in flagged {
        let told = [&["--listen", "127.0.0.1:0"], flags].concat();
        let end = program.end(&told).await;
        refused(&end, word, &told);
        assert!(!end.stderr.contains("hunter2"), "{end:?}");
    }
    let set: [(&[(&str, &str)], &str); 4] = [
        (&[(name, "rabbit")], name),
        (&[(name, "redis")], url),
        (&[(url, nowhere)], url),
        (&[(name, "nats"), (url, nowhere)], "nats"),
    ];
    for (environment, word) in set {
        let told = ["--listen", "127.0.0.1:0"];
        let end = program.end_within(environment, &told).await;
        refused(&end, word, &told);
        assert!(!end.stderr.contains("hunter2"), "{end:?}");
    }
}

/// Without a backplane the server is ready, and says that it is alone.
pub async fn a_single_node_says_so(program: Program) {
    let server = program.start(&[]);
    let says = server.child.stdout.recv_timeout(PATIENCE);
    let says = says.expect("a line behind the ready line");
    assert!(says.starts_with("backplane: none"), "{says}");
    assert_eq!(server.get("/readyz").await.status, 200);
    let health = server.get("/healthz").await.json();
    assert_eq!(health["backplane"]["bus"], "none", "{health}");
    assert_eq!(health["backplane"]["state"], "live", "{health}");
}
