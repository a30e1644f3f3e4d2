-- Taking work from the ledger: what finished and is not handled, by whoever asks, a flow at a time.
--
-- Executions of one namespace and one flow are handled in the order of their numbers. The state of a flow is
-- in its rows: one of them is under a lease, or waits for another try, and none of the flow is given out; or
-- none is, and what is given out is its beginning. So nothing has to be kept for a flow that could differ
-- from its executions.

ALTER TABLE "midplane".executions ADD COLUMN dead_at timestamptz;

-- What is to be handled, by namespace; a flow in its order; and what is claimed or waits of flows. An
-- execution that is handled, or a dead letter, is in none of them.
CREATE INDEX executions_open ON "midplane".executions ((coalesce(namespace, '')), number)
    WHERE number IS NOT NULL AND handled_at IS NULL AND dead_at IS NULL;
CREATE INDEX executions_flows ON "midplane".executions ((coalesce(namespace, '')), flow, number)
    WHERE flow IS NOT NULL AND number IS NOT NULL AND handled_at IS NULL AND dead_at IS NULL;
CREATE INDEX executions_busy ON "midplane".executions ((coalesce(namespace, '')), flow)
    WHERE flow IS NOT NULL AND number IS NOT NULL AND handled_at IS NULL AND dead_at IS NULL
        AND (leased_until IS NOT NULL OR paused_until IS NOT NULL);
CREATE INDEX executions_dead ON "midplane".executions (number) WHERE dead_at IS NOT NULL;

-- The namespace that had the last turn.
CREATE TABLE "midplane".turn (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    namespace text NOT NULL DEFAULT ''
);
INSERT INTO "midplane".turn DEFAULT VALUES;

DROP FUNCTION "midplane".scan(bigint, bigint, integer);
DROP FUNCTION "midplane".claim(text[], bigint);
DROP FUNCTION "midplane".handled(text[], bigint[]);
DROP FUNCTION "midplane".release(text[], bigint[], bigint);

-- Takes leases of `length` microseconds on up to `most` executions that a filter lets through, about 4 MiB, and at
-- most `of_a_flow` of each flow. One row is always there; where nothing was taken its execution is null. `more`
-- says that there may be more that can be taken at once.
CREATE FUNCTION "midplane".take(
    wanted_namespace text, wanted_tag text, most integer, of_a_flow integer, length bigint
)
RETURNS TABLE (
    store bigint,
    more boolean,
    token bigint,
    failures integer,
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
    moment timestamptz;
    last text;
    spaces text[] := '{}';
    space text;
    chosen text[];
    free text[];
    left_over boolean;
    of_a_space integer;
BEGIN
    -- One takes at a time, so that nobody finds what another is taking. The key is "midt", and the store.
    PERFORM pg_advisory_xact_lock((x'6d696474'::bigint << 32) | '"midplane".executions'::regclass::oid::bigint);
    moment := clock_timestamp();
    IF wanted_namespace IS NOT NULL THEN
        spaces := ARRAY[wanted_namespace];
    ELSE
        -- Namespaces behind the one that had the last turn, and then from the first on.
        SELECT turn.namespace INTO last FROM "midplane".turn;
        space := last;
        LOOP
            SELECT coalesce(executions.namespace, '') INTO space FROM "midplane".executions
            WHERE executions.number IS NOT NULL AND handled_at IS NULL AND dead_at IS NULL
                AND coalesce(executions.namespace, '') > space
            ORDER BY coalesce(executions.namespace, '') LIMIT 1;
            EXIT WHEN NOT FOUND OR cardinality(spaces) >= 1000;
            spaces := spaces || space;
        END LOOP;
        space := NULL;
        LOOP
            SELECT coalesce(executions.namespace, '') INTO space FROM "midplane".executions
            WHERE executions.number IS NOT NULL AND handled_at IS NULL AND dead_at IS NULL
                AND (space IS NULL OR coalesce(executions.namespace, '') > space)
            ORDER BY coalesce(executions.namespace, '') LIMIT 1;
            EXIT WHEN NOT FOUND OR space > last OR cardinality(spaces) >= 1000;
            spaces := spaces || space;
        END LOOP;
    END IF;

    of_a_space := greatest(most / greatest(cardinality(spaces), 1), 1);
    WITH candidates AS (
        SELECT found.*, turns.ordinal,
            row_number() OVER (PARTITION BY turns.name ORDER BY found.number) AS rank,
            row_number() OVER (PARTITION BY turns.name, found.flow ORDER BY found.number) AS in_flow
        FROM unnest(spaces) WITH ORDINALITY AS turns (name, ordinal)
        CROSS JOIN LATERAL (
            SELECT e.id, e.number, e.flow, octet_length(e.bytes) AS size
            FROM "midplane".executions AS e
            WHERE coalesce(e.namespace, '') = turns.name
                AND e.number IS NOT NULL AND e.handled_at IS NULL AND e.dead_at IS NULL
                AND (wanted_tag IS NULL OR e.tag = wanted_tag)
                AND (e.leased_until IS NULL OR e.leased_until <= moment)
                AND (e.paused_until IS NULL OR e.paused_until <= moment)
                AND (e.flow IS NULL OR (turns.name, e.flow) NOT IN (
                    SELECT coalesce(busy.namespace, ''), busy.flow FROM "midplane".executions AS busy
                    WHERE busy.flow IS NOT NULL AND busy.number IS NOT NULL AND busy.handled_at IS NULL
                        AND busy.dead_at IS NULL
                        AND (busy.leased_until IS NOT NULL OR busy.paused_until IS NOT NULL)
                        AND (busy.leased_until > moment OR busy.paused_until > moment)
                ))
                -- What the filter leaves out ends what is given of its flow.
                AND (wanted_tag IS NULL OR e.flow IS NULL OR NOT EXISTS (
                    SELECT FROM "midplane".executions AS ahead
                    WHERE coalesce(ahead.namespace, '') = turns.name AND ahead.flow = e.flow
                        AND ahead.number IS NOT NULL AND ahead.handled_at IS NULL
                        AND ahead.dead_at IS NULL AND ahead.number < e.number
                        AND ahead.tag IS DISTINCT FROM wanted_tag
                ))
            ORDER BY e.number
            LIMIT of_a_space + 1
        ) AS found
    ),
    -- One of each namespace after the other; of a flow, what comes first.
    placed AS (
        SELECT candidates.*,
            row_number() OVER turn AS place,
            coalesce(sum(size) OVER (
                ORDER BY rank, ordinal ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW
            ), 0) AS before
        FROM candidates
        WHERE candidates.flow IS NULL OR in_flow <= of_a_flow
        WINDOW turn AS (ORDER BY rank, ordinal)
    )
    SELECT coalesce(array_agg(placed.id ORDER BY place) FILTER (WHERE place <= most AND before < 4194304), '{}'),
        coalesce(bool_or(place > most OR before >= 4194304), false)
            OR EXISTS (SELECT FROM candidates GROUP BY ordinal HAVING count(*) > of_a_space)
    INTO chosen, left_over
    FROM placed;

    -- A transaction of a handler's own may be at one: what is behind that in its flow waits, too.
    free := ARRAY(
        SELECT executions.id FROM "midplane".executions
        WHERE executions.id = ANY (chosen) AND handled_at IS NULL AND dead_at IS NULL
            AND (leased_until IS NULL OR leased_until <= clock_timestamp())
        FOR NO KEY UPDATE SKIP LOCKED
    );
    IF cardinality(free) < cardinality(chosen) THEN
        chosen := ARRAY(
            SELECT e.id FROM "midplane".executions AS e
            JOIN unnest(chosen) WITH ORDINALITY AS picked (id, place) ON picked.id = e.id
            WHERE e.id = ANY (free) AND (e.flow IS NULL OR NOT EXISTS (
                SELECT FROM "midplane".executions AS ahead
                WHERE ahead.id = ANY (chosen) AND NOT ahead.id = ANY (free)
                    AND ahead.flow = e.flow AND ahead.namespace IS NOT DISTINCT FROM e.namespace
                    AND ahead.handled_at IS NULL AND ahead.number < e.number
            ))
            ORDER BY picked.place
        );
    END IF;
    IF left_over AND wanted_namespace IS NULL AND cardinality(spaces) > 1 THEN
        UPDATE "midplane".turn SET namespace = (
            SELECT coalesce(executions.namespace, '') FROM "midplane".executions
            WHERE executions.id = chosen[cardinality(chosen)]
        ) WHERE cardinality(chosen) > 0;
    END IF;
    RETURN QUERY
    WITH taken AS (
        UPDATE "midplane".executions AS e
        SET lease = nextval('"midplane".leases'),
            leased_until = clock_timestamp() + length * interval '1 microsecond',
            paused_until = NULL
        FROM unnest(chosen) WITH ORDINALITY AS picked (id, place)
        WHERE e.id = picked.id
        RETURNING e.*, picked.place
    )
    SELECT store.id, left_over, taken.lease, taken.failures, taken.number, taken.id, taken.outcome, taken.bytes,
        (extract(epoch FROM taken.finished_at) * 1000000)::bigint,
        taken.flow, taken.namespace, taken.tag
    FROM "midplane".store LEFT JOIN taken ON true
    ORDER BY taken.place;
END
$$;

-- Makes the leases of these claims end `length` microseconds from now, and gives those that are void. What a transaction
-- of a handler's own is at just now stays as it is.
CREATE FUNCTION "midplane".renew(claimed text[], tokens bigint[], length bigint)
RETURNS TABLE (execution text, token bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    UPDATE "midplane".executions AS e
    SET leased_until = clock_timestamp() + length * interval '1 microsecond'
    FROM (
        SELECT id FROM "midplane".executions
        JOIN unnest(claimed, tokens) AS claim (execution, token)
            ON id = claim.execution AND lease = claim.token
        WHERE leased_until > clock_timestamp()
        FOR NO KEY UPDATE OF executions SKIP LOCKED
    ) AS held
    WHERE e.id = held.id;
    RETURN QUERY
    SELECT claim.execution, claim.token
    FROM unnest(claimed, tokens) AS claim (execution, token)
    JOIN "midplane".executions AS e ON e.id = claim.execution
    WHERE e.handled_at IS NULL
        AND (e.lease IS DISTINCT FROM claim.token OR e.leased_until <= clock_timestamp());
END
$$;

-- Records what became of the work of these claims: handled, failed (with a pause in microseconds), dead or returned.
CREATE FUNCTION "midplane".settle(claimed text[], tokens bigint[], verdicts text[], pauses bigint[])
RETURNS void
LANGUAGE sql AS $$
    UPDATE "midplane".executions
    SET handled_at = CASE WHEN settled.verdict = 'handled' THEN clock_timestamp() END,
        dead_at = CASE WHEN settled.verdict = 'dead' THEN clock_timestamp() END,
        failures = failures + CASE WHEN settled.verdict IN ('failed', 'dead') THEN 1 ELSE 0 END,
        paused_until = CASE WHEN settled.verdict = 'failed'
            THEN clock_timestamp() + settled.pause * interval '1 microsecond' END,
        lease = NULL, leased_until = NULL
    FROM unnest(claimed, tokens, verdicts, pauses) AS settled (execution, token, verdict, pause)
    WHERE id = settled.execution AND lease = settled.token
$$;

-- For a handler's own transaction, beside what it changes: the work of this claim is done. Raises MP005 where the claim is
-- void, so that the transaction changes nothing.
CREATE FUNCTION "midplane".handled(execution text, token bigint) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    UPDATE "midplane".executions
    SET handled_at = clock_timestamp(), lease = NULL, leased_until = NULL
    WHERE id = execution AND lease = token AND handled_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the claim on execution % is void: another has it, or has handled it', execution
            USING ERRCODE = 'MP005';
    END IF;
END
$$;

-- A page of what is not handled, or of the dead letters, up to `most` and about 4 MiB; `more` says that there are more
-- behind the last. One row is always there; where nothing was found its number is null.
CREATE FUNCTION "midplane".scan(after bigint, dead boolean, most integer)
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
            SELECT * FROM (
                (
                    SELECT * FROM "midplane".executions
                    WHERE NOT dead AND executions.number > after
                        AND executions.number IS NOT NULL AND executions.handled_at IS NULL
                        AND executions.dead_at IS NULL
                    ORDER BY executions.number
                    LIMIT most + 1
                )
                UNION ALL
                (
                    SELECT * FROM "midplane".executions
                    WHERE dead AND executions.number > after AND executions.dead_at IS NOT NULL
                    ORDER BY executions.number
                    LIMIT most + 1
                )
            ) AS either
        ) AS found
    ) AS weighed ON weighed.fits
    ORDER BY weighed.number
$$;

-- Makes these dead letters executions that are not handled again, and says how many there were.
CREATE FUNCTION "midplane".replay(wanted text[]) RETURNS bigint
LANGUAGE sql AS $$
    WITH replayed AS (
        UPDATE "midplane".executions
        SET dead_at = NULL, failures = 0, paused_until = NULL
        WHERE id = ANY (wanted) AND dead_at IS NOT NULL
        RETURNING 1
    )
    SELECT count(*) FROM replayed
$$;
