-- What finished and is not handled, for the reconciler; and how the store is kept small.

-- A page of the executions that finished `stale` microseconds ago or earlier, up to `most` and about 4 MiB;
-- `more` says that there are more behind the last. One row is always there; where nothing was found its
-- number is null.
CREATE FUNCTION "midplane".scan(after bigint, stale bigint, most integer)
RETURNS TABLE (
    store bigint,
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
LANGUAGE sql STABLE ROWS 256 AS $$
    SELECT store.id, coalesce(count(*) OVER () < weighed.due, false),
        weighed.number, weighed.id, weighed.outcome, weighed.bytes,
        (extract(epoch FROM weighed.finished_at) * 1000000)::bigint,
        weighed.flow, weighed.namespace, weighed.tag
    FROM "midplane".store
    LEFT JOIN (
        SELECT found.*,
            count(*) OVER () AS due,
            row_number() OVER (ORDER BY found.number) <= most
                AND coalesce(
                    sum(octet_length(found.bytes)) OVER (
                        ORDER BY found.number ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW
                    ), 0
                ) < 4194304 AS fits
        FROM (
            SELECT * FROM "midplane".executions
            WHERE executions.number > after AND executions.handled_at IS NULL
                AND executions.finished_at <= clock_timestamp() - stale * interval '1 microsecond'
                AND (executions.leased_until IS NULL OR executions.leased_until <= clock_timestamp())
                AND (executions.paused_until IS NULL OR executions.paused_until <= clock_timestamp())
            ORDER BY executions.number
            LIMIT most + 1
        ) AS found
    ) AS weighed ON weighed.fits
    ORDER BY weighed.number
$$;

-- Takes leases of so many microseconds on those that can be had.
CREATE FUNCTION "midplane".claim(wanted text[], length bigint)
RETURNS TABLE (execution text, token bigint, failures integer)
LANGUAGE sql AS $$
    UPDATE "midplane".executions AS taken
    SET lease = nextval('"midplane".leases'),
        leased_until = clock_timestamp() + length * interval '1 microsecond'
    FROM (
        SELECT id FROM "midplane".executions
        WHERE id = ANY (wanted) AND number IS NOT NULL AND handled_at IS NULL
            AND (leased_until IS NULL OR leased_until <= clock_timestamp())
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS free
    WHERE taken.id = free.id
    RETURNING taken.id, taken.lease, taken.failures
$$;

-- The work of these claims is done.
CREATE FUNCTION "midplane".handled(claimed text[], tokens bigint[]) RETURNS void
LANGUAGE sql AS $$
    UPDATE "midplane".executions
    SET handled_at = clock_timestamp(), lease = NULL, leased_until = NULL
    FROM unnest(claimed, tokens) AS claim (execution, token)
    WHERE id = claim.execution AND lease = claim.token
$$;

-- The work of these claims failed; none is scanned for so many microseconds.
CREATE FUNCTION "midplane".release(claimed text[], tokens bigint[], pause bigint) RETURNS void
LANGUAGE sql AS $$
    UPDATE "midplane".executions
    SET failures = failures + 1, lease = NULL, leased_until = NULL,
        paused_until = clock_timestamp() + pause * interval '1 microsecond'
    FROM unnest(claimed, tokens) AS claim (execution, token)
    WHERE id = claim.execution AND lease = claim.token
$$;

-- Removes the part of the history that is older than so many microseconds, and the executions in it that
-- are handled. Cursors from within it are expired from then on. Executions that are not handled stay.
CREATE FUNCTION "midplane".prune(
    age bigint, OUT pruned_records bigint, OUT pruned_executions bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    oldest CONSTANT timestamptz := clock_timestamp() - age * interval '1 microsecond';
    complete CONSTANT bigint := upto FROM "midplane".horizon();
    cut bigint;
BEGIN
    -- One at a time.
    PERFORM FROM "midplane".store FOR UPDATE;
    -- The record before the first that is kept, and none behind what is complete.
    SELECT max(number) INTO cut FROM "midplane".outbox
    WHERE number <= least(
        complete,
        (SELECT number - 1 FROM "midplane".outbox WHERE recorded_at > oldest ORDER BY number LIMIT 1)
    );
    UPDATE "midplane".store SET trimmed = greatest(trimmed, cut) WHERE cut > trimmed;
    DELETE FROM "midplane".outbox WHERE number <= cut;
    GET DIAGNOSTICS pruned_records = ROW_COUNT;
    DELETE FROM "midplane".executions
    WHERE handled_at IS NOT NULL AND number <= (SELECT trimmed FROM "midplane".store);
    GET DIAGNOSTICS pruned_executions = ROW_COUNT;
END
$$;
