//! A standby of a Postgres.

use std::path::Path;
use std::process::Command;

use super::owned::Recipe;
use super::postgres::{USER, flags, program};
use super::{Server, ServerKind};
use crate::child::{give, run, shielded};

impl Server {
    /// A standby of this Postgres, which begins with what it has now, and follows it. `SELECT pg_promote()` makes it a
    /// server of its own.
    ///
    /// # Panics
    /// When it does not start, or this is no Postgres of our own.
    #[must_use]
    pub fn postgres_standby(&self) -> Self {
        let primary = self.url();
        let prepare = move |directory: &Path| {
            let mut copy = Command::new(program("pg_basebackup"));
            copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
                .args(["--wal-method=stream", "--dbname"])
                .arg(&primary)
                .arg("--pgdata")
                .arg(directory.join("data"))
                .env("LC_ALL", "C");
            run(&mut shielded(&copy, Some(USER)).unwrap_or_else(|error| panic!("{error}")));
            give(USER, directory);
        };
        let recipe = Recipe {
            prepare: Box::new(prepare),
            user: Some(USER),
            ..Recipe::new(
                program("postgres"),
                "postgresql",
                "database system is ready to accept read-only connections",
                &["-D", "data"],
                &flags(&[]),
            )
        };
        Self::own(
            ServerKind::Postgres,
            recipe,
            ("postgres://midplane:midplane@", "/postgres"),
        )
    }
}
