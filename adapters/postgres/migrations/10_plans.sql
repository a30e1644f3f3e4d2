-- Plans for the tables as they are when a statement runs.
--
-- A connection keeps the plans of a procedure for as long as it lives. One that was made while a table was empty reads all of
-- the table, and goes on to do so when the table has grown, until the table is analyzed. So the procedures plan each statement
-- for its parameters when it runs. A statement without parameters is never planned anew, so that one of `take` got one.

-- Takes leases of `length` microseconds on up to `most` executions that a filter lets through, about 4 MiB, and at
-- most `of_a_flow` of each flow. One row is always there; where nothing was taken its execution is null. `more`
-- says that there may be more that can be taken at once.
CREATE OR REPLACE FUNCTION "midplane".take(
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
LANGUAGE plpgsql ROWS 256 SET plan_cache_mode = force_custom_plan AS $$
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
        -- Each step is one place of the index, whatever waits: a condition that no index knows would read all of it.
        space := '';
        SELECT coalesce(executions.namespace, '') INTO space FROM "midplane".executions
        WHERE executions.number IS NOT NULL AND handled_at IS NULL AND dead_at IS NULL
            AND coalesce(executions.namespace, '') >= space
        ORDER BY coalesce(executions.namespace, '') LIMIT 1;
        WHILE space <= last AND cardinality(spaces) < 1000 LOOP
            spaces := spaces || space;
            SELECT coalesce(executions.namespace, '') INTO space FROM "midplane".executions
            WHERE executions.number IS NOT NULL AND handled_at IS NULL AND dead_at IS NULL
                AND coalesce(executions.namespace, '') > space
            ORDER BY coalesce(executions.namespace, '') LIMIT 1;
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

ALTER FUNCTION "midplane".start(text, text, text, text) SET plan_cache_mode = force_custom_plan;
ALTER FUNCTION "midplane".finish(text, text, bytea) SET plan_cache_mode = force_custom_plan;
ALTER FUNCTION "midplane".record() SET plan_cache_mode = force_custom_plan;
ALTER FUNCTION "midplane".head() SET plan_cache_mode = force_custom_plan;
ALTER FUNCTION "midplane".read(bigint, integer, integer, text, text) SET plan_cache_mode = force_custom_plan;
ALTER FUNCTION "midplane".renew(text[], bigint[], bigint) SET plan_cache_mode = force_custom_plan;
ALTER FUNCTION "midplane".handled(text, bigint) SET plan_cache_mode = force_custom_plan;
ALTER FUNCTION "midplane".prune(bigint) SET plan_cache_mode = force_custom_plan;
