//! The store of completions in a Postgres database.

mod connect;
mod connection;
mod error;
mod groups;
mod history;
mod ledger;
mod migrate;
mod place;
mod pool;
mod producer;
mod row;
mod schema;
mod statements;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{ConnectionError, ConnectionErrorKind};
use crate::url::Endpoint;
pub use connect::{PostgresConnect, PostgresConnection};
use midplane_completions::{BackendError, Follower, GroupName};
use midplane_core::Timer;
use midplane_core::bus::SettingsError;
use parking_lot::Mutex;
use pool::ConnectionPool;
use schema::Schema;
pub use statements::{PostgresStatements, StatementError, StatementParameter, StatementRow};

/// The connections that producers and the ledger share, unless [`PostgresStore::with_connections`] says otherwise.
const CONNECTIONS: usize = 4;
/// The deadline of a call, unless [`PostgresStore::with_deadline`] says otherwise.
const DEADLINE: Duration = Duration::from_secs(5);

/// A store of completions in a Postgres database: a history to follow, executions to start and finish, and a ledger
/// of what was handled, for each group. Clones share one store.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use futures::StreamExt;
/// use midplane_core::Timer;
/// use midplane_completions::{CompletionBackend, Execution, ExecutionId, Producer};
/// use midplane_postgres::PostgresStore;
///
/// # async fn example(timer: Arc<dyn Timer>) -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::new("postgres://user:password@localhost/shop", timer)?;
/// store.migrate().await?;
/// let mut stream = store.backend().subscribe_completions().await?;
///
/// let job = ExecutionId::new("job")?;
/// store.start(&Execution::new(job.clone())).await?;
/// // Or, in the transaction that does the work: SELECT midplane.complete('job', 'done')
/// let producer: &dyn Producer = &store;
/// producer.complete(&job, Some("done".into())).await?;
/// println!("{:?}", stream.next().await);
/// # Ok(())
/// # }
/// ```
///
/// # Mapping
///
/// - Everything is in one schema, [`midplane`](Self::with_schema) unless it is set, which
///   [`migrate`](Self::migrate) creates. A program finishes an execution in its own transaction by
///   `SELECT midplane.complete(id, bytes)`, or `fail`, `cancel`, `expire`, `skip`; an execution is begun by
///   `midplane.start(id, flow, namespace, tag)`. Each returns true when it changed something and false when the same
///   was recorded before. What is not allowed is an error of the statement, of the SQLSTATE `MP001` for an execution that was never
///   started, `MP002` for one that finished otherwise, whose detail is how, and `MP003` for what does not fit.
/// - They write the row of the execution. When the transaction is being committed, a deferred trigger draws the number
///   of the execution and writes its record to the `outbox`: so a transaction that stays open holds nothing back,
///   neither others that finish executions nor anything else. Commits overlap, so numbers that are drawn may not be
///   visible yet: a reader goes no further than up to where no commit is under way, and none is skipped.
/// - A cursor is the number of a record and a check, which is drawn at random with the number. A history that is not the
///   one of the cursor, as when a standby took over that had not got everything, is found out with the first read, even
///   if its numbers are the same: the stream yields [`Resync`](midplane_completions::StreamItem::Resync), and a
///   subscription from the cursor is refused as expired.
/// - `NOTIFY` is only a wake-up. A transaction that notifies takes a lock of the whole server until it is on the disk,
///   so of those that are being committed at the same moment one notifies, and the others skip it; a listener that is
///   woken sees that they are under way and looks again. With 64 clients, each in
///   transactions of its own, 3,146 commits a second were 3,115 with a listener and 2,860 with four; one `NOTIFY` for
///   each row left 167. (A busy machine of two cores: trust the ratios, and measure yours by
///   `cargo run --release -p benches -- completions`.)
///   Drawing the number at the commit costs little beside drawing it before: start and finish in one transaction, with
///   `fsync`, were 687 to 813 commits a second at 8 clients where it was 721 to 828, and 1,146 to 1,300 at 64 where it was
///   1,337 to 1,548. A lock held through each commit, which would put numbers in the order of the commits, left 136 to 281 and
///   91 to 248.
///   The subscription also reads every [`poll`](midplane_completions::Pace::poll).
/// - A subscription is one connection, which listens and reads. A filter is part of its query. Producers and the
///   ledger share a [few more](Self::with_connections), opened when first needed, or the [program's pool](PostgresStatements).
///   The program may open [all of them](PostgresConnect) itself.
/// - Claims are in the rows of executions: a token, and the time the lease ends. One listener takes at a time, within a few
///   milliseconds, so none finds what another is taking. All times are the server's.
/// - A handler records its execution as handled in a transaction of its own by `SELECT midplane.handled(id, token)`, with the
///   token of [`Attempt::claim`](midplane_completions::Attempt::claim), and returns
///   [`Recorded`](midplane_completions::Handled::Recorded): its effect and the record are committed together or not at all. A
///   claim that is void is an error of the SQLSTATE `MP005`, which undoes the transaction. Commit soon: the lease cannot be
///   renewed while the transaction is open.
/// - A named [group](midplane_completions::Groups) has a place in the history, and a row of the table `work` for each execution
///   up to there that it has not handled. A look lists what is behind the place, 1,000 executions at most, and then claims:
///   what is committed is not told to groups, so producers do not pay for them. Its procedures have the group's name as their
///   first argument: `SELECT midplane.handled('audit', id, token)`. One that is not registered is the SQLSTATE `MP006`.
///
/// # Limits
///
/// - Ids are text, and text of Postgres has no NUL: an execution with one in its id, flow, namespace or tag is refused
///   as unfit, and so is a group with one in its name. Bytes are 16 MiB at most. A page ends at about 4 MiB.
/// - A program that asks for `SET CONSTRAINTS ALL IMMEDIATE` draws its numbers at once. While its transaction stays open,
///   what others finish is held back from the streams, though not from the ledger.
/// - A trigger does not run where `session_replication_role` is `replica`: finish executions with `origin`.
/// - Finishing takes part in no two-phase commit: `PREPARE TRANSACTION` refuses a transaction that notifies.
/// - The history, and the executions that every group has handled, are kept until [`prune`](Self::prune) is called, which is
///   the program's to do now and then, with an age. What finished later than that age ago is kept, so a finish may be repeated,
///   as one that was so before, for at least the age; after that it is refused with `MP001`, and completes nothing a second
///   time. What a group never handles is kept for ever, or for as long as the group
///   [keeps](midplane_completions::Group::keep) it.
/// - A failover to a standby that had not received everything, or a crash with `synchronous_commit` off, takes back
///   completions that were answered, and their executions are running again: their producers have to finish them once
///   more.
/// - TLS, poolers and standbys are as with the [bus](crate#limits). Postgres 14 is the oldest.
///
/// # Grants
///
/// The procedures run with the rights of their caller, and three grant what a role needs: `CALL
/// midplane.allow_producer('role')` to start and finish executions, and not to take work or mark any as handled;
/// `midplane.allow_listener` to follow the history, register groups and work with the ledgers, and not to start or finish; and
/// `midplane.allow_follower` to follow the history alone. Pruning, and removing a group, is for the owner of the schema.
///
/// # By hand
///
/// `SELECT midplane.complete('job', '{"a": 1}')`: the bytes may be text, `json` or `jsonb`, whose UTF-8 they are then, or
/// `bytea`. A literal or a parameter without a type is text: write `'\x00'::bytea` or `$2::bytea` for bytes.
///
/// The migrations are files, `migrations/*.sql`, numbered and never changed, for programs that apply them by a tool of
/// their own: in this order, with `"midplane"` replaced where the schema has another name, and with their numbers in the
/// table `midplane.migrations (version integer PRIMARY KEY, applied_at timestamptz)`, which the tool creates first.
/// The numbers there are 1, 2 and so on, in the order of the files.
///
/// # What happens on disconnect
///
/// The stream connects again by itself, listens, reads on from where it was, and then yields
/// [`Resync`](midplane_completions::StreamItem::Resync), so nothing committed meanwhile is missed while it is kept; a
/// place that was pruned meanwhile yields [`Lagged`](midplane_completions::StreamItem::Lagged). A server that is silent
/// is noticed by the poll, within [`poll`](midplane_completions::Pace::poll) and
/// [`deadline`](midplane_completions::Pace::deadline). A producer's call that was under way errs, and may or may not
/// have been committed; it can be repeated. Dropping a stream closes its connection.
#[derive(Clone)]
pub struct PostgresStore {
    /// Where the connections lead, if the store opens them itself.
    endpoint: Option<Endpoint>,
    connect: Arc<dyn PostgresConnect>,
    schema: Schema,
    timer: Arc<dyn Timer>,
    connections: usize,
    deadline: Duration,
    statements: Arc<dyn PostgresStatements>,
    /// The number of the store, once one call has read it.
    number: Arc<Mutex<Option<i64>>>,
    /// The group whose ledger this is; `None` for the one without a name.
    group: Option<GroupName>,
}

/// What [`PostgresStore::prune`] removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Records of the history.
    pub records: u64,
    /// Executions that every group had handled, or given up before.
    pub executions: u64,
    /// What groups had not handled and kept no longer: an execution counts once for each group that gave it up. The next
    /// call removes what no group keeps any more.
    pub given_up: u64,
}

impl PostgresStore {
    /// The store in the database of a server, `postgres://user:password@host:port/database`. Nothing is connected yet.
    /// The clock is for deadlines and waits.
    ///
    /// # Errors
    /// When the text is no such URL, or asks for TLS that is not compiled in.
    pub fn new(url: &str, timer: Arc<dyn Timer>) -> Result<Self, SettingsError> {
        let endpoint = Endpoint::parse(url)?;
        Ok(Self {
            endpoint: Some(endpoint.clone()),
            ..Self::over(Arc::new(endpoint), timer)
        })
    }

    /// The store in the database that these connections of the program's own lead to. Nothing is connected yet.
    #[must_use]
    pub fn over(connect: Arc<dyn PostgresConnect>, timer: Arc<dyn Timer>) -> Self {
        let pool = ConnectionPool::new(Arc::clone(&connect), CONNECTIONS);
        Self {
            endpoint: None,
            connect,
            schema: Schema::default(),
            connections: CONNECTIONS,
            deadline: DEADLINE,
            statements: Arc::new(pool),
            timer,
            number: Arc::default(),
            group: None,
        }
    }

    /// Keeps the store in this schema; `midplane` unless it is set.
    ///
    /// # Errors
    /// When the name is not made of 1 to 63 bytes of letters, digits, `_` and `-`, or begins with `pg_`.
    pub fn with_schema(mut self, schema: &str) -> Result<Self, SettingsError> {
        self.schema = Schema::new(schema)?;
        self.number = Arc::default();
        Ok(self)
    }

    /// Asks this function for the password at each connect, instead of the URL: for passwords that are rotated.
    /// The function is called in the connecting task and must not block. Connections of the [program's own](Self::over) do not
    /// ask it.
    #[must_use]
    pub fn with_password(mut self, password: impl Fn() -> String + Send + Sync + 'static) -> Self {
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.password = Some(Arc::new(password));
            self.connect = Arc::new(endpoint.clone());
        }
        self.with_pool()
    }

    /// Opens at most this many connections for producers and the ledger together, at least 1; 4 unless it is set. A
    /// call waits while all are in use.
    #[must_use]
    pub fn with_connections(mut self, most: usize) -> Self {
        self.connections = most;
        self.with_pool()
    }

    /// Gives the server this long to answer producers and the ledger, the wait for a connection included; 5 s unless
    /// it is set. Streams have their [`Pace`](midplane_completions::Pace).
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs the statements of producers and the ledger on this, such as a pool of the program's own, in place of connections
    /// that only they use. Subscriptions and [`migrate`](Self::migrate) open their own connections all the same. Set this last:
    /// [`with_connections`](Self::with_connections) and [`with_password`](Self::with_password) go back to the store's own.
    #[must_use]
    pub fn with_statements(mut self, statements: Arc<dyn PostgresStatements>) -> Self {
        self.statements = statements;
        self
    }

    fn with_pool(mut self) -> Self {
        let pool = ConnectionPool::new(Arc::clone(&self.connect), self.connections);
        self.statements = Arc::new(pool);
        self
    }

    /// The backend that subscribes to this store, at the default pace.
    #[must_use]
    pub fn backend(&self) -> Follower {
        Follower::new(Arc::new(self.clone()), Arc::clone(&self.timer))
    }

    /// Removes the records of the history that are older than `age`, and the executions among them that every
    /// [group](midplane_completions::Groups) has handled. Cursors within the removed part are expired from then on; one at its
    /// end is not. What a group has not handled stays, until it is given up for the group's
    /// [`keep`](midplane_completions::Group::keep).
    ///
    /// # Errors
    /// When the server refuses or does not answer. Nothing is removed, or all of it, if only the answer was lost.
    pub async fn prune(&self, age: Duration) -> Result<Pruned, BackendError> {
        let statement = "SELECT * FROM \"midplane\".prune($1)";
        let age = StatementParameter::Number(micros(age));
        let rows = self.query(statement, &[age]).await?;
        let count = |column| {
            let count = rows.first().and_then(|row| row.number(column));
            u64::try_from(count.unwrap_or_default()).unwrap_or_default()
        };
        Ok(Pruned {
            records: count("pruned_records"),
            executions: count("pruned_executions"),
            given_up: count("given_up"),
        })
    }

    /// The rows that a statement gives, within the deadline.
    async fn query(
        &self,
        statement: &str,
        parameters: &[StatementParameter<'_>],
    ) -> Result<Vec<Box<dyn StatementRow>>, StatementError> {
        let statement = self.schema.place(statement);
        let answer = self.statements.query(&statement, parameters);
        let answer = self.timer.within(self.deadline, answer).await;
        answer.unwrap_or_else(|| {
            let message = format!(
                "the Postgres server did not answer within {:?}",
                self.deadline
            );
            let late = ConnectionError::new(ConnectionErrorKind::Unreachable, message);
            Err(StatementError::Lost(late.into()))
        })
    }
}

impl fmt::Debug for PostgresStore {
    /// Shows nothing of the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("at", &self.connect)
            .field("schema", &self.schema.name())
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

/// A length of time as the procedures take it, 100 years at most.
fn micros(length: Duration) -> i64 {
    const MOST: i64 = 100 * 365 * 24 * 3_600 * 1_000_000;
    i64::try_from(length.as_micros()).map_or(MOST, |micros| micros.min(MOST))
}
