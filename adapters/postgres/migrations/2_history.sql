-- Writing the history so that it can be read without skipping what commits late, and waking who reads it.
--
-- Numbers are drawn before they are committed, so a reader who has seen 8 may not yet have been able to see
-- 7. Before a transaction draws its first number it therefore takes a shared lock that says up to where all
-- numbers are certainly not its own: its floor. A reader looks first at the last number drawn, then at the
-- floors that are held, and then, in a new snapshot, at the rows up to the lowest of them. A transaction
-- that drew a number below that had its floor lock before the reader looked; it was not there, so the
-- transaction is over, and its rows are visible or will never be.
--
-- The horizon of a snapshot (rows whose transaction is below pg_snapshot_xmin) would do as well, but any
-- transaction of the whole server that writes for an hour, in any database, would hold the history back for
-- an hour, and when it ended nobody would be woken. Here only transactions that finish executions of this
-- store hold it back.

-- The lock class of the floors. Locks of two 32 bit keys are of a database, and so is the id of a relation.
CREATE FUNCTION "midplane".floor_class() RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
RETURN '"midplane".outbox'::regclass::oid::bigint::bit(32)::integer;

-- The channel that listeners hear. A schema's own name may not fit.
CREATE FUNCTION "midplane".channel() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN 'midplane_completions_' || '"midplane".outbox'::regclass::oid;

CREATE FUNCTION "midplane".next_number() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    class CONSTANT integer := "midplane".floor_class();
    -- Whether this transaction has its floor. It is forgotten with the transaction, and with a savepoint,
    -- as the lock is.
    mark CONSTANT text := 'midplane.floor_' || class::bit(32)::bigint;
    floor bigint;
BEGIN
    IF coalesce(current_setting(mark, true), '') = '' THEN
        SELECT last_value INTO STRICT floor FROM "midplane".numbers;
        PERFORM pg_advisory_xact_lock_shared(class, floor::bit(32)::integer);
        PERFORM set_config(mark, floor::text, true);
    END IF;
    RETURN nextval('"midplane".numbers');
END
$$;

-- So that a row that somebody writes by hand is not skipped either.
ALTER TABLE "midplane".outbox ALTER COLUMN number SET DEFAULT "midplane".next_number();

-- Wakes who listens. A transaction that notifies holds a lock of the whole server until it is committed, so
-- of those that are being committed at once only one does; the others it need not wait for. A listener that
-- was woken sees their floors, and looks again. It is done when the transaction is being committed, and not
-- before: one that took it on and was rolled back would leave the others unheard.
CREATE FUNCTION "midplane".wake() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    -- The key is "midp", and the store.
    IF pg_try_advisory_xact_lock(
        (x'6d696470'::bigint << 32) | '"midplane".outbox'::regclass::oid::bigint
    ) THEN
        PERFORM pg_notify("midplane".channel(), '');
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER wake AFTER INSERT ON "midplane".outbox
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION "midplane".wake();

-- The last number that was drawn, and up to where the history is complete: `upto`. Numbers between the two
-- may not be committed yet, or transactions may be about to draw some, which is so if `held`.
CREATE FUNCTION "midplane".horizon(OUT last bigint, OUT upto bigint, OUT held boolean)
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
    -- A lock holds the lower half of its floor; what is held lies within 2^32 numbers of the last.
    SELECT min(last - ((last - objid::bigint) & 4294967295)) INTO floor
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

-- The rows behind a place that a filter lets through, up to `most` and about 4 MiB, in order. One row is
-- always there; where nothing was found its number is null. `more` says that there are more behind the last.
CREATE FUNCTION "midplane".read(after bigint, most integer, wanted_namespace text, wanted_tag text)
RETURNS TABLE (
    store bigint,
    trimmed bigint,
    last bigint,
    upto bigint,
    held boolean,
    more boolean,
    number bigint,
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
    reached record;
BEGIN
    SELECT * INTO STRICT reached FROM "midplane".horizon();
    -- The one statement sees the rows and what was trimmed at the same time.
    RETURN QUERY
    SELECT store.id, store.trimmed, reached.last, greatest(reached.upto, after), reached.held,
        coalesce(page.more, false), page.number, page.execution, page.outcome, page.bytes,
        (extract(epoch FROM page.finished_at) * 1000000)::bigint,
        page.flow, page.namespace, page.tag
    FROM "midplane".store
    LEFT JOIN (
        SELECT *,
            count(*) OVER () > sum(1) OVER (PARTITION BY weighed.fits) AS more
        FROM (
            SELECT found.number, found.execution, done.outcome, done.bytes, done.finished_at,
                done.flow, done.namespace, done.tag,
                row_number() OVER earlier <= most
                    AND coalesce(
                        sum(octet_length(done.bytes)) OVER (
                            ORDER BY found.number ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW
                        ), 0
                    ) < 4194304 AS fits
            FROM (
                SELECT * FROM "midplane".outbox
                WHERE outbox.number > after AND outbox.number <= reached.upto
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
