//! What the files in `deploy/` expect of a server.

use std::io::Write;

use crate::fixture::Program;
use crate::http::Request;

/// Starts the server with these flags, at a free loopback port in place of the one they name and with a token of its own in
/// place of their file, and asks for these paths as a probe does: by an address.
///
/// # Panics
/// When it does not start, or a path is not answered with 200.
pub async fn answers_probes(program: Program, flags: &[String], paths: &[String]) {
    let mut token = tempfile::NamedTempFile::new().expect("a file");
    writeln!(token, "a-token-for-this-check-alone").expect("the token is written");
    let mut mine = Vec::new();
    let mut given = flags.iter();
    while let Some(flag) = given.next() {
        match flag.split_once('=').unwrap_or((flag, "")) {
            ("--listen", "") => drop(given.next()),
            ("--listen", _) => {}
            ("--operator-token-file", _) => {
                mine.push(format!(
                    "{}={}",
                    "--operator-token-file",
                    token.path().display()
                ));
            }
            _ => mine.push(flag.replacen('=', " ", 1)),
        }
    }
    let server = program.start(&mine.join(" "));
    for path in paths {
        let probe = Request::new("GET", path).header("host", "10.1.2.3:8080");
        probe.answered(&server, 200).await;
    }
}

/// Starts a server, which must know these paths.
///
/// # Panics
/// When it knows one of them not.
pub async fn has_paths(program: Program, paths: &[String]) {
    let server = program.start("");
    for path in paths.iter().filter(|path| *path != "/events") {
        let answer = Request::new("GET", path).send(server.address).await;
        assert_ne!(answer.status, 404, "{path}: {answer:?}");
    }
}
