//! The processes that parts start: built once, and ended when they are dropped.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::sync::OnceLock;

use benches::load::{Order, Outcome};
use midplane_testkit::child::Child;
use midplane_testkit::process;

/// Builds the programs that parts start, and gives their folder.
pub(crate) fn programs() -> io::Result<&'static Path> {
    static BUILT: OnceLock<()> = OnceLock::new();
    let folder = own_programs()?;
    if BUILT.get().is_none() {
        build(&["peers", "tokio-server", "smol-server"])?;
    }
    BUILT.get_or_init(|| ());
    Ok(folder)
}

/// Builds the programs of this package, and gives their folder.
pub(crate) fn own_programs() -> io::Result<&'static Path> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    if let Some(folder) = FOLDER.get() {
        return Ok(folder);
    }
    // This command was built alone. Packages that are built together share their features, so its package is built alone
    // here too, or what it shares with the others would be built again.
    build(&["benches"])?;
    let this = std::env::current_exe()?;
    let folder = this.parent().map(Path::to_owned).unwrap_or_default();
    Ok(FOLDER.get_or_init(|| folder))
}

fn build(packages: &[&str]) -> io::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    // With the environment that cargo gives this program, ring and all that depends on it would be built again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            build.env_remove(&name);
        }
    }
    build.args(["build", "--locked", "--release", "--quiet", "--bins"]);
    build.args(packages.iter().flat_map(|package| ["-p", package]));
    match build.status()?.success() {
        true => Ok(()),
        false => Err(io::Error::other("the programs do not build")),
    }
}

/// The folder of the scripts for node, or why they cannot run.
pub(crate) fn node() -> Result<&'static Path, String> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let install = || {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/node");
        let mut npm = Command::new("npm");
        npm.args(["ci", "--silent", "--no-audit", "--no-fund"]);
        match npm.current_dir(&folder).status() {
            Ok(status) if status.success() => Ok(folder),
            Ok(status) => Err(format!("npm ci: {status}")),
            Err(error) => Err(format!("npm: {error}")),
        }
    };
    FOLDER.get_or_init(install).as_deref().map_err(Clone::clone)
}

/// A server that prints where it listens.
pub(crate) struct ServerProcess {
    child: Child,
    address: String,
}

impl ServerProcess {
    pub(crate) fn start(command: &Command) -> io::Result<Self> {
        let child = Child::start(command)?;
        let line = child.line().unwrap_or_default();
        let address = line.strip_prefix("listening on http://");
        let address = address.ok_or_else(|| failed("a server without an address", &child))?;
        Ok(Self {
            address: address.to_owned(),
            child,
        })
    }

    /// The resident memory in bytes.
    pub(crate) fn resident(&self) -> io::Result<u64> {
        process::resident_memory(self.child.id())
    }
}

/// A load generator.
pub(crate) struct LoadGenerator {
    orders: ChildStdin,
    child: Child,
}

impl LoadGenerator {
    /// Connects clients to a server, and the publisher to the same server or another.
    pub(crate) fn start(
        dialect: &str,
        subscribe: &ServerProcess,
        publish: &ServerProcess,
        clients: usize,
    ) -> io::Result<Self> {
        let mut command = Command::new(programs()?.join("load"));
        command
            .args(["--dialect", dialect])
            .args(["--subscribe", &subscribe.address])
            .args(["--publish", &publish.address])
            .args(["--clients", &clients.to_string()])
            .args(["--pids", &subscribe.child.id().to_string()]);
        if publish.child.id() != subscribe.child.id() {
            command.args(["--pids", &publish.child.id().to_string()]);
        }
        let (child, orders) = Child::start_with_input(&command)?;
        let load = Self { orders, child };
        load.answer()?;
        Ok(load)
    }

    /// The next line, however long that takes: thousands of clients connect for longer than anything else here.
    fn answer(&self) -> io::Result<String> {
        let line = self.child.rest().next();
        line.ok_or_else(|| failed("the load generator ended", &self.child))
    }

    /// Runs an order, and gives its outcome.
    pub(crate) fn run(&mut self, order: Order) -> io::Result<Outcome> {
        writeln!(self.orders, "{}", serde_json::to_string(&order)?)?;
        self.orders.flush()?;
        Ok(serde_json::from_str(&self.answer()?)?)
    }
}

fn failed(what: &str, child: &Child) -> io::Error {
    io::Error::other(format!("{what}: {}", child.log()))
}
