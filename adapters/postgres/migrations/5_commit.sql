-- Numbers that are drawn when a transaction is being committed, and a check beside each.
--
-- A transaction that finishes an execution draws no number until it is being committed: a deferred trigger
-- does so. So a transaction that stays open holds no floor, and what others finish meanwhile is not held
-- back. A floor is held for as long as a commit takes, unless a program asks for its constraints at once.
--
-- Numbers alone do not tell a history from another that has the same numbers: after a failover to a standby
-- that lacked the tail, or a crash with synchronous_commit off, numbers are given out again. So each record
-- has a check beside its number, which is drawn at random, and a place in the history is both.

-- Records from before this version have the check 0.
ALTER TABLE "midplane".outbox ADD COLUMN check_value integer NOT NULL DEFAULT 0;
ALTER TABLE "midplane".outbox
    ALTER COLUMN check_value SET DEFAULT floor(random() * 4294967296 - 2147483648)::integer;

-- The check of the record that was trimmed last.
ALTER TABLE "midplane".store ADD COLUMN trimmed_check integer NOT NULL DEFAULT 0;

-- An execution ends: its state is written, and its record follows when the transaction is being committed.
CREATE OR REPLACE FUNCTION "midplane".finish(execution text, outcome text, bytes bytea DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    before record;
BEGIN
    IF outcome IS NULL OR outcome NOT IN ('success', 'failure', 'cancelled', 'expired', 'skipped') THEN
        RAISE EXCEPTION 'an execution cannot be finished with the unknown outcome %', outcome
            USING ERRCODE = 'MP003';
    END IF;
    IF octet_length(bytes) > 16777216 THEN
        RAISE EXCEPTION 'execution % was finished with % bytes, and 16777216 is the most',
            execution, octet_length(bytes)
            USING ERRCODE = 'MP003';
    END IF;
    SELECT executions.outcome, executions.bytes INTO before
    FROM "midplane".executions WHERE executions.id = execution FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no execution % was started', execution USING ERRCODE = 'MP001';
    END IF;
    IF before.outcome IS NOT NULL THEN
        IF before.outcome = outcome AND before.bytes IS NOT DISTINCT FROM bytes THEN
            RETURN false;
        END IF;
        RAISE EXCEPTION 'execution % finished already with % and cannot be finished with %',
            execution, before.outcome, outcome
            USING ERRCODE = 'MP002', DETAIL = before.outcome;
    END IF;
    UPDATE "midplane".executions AS done
    SET outcome = finish.outcome, bytes = finish.bytes, finished_at = clock_timestamp()
    WHERE done.id = execution;
    RETURN true;
END
$$;

-- Draws the number of an execution that finished, and writes its record. What counts as the time of the end
-- is the time of the commit.
CREATE FUNCTION "midplane".record() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    drawn bigint;
BEGIN
    UPDATE "midplane".executions
    SET number = "midplane".next_number(), finished_at = clock_timestamp()
    WHERE id = NEW.id AND outcome IS NOT NULL AND number IS NULL
    RETURNING number INTO drawn;
    IF FOUND THEN
        INSERT INTO "midplane".outbox (number, execution, namespace, tag)
        VALUES (drawn, NEW.id, NEW.namespace, NEW.tag);
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER record AFTER UPDATE OF outcome ON "midplane".executions
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.outcome IS NULL AND NEW.outcome IS NOT NULL)
    EXECUTE FUNCTION "midplane".record();

-- The last number that was drawn, and up to where the history is complete: `upto`. Numbers between the two
-- may not be committed yet, or transactions may be about to draw some, which is so if `held`.
CREATE OR REPLACE FUNCTION "midplane".horizon(OUT last bigint, OUT upto bigint, OUT held boolean)
LANGUAGE plpgsql AS $$
DECLARE
    class CONSTANT bigint := "midplane".floor_class()::bit(32)::bigint;
    floor bigint;
BEGIN
    -- A snapshot that is older than the look at the locks would not see what is committed between.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the history can only be read in transactions that are read committed'
            USING ERRCODE = 'MP004';
    END IF;
    SELECT last_value INTO STRICT last FROM "midplane".numbers;
    -- A lock holds the lower half of its floor, which lies within 2^31 numbers of the last: before it, or
    -- behind it where the lock was taken, and more numbers drawn, since the last was asked. The two shifts
    -- give the lower half of the distance its sign.
    SELECT min(last - (((last - objid::bigint) << 32) >> 32)) INTO floor
    FROM pg_locks
    WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid::bigint = class
        AND objsubid = 2
        AND granted;
    held := floor IS NOT NULL;
    upto := least(last, floor);
END
$$;

-- The end of the history: the last record that nothing can come before any more.
CREATE FUNCTION "midplane".head(OUT number bigint, OUT check_value integer)
LANGUAGE plpgsql AS $$
DECLARE
    reached record;
BEGIN
    SELECT * INTO STRICT reached FROM "midplane".horizon();
    SELECT outbox.number, outbox.check_value INTO number, check_value
    FROM "midplane".outbox WHERE outbox.number <= reached.upto
    ORDER BY outbox.number DESC LIMIT 1;
    IF NOT FOUND THEN
        SELECT store.trimmed, store.trimmed_check INTO number, check_value FROM "midplane".store;
    END IF;
END
$$;

-- The rows behind a place that a filter lets through, up to `most` and about 4 MiB, in order. One row is
-- always there; where nothing was found its number is null. `more` says that there are more behind the last,
-- and `reached` is the record that a page without more ends with. `replaced` says that this is not the
-- history that the place is of; a place without a check can be of any.
CREATE FUNCTION "midplane".read(
    after bigint, after_check integer, most integer, wanted_namespace text, wanted_tag text
)
RETURNS TABLE (
    store bigint,
    trimmed bigint,
    trimmed_check integer,
    replaced boolean,
    reached bigint,
    reached_check integer,
    held boolean,
    more boolean,
    number bigint,
    check_value integer,
    execution text,
    outcome text,
    bytes bytea,
    finished_at bigint,
    flow text,
    namespace text,
    tag text
)
LANGUAGE plpgsql ROWS 256 AS $$
#variable_conflict use_column
DECLARE
    horizon record;
BEGIN
    SELECT * INTO STRICT horizon FROM "midplane".horizon();
    -- The one statement sees the rows and what was trimmed at the same time.
    RETURN QUERY
    SELECT store.id, store.trimmed, store.trimmed_check,
        CASE
            WHEN after > horizon.last THEN true
            WHEN after < store.trimmed OR after_check IS NULL THEN false
            WHEN after = store.trimmed THEN after_check <> store.trimmed_check
            ELSE after_check IS DISTINCT FROM (
                SELECT place.check_value FROM "midplane".outbox AS place WHERE place.number = after
            )
        END,
        newest.number, newest.check_value, horizon.held, coalesce(page.more, false),
        page.number, page.check_value, page.execution, page.outcome, page.bytes,
        (extract(epoch FROM page.finished_at) * 1000000)::bigint,
        page.flow, page.namespace, page.tag
    FROM "midplane".store
    LEFT JOIN (
        SELECT outbox.number, outbox.check_value FROM "midplane".outbox
        WHERE outbox.number > after AND outbox.number <= horizon.upto
        ORDER BY outbox.number DESC
        LIMIT 1
    ) AS newest ON true
    LEFT JOIN (
        SELECT *,
            count(*) OVER () > sum(1) OVER (PARTITION BY weighed.fits) AS more
        FROM (
            SELECT found.number, found.check_value, found.execution,
                done.outcome, done.bytes, done.finished_at, done.flow, done.namespace, done.tag,
                row_number() OVER earlier <= most
                    AND coalesce(
                        sum(octet_length(done.bytes)) OVER (
                            ORDER BY found.number ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW
                        ), 0
                    ) < 4194304 AS fits
            FROM (
                SELECT * FROM "midplane".outbox
                WHERE outbox.number > after AND outbox.number <= horizon.upto
                    AND (wanted_namespace IS NULL OR outbox.namespace = wanted_namespace)
                    AND (wanted_tag IS NULL OR outbox.tag = wanted_tag)
                ORDER BY outbox.number
                LIMIT most + 1
            ) AS found
            LEFT JOIN "midplane".executions AS done
                ON done.id = found.execution AND done.outcome IS NOT NULL
            WINDOW earlier AS (ORDER BY found.number)
        ) AS weighed
    ) AS page ON page.fits
    ORDER BY page.number;
END
$$;

-- Removes the part of the history that is older than so many microseconds, and the executions in it that
-- are handled. Cursors from within it are expired from then on. Executions that are not handled stay.
CREATE OR REPLACE FUNCTION "midplane".prune(
    age bigint, OUT pruned_records bigint, OUT pruned_executions bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    oldest CONSTANT timestamptz := clock_timestamp() - age * interval '1 microsecond';
    complete CONSTANT bigint := upto FROM "midplane".horizon();
    cut record;
BEGIN
    -- One at a time.
    PERFORM FROM "midplane".store FOR UPDATE;
    -- The record before the first that is kept, and none behind what is complete.
    SELECT number, check_value INTO cut FROM "midplane".outbox
    WHERE number <= least(
        complete,
        (SELECT number - 1 FROM "midplane".outbox WHERE recorded_at > oldest ORDER BY number LIMIT 1)
    )
    ORDER BY number DESC LIMIT 1;
    UPDATE "midplane".store SET trimmed = cut.number, trimmed_check = cut.check_value
    WHERE cut.number > trimmed;
    DELETE FROM "midplane".outbox WHERE number <= cut.number;
    GET DIAGNOSTICS pruned_records = ROW_COUNT;
    DELETE FROM "midplane".executions
    WHERE handled_at IS NOT NULL AND number <= (SELECT trimmed FROM "midplane".store);
    GET DIAGNOSTICS pruned_executions = ROW_COUNT;
END
$$;
