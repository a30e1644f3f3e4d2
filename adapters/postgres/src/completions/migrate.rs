//! The migrations: creating the tables and procedures.

use midplane_completions::BackendError;

use super::PostgresStore;
use super::connection::StoreConnection;
use crate::error::ConnectionError;

/// The lock that a migration takes: "midplane" in ASCII, cut to what a key holds.
const LOCK: i64 = 0x6d69_6470_6c61_6e65;

impl PostgresStore {
    /// Creates the schema, the tables and the procedures, or brings them up to this version. Any
    /// number of programs may call this at once, and each time they start: what is up to date is left as it is, and
    /// a call changes all or nothing.
    ///
    /// The call waits, without a deadline, for another that migrates the same database at that moment. The user
    /// needs the right to create the schema, or to create in it; see the [grants](Self#grants) that others need.
    ///
    /// # Errors
    /// When the server refuses or does not answer. Nothing has changed.
    pub async fn migrate(&self) -> Result<(), BackendError> {
        let mut connection = StoreConnection::open(&*self.connect).await?;
        // What fails on the way ends with the connection.
        connection
            .run(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})"))
            .await?;
        let applied = self.applied(&mut connection).await?;
        for (version, sql) in self
            .schema
            .migrations()
            .filter(|(version, _)| *version > applied)
        {
            connection.run(&sql).await?;
            let record =
                format!("INSERT INTO \"midplane\".migrations (version) VALUES ({version})");
            connection.run(&self.schema.place(&record)).await?;
        }
        connection.run("COMMIT").await?;
        Ok(())
    }

    /// The number of the last migration that was applied.
    async fn applied(&self, connection: &mut StoreConnection) -> Result<i32, ConnectionError> {
        let there = self.schema.place(
            "SELECT to_regnamespace('\"midplane\"') IS NOT NULL, \
             to_regclass('\"midplane\".migrations') IS NOT NULL",
        );
        let rows = connection
            .query(&there, &[])
            .await
            .map_err(ConnectionError::from)?;
        let is_there = |column| rows.first().is_some_and(|row| row.get(column));
        if !is_there(0) {
            connection
                .run(&self.schema.place("CREATE SCHEMA \"midplane\""))
                .await?;
        }
        if !is_there(1) {
            let table = "CREATE TABLE \"midplane\".migrations (
                version integer PRIMARY KEY,
                applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
            )";
            connection.run(&self.schema.place(table)).await?;
        }
        let last = "SELECT coalesce(max(version), 0) FROM \"midplane\".migrations";
        let rows = connection
            .query(&self.schema.place(last), &[])
            .await
            .map_err(ConnectionError::from)?;
        Ok(rows.first().map_or(0, |row| row.get(0)))
    }
}
