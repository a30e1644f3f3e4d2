//! The WebSocket servers that parts measure, each a process with a load generator in a process of its own.

use std::io;
use std::path::Path;
use std::process::Command;

use crate::children::{LoadGenerator, ServerProcess, node, programs};
use crate::report::Report;

/// A server to measure.
pub(super) struct Contender {
    pub(super) name: &'static str,
    /// The program, or the script for node.
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

    fn script(&self) -> Option<Result<&'static Path, String>> {
        self.program.ends_with(".js").then(node)
    }

    /// Whether this machine has what the server needs; the report says so if it has not.
    pub(super) fn is_there(&self, report: &mut Report) -> bool {
        match self.script() {
            Some(Err(why)) => {
                report.say(format!("{} is absent: {why}", self.name));
                false
            }
            _ => true,
        }
    }

    /// Starts the server, with further arguments.
    pub(super) fn start(&self, more: &[&str]) -> io::Result<ServerProcess> {
        let mut command = match self.script() {
            Some(folder) => {
                let mut command = Command::new("node");
                command.arg(folder.map_err(io::Error::other)?.join(self.program));
                command
            }
            None => Command::new(programs()?.join(self.program)),
        };
        ServerProcess::start(command.args(self.arguments).args(more))
    }

    /// Connects clients to a server, and a publisher to the same server or another.
    pub(super) fn load(
        &self,
        subscribe: &ServerProcess,
        publish: &ServerProcess,
        clients: usize,
    ) -> io::Result<LoadGenerator> {
        LoadGenerator::start(self.dialect, subscribe, publish, clients)
    }
}
