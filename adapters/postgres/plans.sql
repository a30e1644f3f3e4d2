-- The plans of the hot queries at a million executions, of which 10,000 are not handled, by auto_explain: as a
-- superuser, in a database with nothing in it but a store that was migrated into the schema "midplane".
--
--     psql --quiet --file adapters/postgres/plans.sql postgres://…/plans
\set ON_ERROR_STOP 1
SET session_replication_role = replica;
INSERT INTO midplane.executions (id, flow, namespace, outcome, finished_at, number, handled_at)
SELECT 'job ' || n, 'flow ' || n / 100, 'space ' || n % 10, 'success', now(), n,
    CASE WHEN n <= 990000 THEN now() END
FROM generate_series(1, 1000000) AS n;
INSERT INTO midplane.outbox (number, execution, namespace)
SELECT n, 'job ' || n, 'space ' || n % 10 FROM generate_series(1, 1000000) AS n;
SELECT setval('midplane.numbers', 1000000) \g /dev/null
SET session_replication_role = origin;
VACUUM ANALYZE midplane.executions, midplane.outbox;
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_analyze = on;
SET auto_explain.log_timing = off;
SET auto_explain.log_nested_statements = on;
SET client_min_messages = log;
\echo A page of the history
SELECT count(*) FROM midplane.read(999000, NULL, 256, NULL, NULL);
\echo A page of a namespace
SELECT count(*) FROM midplane.read(900000, NULL, 256, 'space 3', NULL);
\echo Work from the ledger
SELECT count(*) FROM midplane.take(NULL, NULL, 256, 32, 60000000);
\echo The end of an execution
SELECT midplane.start('new');
SELECT midplane.complete('new', 'done');
