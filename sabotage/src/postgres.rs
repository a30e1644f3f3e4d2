//! The sins against the store of completions in Postgres.

use crate::sins::Sin;

const PACKAGE: &str = "midplane-postgres";
const STORE: &[&str] = &["--test", "store"];

const HISTORY: &str = "adapters/postgres/migrations/2_history.sql";
const PRODUCERS: &str = "adapters/postgres/migrations/3_producers.sql";
const LEDGER: &str = "adapters/postgres/migrations/4_ledger.sql";
const READER: &str = "adapters/postgres/src/store/history.rs";

pub(crate) const SINS: &[Sin] = &[
    Sin {
        name: "postgres: everything behind the last number seen is read",
        file: HISTORY,
        sound: "upto := least(last, floor);",
        broken: "upto := last;",
        package: PACKAGE,
        suite: STORE,
        test: "completions::smol::what_commits_late_is_not_skipped",
    },
    Sin {
        name: "postgres: a new connection begins at the end",
        file: READER,
        sound: "let from = row::number(self.store, after)?;",
        broken: "let after = &match self.read_at {\n            None => self.head().await?,\n            Some(_) => after.clone(),\n        };\n        let from = row::number(self.store, after)?;",
        package: PACKAGE,
        suite: STORE,
        test: "completions::smol::a_cut_before_anything_arrived_loses_nothing",
    },
    Sin {
        name: "postgres: nobody listens",
        file: READER,
        sound: "line.run(&format!(\"LISTEN \\\"{channel}\\\"\")).await?;",
        broken: "drop(channel);",
        package: PACKAGE,
        suite: STORE,
        test: "waking::a_stream_is_woken_for_everything",
    },
    Sin {
        name: "postgres: who left the waking to another is forgotten",
        file: READER,
        sound: "self.held = match (held, self.held) {",
        broken: "self.held = match (held && false, self.held) {",
        package: PACKAGE,
        suite: STORE,
        test: "waking::what_leaves_the_waking_to_another_is_seen",
    },
    Sin {
        name: "postgres: the waking is taken on before the commit",
        file: HISTORY,
        sound: "DEFERRABLE INITIALLY DEFERRED",
        broken: "DEFERRABLE INITIALLY IMMEDIATE",
        package: PACKAGE,
        suite: STORE,
        test: "waking::a_transaction_that_is_rolled_back_keeps_nobody_asleep",
    },
    Sin {
        name: "postgres: a snapshot older than the locks is read",
        file: "adapters/postgres/src/store/line.rs",
        sound: "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
        broken: "SELECT 1",
        package: PACKAGE,
        suite: STORE,
        test: "waking::a_database_that_defaults_to_another_isolation_is_read_all_the_same",
    },
    Sin {
        name: "postgres: a tag that is missing matches",
        file: HISTORY,
        sound: "outbox.tag = wanted_tag)",
        broken: "coalesce(outbox.tag, wanted_tag) = wanted_tag)",
        package: PACKAGE,
        suite: STORE,
        test: "completions::smol::a_filter_is_exact_or_refused",
    },
    Sin {
        name: "postgres: a completion is called twice and written twice",
        file: PRODUCERS,
        sound: "IS NOT DISTINCT FROM bytes THEN\n            RETURN false;",
        broken: "IS NOT DISTINCT FROM bytes THEN\n            INSERT INTO \"midplane\".outbox (execution) VALUES (execution);\n            RETURN false;",
        package: PACKAGE,
        suite: STORE,
        test: "completions::smol::every_call_may_be_repeated",
    },
    Sin {
        name: "postgres: what was trimmed is silence",
        file: LEDGER,
        sound: "UPDATE \"midplane\".store SET trimmed = greatest(trimmed, cut) WHERE cut > trimmed;",
        broken: "",
        package: PACKAGE,
        suite: STORE,
        test: "completions::smol::an_expired_cursor_is_refused",
    },
    Sin {
        name: "postgres: pruning goes past what is open",
        file: LEDGER,
        sound: "least(\n        complete,\n",
        broken: "least(\n        9223372036854775807,\n",
        package: PACKAGE,
        suite: STORE,
        test: "peculiar::pruning_keeps_what_is_young_open_or_not_handled",
    },
    Sin {
        name: "postgres: a lease keeps nobody out",
        file: LEDGER,
        sound: "\n            AND (leased_until IS NULL OR leased_until <= clock_timestamp())\n        FOR",
        broken: "\n        FOR",
        package: PACKAGE,
        suite: STORE,
        test: "completions::smol::a_claim_excludes_every_other",
    },
    Sin {
        name: "postgres: a claim that is void settles",
        file: LEDGER,
        sound: "SET handled_at = clock_timestamp(), lease = NULL, leased_until = NULL\n    FROM unnest(claimed, tokens) AS claim (execution, token)\n    WHERE id = claim.execution AND lease = claim.token",
        broken: "SET handled_at = clock_timestamp(), lease = NULL, leased_until = NULL\n    FROM unnest(claimed, tokens) AS claim (execution, token)\n    WHERE id = claim.execution",
        package: PACKAGE,
        suite: STORE,
        test: "completions::smol::a_lease_that_ended_can_be_claimed_and_the_old_claim_is_void",
    },
    Sin {
        name: "postgres: two migrate at once",
        file: "adapters/postgres/src/store/migrate.rs",
        sound: "BEGIN; SELECT pg_advisory_xact_lock({LOCK})",
        broken: "BEGIN; SELECT {LOCK}",
        package: PACKAGE,
        suite: STORE,
        test: "peculiar::many_may_migrate_at_once_and_again",
    },
    Sin {
        name: "postgres: a connection that ended is used",
        file: "adapters/postgres/src/store/lines.rs",
        sound: "kept.take_if(Line::lives)",
        broken: "kept.take()",
        package: PACKAGE,
        suite: STORE,
        test: "peculiar::connections_that_ended_are_replaced_without_an_error",
    },
];
