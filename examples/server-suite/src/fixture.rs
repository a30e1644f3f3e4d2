//! A server as a child process.

use std::io::PipeReader;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use futures::future::join_all;
use midplane_testkit::child::{Child, Signal};

use crate::client::Client;
pub(crate) use crate::endpoint::{Endpoint, publication, target};

/// The program of a server.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    path: &'static str,
}

impl Program {
    /// The program at a path.
    #[must_use]
    pub const fn new(path: &'static str) -> Self {
        Self { path }
    }

    /// A directory for what a check leaves to be looked at, beside the program.
    pub(crate) fn pictures(self) -> PathBuf {
        let program = Path::new(self.path);
        let name = program.file_name().unwrap_or_default();
        let directory = program.with_file_name("pictures").join(name);
        std::fs::create_dir_all(&directory).expect("a directory");
        directory
    }

    /// Starts the server on a free port, with flags that stand in one text with white space between.
    pub(crate) fn start(self, flags: &str) -> Server {
        self.start_at("127.0.0.1:0", flags)
    }

    /// Starts the server on a free port and connects a client of each identity.
    pub(crate) async fn start_with<const CLIENTS: usize>(
        self,
        flags: &str,
        identities: [&str; CLIENTS],
    ) -> (Server, [Client; CLIENTS]) {
        let server = self.start(flags);
        let clients = identities.map(|identity| Client::connect(&server, identity));
        let clients = join_all(clients).await.try_into();
        (server, clients.expect("a client of each identity"))
    }

    /// Starts the server at an address and waits until it says that it listens.
    pub(crate) fn start_at(self, address: &str, flags: &str) -> Server {
        let child = self.spawn(&[], &format!("--listen {address} {flags}"));
        let endpoint = Endpoint::of(&child);
        Server { child, endpoint }
    }

    /// Starts the server where the system lets it have this many descriptors, of which it is given as few at first.
    pub(crate) fn start_limited(self, first: u32, most: u32, flags: &str) -> Server {
        let child = self.spawn_limited(first, most, flags);
        let endpoint = Endpoint::of(&child);
        Server { child, endpoint }
    }

    /// Starts the program where the system lets it have this many descriptors.
    pub(crate) fn spawn_limited(self, first: u32, most: u32, flags: &str) -> Child {
        let mut command = Command::new("sh");
        let limits = format!("ulimit -Sn {first} && ulimit -Hn {most} && exec \"$0\" \"$@\"");
        command.args(["-c", &limits, self.path, "--listen", "127.0.0.1:0"]);
        command.args(flags.split_whitespace());
        Child::start(&command).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts the server where nobody reads its log, as long as the pipe is held.
    pub(crate) fn start_unread(self, flags: &str) -> (Server, PipeReader) {
        let flags = format!("--listen 127.0.0.1:0 {flags}");
        let flags: Vec<_> = flags.split_whitespace().collect();
        let started = Child::start_unread(&self.command(&[], &flags));
        let (child, unread) = started.unwrap_or_else(|error| panic!("{error}"));
        let endpoint = Endpoint::of(&child);
        (Server { child, endpoint }, unread)
    }

    /// Starts the program with nothing configured but this environment and these flags.
    pub(crate) fn spawn(self, environment: &[(&str, &str)], flags: &str) -> Child {
        let flags: Vec<_> = flags.split_whitespace().collect();
        self.spawn_with(environment, &flags)
    }

    fn spawn_with(self, environment: &[(&str, &str)], flags: &[&str]) -> Child {
        let command = self.command(environment, flags);
        Child::start(&command).unwrap_or_else(|error| panic!("{error}"))
    }

    fn command(self, environment: &[(&str, &str)], flags: &[&str]) -> Command {
        let mut command = Command::new(self.path);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MIDPLANE_") {
                command.env_remove(name);
            }
        }
        command.args(flags).envs(environment.iter().copied());
        // Only the checks of that delay wait for it.
        if flags.contains(&"--listen") && !flags.contains(&"--drain-delay") {
            command.args(["--drain-delay", "0s"]);
        }
        command
    }

    /// Runs the program until it ends by itself.
    pub(crate) async fn end(self, environment: &[(&str, &str)], flags: &[&str]) -> End {
        let mut child = self.spawn_with(environment, flags);
        let status = child.exit().await;
        End {
            status,
            stdout: child.rest().collect::<Vec<_>>().join("\n"),
            stderr: child.log(),
        }
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A server that listens.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) endpoint: Endpoint,
}

impl Server {
    pub(crate) fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// Waits until the server ends by itself, which must be with this exit code.
    pub(crate) async fn ends_with(&mut self, code: i32) {
        let status = self.child.exit().await;
        assert_eq!(status.code(), Some(code), "{status}");
    }
}

impl Deref for Server {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}
