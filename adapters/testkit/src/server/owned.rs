//! A server that this process starts and ends.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::child::{Child, Log, find, give};
use crate::lock::locked;
use crate::process::{limit_descriptors, open_descriptors};

/// Below the ports that Linux gives to outgoing connections (32768 and up), so that none of those takes the port of
/// a server that is down for a moment.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// How to run a server.
pub(super) struct Recipe {
    pub(super) program: PathBuf,
    /// The Debian package that the program is in.
    pub(super) package: &'static str,
    /// Prepares the directory, once.
    pub(super) prepare: Box<Prepare>,
    /// The flags, in which `{port}` stands for the port. The server runs in its directory.
    pub(super) flags: Vec<String>,
    /// What the server writes once it takes connections.
    pub(super) ready: &'static str,
    /// The user to run it as when we are root.
    pub(super) user: Option<&'static str>,
}

type Prepare = dyn Fn(&Path) + Send;

impl Recipe {
    /// A recipe with these flags and more, for an empty directory and our own user.
    pub(super) fn new(
        program: PathBuf,
        package: &'static str,
        ready: &'static str,
        flags: &[&str],
        more: &[&str],
    ) -> Self {
        Self {
            program,
            package,
            prepare: Box::new(|_| {}),
            flags: flags.iter().chain(more).map(ToString::to_string).collect(),
            ready,
            user: None,
        }
    }
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recipe").field(&self.program).finish()
    }
}

/// A server process with a port and a directory that stay the same while the process dies and comes back.
#[derive(Debug)]
pub(super) struct OwnedServer {
    recipe: Recipe,
    port: u16,
    child: Option<Child>,
    log: Log,
    /// Last, so that the directory outlives the process.
    directory: TempDir,
}

impl OwnedServer {
    pub(super) fn start(recipe: Recipe) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("midplane-")
            .tempdir_in("/tmp")
            .expect("a directory");
        if let Some(user) = recipe.user {
            give(user, directory.path());
        }
        (recipe.prepare)(directory.path());
        let mut server = Self {
            recipe,
            port: 0,
            child: None,
            log: Log::default(),
            directory,
        };
        // Another process may take the port between our look and the server's: then the next is tried.
        for _ in 0..10 {
            server.port = free_port();
            if server.launch() {
                return server;
            }
        }
        panic!("{:?} does not start: {}", server.recipe, server.log());
    }

    pub(super) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(super) fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    pub(super) fn log(&self) -> String {
        locked(&self.log).clone()
    }

    /// Starts the process again on its port and directory.
    pub(super) fn start_again(&mut self) {
        let starts = self.launch();
        let log = self.log();
        assert!(starts, "{:?} does not start again: {log}", self.recipe);
    }

    pub(super) fn kill(&mut self) {
        self.child = None;
    }

    pub(super) fn reload(&self) {
        if let Some(child) = &self.child {
            child.signal(Signal::HUP);
        }
    }

    /// Signals the process and those it started.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            child.signal_all(signal);
        }
    }

    fn id(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// The numbers of the open descriptors, in order.
    pub(super) fn descriptors(&self) -> Vec<u64> {
        open_descriptors(self.id()).expect("a process of our user")
    }

    /// Lets the process open `spare` descriptors more than it has, or with `None` as many as any process may.
    pub(super) fn spare_descriptors(&self, spare: Option<usize>) {
        let open = self.descriptors();
        let free = |number: &u64| open.binary_search(number).is_err();
        let below = spare.and_then(|spare| (0..).filter(free).nth(spare));
        limit_descriptors(self.id(), below).expect("a process of our user");
    }

    /// Starts the process and waits for the line that says it is ready; false when that does not come.
    fn launch(&mut self) -> bool {
        let Recipe {
            program, package, ..
        } = &self.recipe;
        let name = program.display();
        assert!(
            find(program).is_some(),
            "{name} is not installed: apt-get install {package}"
        );
        let (flags, port) = (self.recipe.flags.iter(), self.port.to_string());
        let mut command = Command::new(program);
        command
            .args(flags.map(|flag| flag.replace("{port}", &port)))
            .current_dir(self.directory.path())
            .env("LC_ALL", "C");
        let child = Child::start_logged(&command, self.recipe.user, self.log.clone())
            .unwrap_or_else(|error| panic!("{error}"));
        let ready = child.line_with(self.recipe.ready).is_some();
        self.child = ready.then_some(child);
        ready
    }
}

/// A port that nobody listens on, each time another one.
pub(super) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests of several processes run at once: each starts looking elsewhere.
    let offset = (process::id() as u16).wrapping_mul(97);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(offset);
        let port = PORTS.start + step % (PORTS.end - PORTS.start);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "no-such-server is not installed: apt-get install its-package")]
    fn a_missing_program_is_named_with_its_package() {
        let recipe = Recipe::new("no-such-server".into(), "its-package", "", &[], &[]);
        drop(OwnedServer::start(recipe));
    }
}
