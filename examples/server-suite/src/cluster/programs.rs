//! The programs of the servers.

use std::env;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::Program;

/// The programs of the servers.
#[derive(Debug, Clone, Copy)]
pub struct Programs {
    /// The server on tokio.
    pub tokio: Program,
    /// The server on smol.
    pub smol: Program,
    /// One of each in one process.
    pub both: Program,
}

impl Programs {
    /// The programs that stand beside this one. Where cargo runs this program, the others are built first.
    ///
    /// # Errors
    /// When this program cannot be found, or the others do not build.
    pub fn beside_this() -> io::Result<Self> {
        let this = env::current_exe()?;
        let folder = this.parent().unwrap_or_else(|| Path::new("."));
        if let Some(cargo) = env::var_os("CARGO") {
            build(Command::new(cargo), folder.ends_with("release"))?;
        }
        let program = |name: &str| {
            let path = folder.join(name).to_string_lossy().into_owned();
            Program::new(path.leak())
        };
        Ok(Self {
            tokio: program("tokio-node"),
            smol: program("smol-node"),
            both: program("two-nodes"),
        })
    }

    /// The server on tokio and then that on smol.
    pub(crate) fn in_turn(self) -> [Program; 2] {
        [self.tokio, self.smol]
    }

    /// The two servers in either order.
    pub(crate) fn in_both_orders(self) -> [[Program; 2]; 2] {
        [[self.tokio, self.smol], [self.smol, self.tokio]]
    }
}

fn build(mut cargo: Command, release: bool) -> io::Result<()> {
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    // With the environment that cargo gives this program, what depends on it would be built again.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo.args(["build", "--locked", "--quiet", "-p", "server-suite"]);
    for name in ["tokio-node", "smol-node", "two-nodes"] {
        cargo.args(["--bin", name]);
    }
    if release {
        cargo.arg("--release");
    }
    match cargo.status()?.success() {
        true => Ok(()),
        false => Err(io::Error::other("the servers do not build")),
    }
}
