//! The processes that a part measures: built once, ended when they are dropped.

use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use benches::load::Outcome;
use midplane_testkit::process;

/// Builds the programs that parts start, and gives the folder they are in.
pub(crate) fn programs() -> io::Result<&'static Path> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    if let Some(folder) = FOLDER.get() {
        return Ok(folder);
    }
    // This command was built alone; its package is built alone here too, for packages that are built
    // together share their features, and what is shared with this one would be built again.
    for packages in [&["benches"][..], &["peers", "tokio-server", "smol-server"]] {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        // What cargo tells this program of its package would be a reason for ring to be built again, and all
        // that is on top of it.
        let told = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if told.iter().any(|told| text.starts_with(told)) {
                build.env_remove(&name);
            }
        }
        build.args(["build", "--locked", "--release", "--quiet", "--bins"]);
        for package in packages {
            build.args(["-p", package]);
        }
        if !build.status()?.success() {
            return Err(io::Error::other("the programs do not build"));
        }
    }
    let this = std::env::current_exe()?;
    let folder = this.parent().map(Path::to_owned).unwrap_or_default();
    Ok(FOLDER.get_or_init(|| folder))
}

/// The programs of node, or why there are none.
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

/// A process that ends with this.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> io::Result<Self> {
        let program = command.get_program().to_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", program.display()))
        })?;
        Ok(Self(child))
    }

    fn output(&mut self) -> io::Result<BufReader<ChildStdout>> {
        let output = self.0.stdout.take();
        output
            .map(BufReader::new)
            .ok_or_else(|| io::Error::other("the output is taken"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that says where it listens.
pub(crate) struct Server {
    process: Process,
    /// Kept open, for a server that says more than its first line must not fail at it.
    _output: BufReader<ChildStdout>,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let mut process = Process::start(command.stderr(Stdio::null()))?;
        let mut output = process.output()?;
        let mut line = String::new();
        output.read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on http://");
        let address = address
            .ok_or_else(|| io::Error::other(format!("a server says {line:?}")))?
            .to_owned();
        Ok(Self {
            process,
            _output: output,
            address,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Its resident memory in bytes.
    pub(crate) fn resident(&self) -> io::Result<u64> {
        process::resident_memory(self.pid())
    }
}

/// A load generator.
pub(crate) struct Load {
    /// Ends when this is dropped, before the process is.
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    _process: Process,
}

impl Load {
    /// Connects so many clients, in turn to each of the servers but the publisher to the first.
    pub(crate) fn start(
        dialect: &str,
        servers: &[&Server],
        publish: &Server,
        clients: usize,
        topics: usize,
    ) -> io::Result<Self> {
        let join = |each: &dyn Fn(&Server) -> String| {
            let all: Vec<String> = servers.iter().map(|server| each(server)).collect();
            all.join(",")
        };
        let mut pids = join(&|server| server.pid().to_string());
        if servers.iter().all(|server| server.pid() != publish.pid()) {
            pids = format!("{pids},{}", publish.pid());
        }
        let mut command = Command::new(programs()?.join("load"));
        command
            .args(["--dialect", dialect])
            .args(["--subscribe", &join(&|server| server.address.clone())])
            .args(["--publish", &publish.address])
            .args(["--clients", &clients.to_string()])
            .args(["--topics", &topics.to_string()])
            .args(["--pids", &pids]);
        let mut process = Process::start(&mut command)?;
        let orders = process.0.stdin.take();
        let mut load = Self {
            orders: orders.ok_or_else(|| io::Error::other("the input is taken"))?,
            answers: process.output()?,
            _process: process,
        };
        match &*load.answer()? {
            "ready" => Ok(load),
            _ => Err(io::Error::other("the load generator is not ready")),
        }
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn order(&mut self, order: &str) -> io::Result<Outcome> {
        writeln!(self.orders, "{order}")?;
        self.orders.flush()?;
        let answer = self.answer()?;
        if answer.is_empty() {
            return Err(io::Error::other("the load generator failed"));
        }
        Ok(serde_json::from_str(&answer)?)
    }

    /// Publishes so that so many events are on their way at any time.
    pub(crate) fn flight(
        &mut self,
        bytes: usize,
        events: usize,
        milliseconds: u64,
    ) -> io::Result<Outcome> {
        self.order(&format!("flight {bytes} {events} {milliseconds}"))
    }

    /// Publishes at a rate.
    pub(crate) fn rate(
        &mut self,
        bytes: usize,
        per_second: u64,
        milliseconds: u64,
    ) -> io::Result<Outcome> {
        self.order(&format!("rate {bytes} {per_second} {milliseconds}"))
    }
}
