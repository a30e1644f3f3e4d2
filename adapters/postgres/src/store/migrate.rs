//! Putting the tables there.

use midplane_completions::BackendError;

use super::PostgresStore;
use super::line::Line;
use crate::error::ConnectionError;

/// The lock that those who migrate take: "midplane" in ASCII, cut to what a key holds.
const LOCK: i64 = 0x6d69_6470_6c61_6e65;

impl PostgresStore {
    /// Creates the schema, the tables and the procedures, or brings them up to this version. It may be called by
    /// any number of programs at once, and each time they start: what is there is left as it is, and it changes all
    /// or nothing.
    ///
    /// It waits, without a deadline, for whoever migrates the same database at that moment. Whoever runs it needs
    /// the right to create the schema, or to create in it; see the [grants](Self#grants) that others need.
    ///
    /// # Errors
    /// When the server does not do it. Nothing has changed.
    pub async fn migrate(&self) -> Result<(), BackendError> {
        let mut line = Line::open(&self.endpoint).await?;
        // What fails on the way ends with the connection.
        line.run(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})"))
            .await?;
        let applied = self.applied(&mut line).await?;
        for (version, sql) in self
            .schema
            .migrations()
            .filter(|(version, _)| *version > applied)
        {
            line.run(&sql).await?;
            let noted = format!("INSERT INTO \"midplane\".migrations (version) VALUES ({version})");
            line.run(&self.schema.place(&noted)).await?;
        }
        line.run("COMMIT").await?;
        Ok(())
    }

    /// The number of the last migration that was applied.
    async fn applied(&self, line: &mut Line) -> Result<i32, ConnectionError> {
        let there = self.schema.place(
            "SELECT to_regnamespace('\"midplane\"') IS NOT NULL, \
             to_regclass('\"midplane\".migrations') IS NOT NULL",
        );
        let rows = line.query(&there, &[]).await.map_err(ConnectionError::of)?;
        let is_there = |column| rows.first().is_some_and(|row| row.get(column));
        if !is_there(0) {
            line.run(&self.schema.place("CREATE SCHEMA \"midplane\""))
                .await?;
        }
        if !is_there(1) {
            let table = "CREATE TABLE \"midplane\".migrations (
                version integer PRIMARY KEY,
                applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
            )";
            line.run(&self.schema.place(table)).await?;
        }
        let last = "SELECT coalesce(max(version), 0) FROM \"midplane\".migrations";
        let rows = line
            .query(&self.schema.place(last), &[])
            .await
            .map_err(ConnectionError::of)?;
        Ok(rows.first().map_or(0, |row| row.get(0)))
    }
}
