//! Servers with a configuration.

use std::fs;
use std::path::{Path, PathBuf};

use midplane_testkit::server::Server;
use tempfile::TempDir;

/// A server with this configuration, in a file that can be changed.
pub(crate) fn configured(text: &str) -> (Server, PathBuf, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("nats.conf");
    fs::write(&path, text).expect("it is writable");
    let server = Server::nats_with(&["--config", text_of(&path)]);
    (server, path, directory)
}

pub(crate) fn text_of(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}
