//! The servers that parts about sockets measure: each a process, with a load generator that is another.

use std::io;
use std::process::Command;

use benches::Quantiles;
use benches::load::Outcome;

use crate::children::{Load, Server, node, programs};

/// A server to measure.
pub(super) struct Contender {
    pub(super) name: &'static str,
    /// The program, and its arguments; of node, the script.
    program: &'static str,
    arguments: &'static [&'static str],
    dialect: &'static str,
}

impl Contender {
    pub(super) const fn new(
        name: &'static str,
        program: &'static str,
        arguments: &'static [&'static str],
        dialect: &'static str,
    ) -> Self {
        Self {
            name,
            program,
            arguments,
            dialect,
        }
    }

    /// Starts the server with these arguments too, or tells why this machine has none.
    pub(super) fn start(&self, more: &[&str]) -> io::Result<Result<Server, String>> {
        let mut command = if self.program.ends_with(".js") {
            let folder = match node() {
                Ok(folder) => folder,
                Err(why) => return Ok(Err(why)),
            };
            let mut command = Command::new("node");
            command.arg(folder.join(self.program));
            command
        } else {
            Command::new(programs()?.join(self.program))
        };
        Server::start(command.args(self.arguments).args(more)).map(Ok)
    }

    /// So many clients of one server, and a publisher at the same or another.
    pub(super) fn load(
        &self,
        subscribe: &Server,
        publish: &Server,
        clients: usize,
    ) -> io::Result<Load> {
        Load::start(self.dialect, &[subscribe], publish, clients, 1)
    }
}

/// A contender that runs.
pub(super) struct Running {
    pub(super) name: &'static str,
    pub(super) load: Load,
    /// What its rounds of the case came to.
    pub(super) outcomes: Vec<Outcome>,
}

impl Running {
    pub(super) fn new(name: &'static str, load: Load) -> Self {
        Self {
            name,
            load,
            outcomes: Vec::new(),
        }
    }

    pub(super) fn median(&self, of: impl Fn(&Outcome) -> f64) -> f64 {
        Quantiles::new(self.outcomes.iter().map(of)).at(0.5)
    }
}

/// A case: all take so many turns, one after the other.
pub(super) fn rounds(
    running: &mut [Running],
    rounds: usize,
    turn: impl Fn(&mut Load) -> io::Result<Outcome>,
) -> io::Result<()> {
    for one in &mut *running {
        one.outcomes.clear();
    }
    for _ in 0..rounds {
        for one in &mut *running {
            let outcome = turn(&mut one.load)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", one.name)))?;
            one.outcomes.push(outcome);
        }
    }
    Ok(())
}
