-- The ledger of a group: what 10_plans.sql, 6_take.sql and 8_errors.sql do for the group without a name, in `work`.

-- Takes for a group leases of `length` microseconds on up to `most` executions that a filter lets through, about 4 MiB, and at
-- most `of_a_flow` of each flow. One row is always there; where nothing was taken its execution is null. `more`
-- says that there may be more that can be taken at once.
CREATE FUNCTION "midplane".take(
    grp text, wanted_namespace text, wanted_tag text, most integer, of_a_flow integer, length bigint
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
    to_list boolean;
BEGIN
    -- One takes for a group at a time, so that nobody finds what another is taking.
    SELECT groups.turn INTO last FROM "midplane".groups WHERE groups.name = take.grp FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM "midplane".registered(take.grp);
    END IF;
    to_list := "midplane".list_work(take.grp, 1000);
    moment := clock_timestamp();
    IF wanted_namespace IS NOT NULL THEN
        spaces := ARRAY[wanted_namespace];
    ELSE
        -- Namespaces behind the one that had the last turn, and then from the first on.
        space := last;
        LOOP
            SELECT coalesce(work.namespace, '') INTO space FROM "midplane".work
            WHERE work.queue = take.grp AND dead_at IS NULL AND coalesce(work.namespace, '') > space
            ORDER BY coalesce(work.namespace, '') LIMIT 1;
            EXIT WHEN NOT FOUND OR cardinality(spaces) >= 1000;
            spaces := spaces || space;
        END LOOP;
        -- Each step is one place of the index, whatever waits: a condition that no index knows would read all of it.
        space := '';
        SELECT coalesce(work.namespace, '') INTO space FROM "midplane".work
        WHERE work.queue = take.grp AND dead_at IS NULL AND coalesce(work.namespace, '') >= space
        ORDER BY coalesce(work.namespace, '') LIMIT 1;
        WHILE space <= last AND cardinality(spaces) < 1000 LOOP
            spaces := spaces || space;
            SELECT coalesce(work.namespace, '') INTO space FROM "midplane".work
            WHERE work.queue = take.grp AND dead_at IS NULL AND coalesce(work.namespace, '') > space
            ORDER BY coalesce(work.namespace, '') LIMIT 1;
        END LOOP;
    END IF;

    of_a_space := greatest(most / greatest(cardinality(spaces), 1), 1);
    WITH candidates AS (
        SELECT found.*, turns.ordinal,
            row_number() OVER (PARTITION BY turns.name ORDER BY found.number) AS rank,
            row_number() OVER (PARTITION BY turns.name, found.flow ORDER BY found.number) AS in_flow
        FROM unnest(spaces) WITH ORDINALITY AS turns (name, ordinal)
        CROSS JOIN LATERAL (
            SELECT e.execution AS id, e.number, e.flow, e.size
            FROM "midplane".work AS e
            WHERE e.queue = take.grp AND coalesce(e.namespace, '') = turns.name AND e.dead_at IS NULL
                AND (wanted_tag IS NULL OR e.tag = wanted_tag)
                AND (e.leased_until IS NULL OR e.leased_until <= moment)
                AND (e.paused_until IS NULL OR e.paused_until <= moment)
                AND (e.flow IS NULL OR (turns.name, e.flow) NOT IN (
                    SELECT coalesce(busy.namespace, ''), busy.flow FROM "midplane".work AS busy
                    WHERE busy.queue = take.grp AND busy.flow IS NOT NULL AND busy.dead_at IS NULL
                        AND (busy.leased_until IS NOT NULL OR busy.paused_until IS NOT NULL)
                        AND (busy.leased_until > moment OR busy.paused_until > moment)
                ))
                -- What the filter leaves out ends what is given of its flow.
                AND (wanted_tag IS NULL OR e.flow IS NULL OR NOT EXISTS (
                    SELECT FROM "midplane".work AS ahead
                    WHERE ahead.queue = take.grp AND coalesce(ahead.namespace, '') = turns.name
                        AND ahead.flow = e.flow AND ahead.dead_at IS NULL AND ahead.number < e.number
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
    -- Whether one is dead is asked so that no index of what is not dead looks like a way to find it.
    free := ARRAY(
        SELECT work.execution FROM "midplane".work
        WHERE work.grp = take.grp AND work.execution = ANY (chosen) AND num_nonnulls(dead_at) = 0
            AND (leased_until IS NULL OR leased_until <= clock_timestamp())
        FOR NO KEY UPDATE SKIP LOCKED
    );
    IF cardinality(free) < cardinality(chosen) THEN
        chosen := ARRAY(
            SELECT e.execution FROM "midplane".work AS e
            JOIN unnest(chosen) WITH ORDINALITY AS picked (id, place) ON picked.id = e.execution
            WHERE e.grp = take.grp AND e.execution = ANY (free) AND (e.flow IS NULL OR NOT EXISTS (
                SELECT FROM "midplane".work AS ahead
                WHERE ahead.grp = take.grp AND ahead.execution = ANY (chosen)
                    AND NOT ahead.execution = ANY (free)
                    AND ahead.flow = e.flow AND ahead.namespace IS NOT DISTINCT FROM e.namespace
                    AND ahead.number < e.number
            ))
            ORDER BY picked.place
        );
    END IF;
    IF left_over AND wanted_namespace IS NULL AND cardinality(spaces) > 1 THEN
        UPDATE "midplane".groups SET turn = (
            SELECT coalesce(work.namespace, '') FROM "midplane".work
            WHERE work.grp = take.grp AND work.execution = chosen[cardinality(chosen)]
        ) WHERE groups.name = take.grp AND cardinality(chosen) > 0;
    END IF;
    RETURN QUERY
    WITH taken AS (
        UPDATE "midplane".work AS e
        SET lease = nextval('"midplane".leases'),
            leased_until = clock_timestamp() + length * interval '1 microsecond',
            paused_until = NULL
        FROM unnest(chosen) WITH ORDINALITY AS picked (id, place)
        WHERE e.grp = take.grp AND e.execution = picked.id
        RETURNING e.*, picked.place
    )
    SELECT store.id, left_over OR to_list, taken.lease, taken.failures, taken.number, done.id, done.outcome, done.bytes,
        (extract(epoch FROM done.finished_at) * 1000000)::bigint,
        done.flow, done.namespace, done.tag
    FROM "midplane".store LEFT JOIN taken ON true LEFT JOIN "midplane".executions AS done ON done.id = taken.execution
    ORDER BY taken.place;
END
$$;

-- Makes the leases of these claims of a group end `length` microseconds from now, and gives those that are void. What a
-- transaction of a handler's own is at just now stays as it is, and what is there no more is handled.
CREATE FUNCTION "midplane".renew(grp text, claimed text[], tokens bigint[], length bigint)
RETURNS TABLE (execution text, token bigint)
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    PERFORM "midplane".registered(renew.grp);
    UPDATE "midplane".work AS e
    SET leased_until = clock_timestamp() + length * interval '1 microsecond'
    FROM (
        SELECT work.execution FROM "midplane".work
        JOIN unnest(claimed, tokens) AS claim (id, token)
            ON work.execution = claim.id AND lease = claim.token
        WHERE work.grp = renew.grp AND leased_until > clock_timestamp()
        FOR NO KEY UPDATE OF work SKIP LOCKED
    ) AS held
    WHERE e.grp = renew.grp AND e.execution = held.execution;
    RETURN QUERY
    SELECT claim.id, claim.token
    FROM unnest(claimed, tokens) AS claim (id, token)
    JOIN "midplane".work AS e ON e.execution = claim.id
    WHERE e.grp = renew.grp AND (e.lease IS DISTINCT FROM claim.token OR e.leased_until <= clock_timestamp());
END
$$;

-- Records what became of the work of these claims of a group: handled, failed (with a pause in microseconds), dead (with an
-- error) or returned.
CREATE FUNCTION "midplane".settle(
    grp text, claimed text[], tokens bigint[], verdicts text[], pauses bigint[], errors text[]
) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    PERFORM "midplane".registered(settle.grp);
    WITH settled AS (
        SELECT * FROM unnest(claimed, tokens, verdicts, pauses, errors) AS one (execution, token, verdict, pause, error)
    ),
    handled AS (
        DELETE FROM "midplane".work AS e USING settled
        WHERE e.grp = settle.grp AND e.execution = settled.execution AND e.lease = settled.token
            AND settled.verdict = 'handled'
    )
    UPDATE "midplane".work AS e
    SET dead_at = CASE WHEN settled.verdict = 'dead' THEN clock_timestamp() END,
        error = CASE WHEN settled.verdict = 'dead' THEN settled.error END,
        failures = failures + CASE WHEN settled.verdict IN ('failed', 'dead') THEN 1 ELSE 0 END,
        paused_until = CASE WHEN settled.verdict = 'failed'
            THEN clock_timestamp() + settled.pause * interval '1 microsecond' END,
        lease = NULL, leased_until = NULL
    FROM settled
    WHERE e.grp = settle.grp AND e.execution = settled.execution AND e.lease = settled.token
        AND settled.verdict <> 'handled';
END
$$;

-- For a handler's own transaction, beside what it changes: the work of this claim of a group is done. Raises MP005 where the
-- claim is void, so that the transaction changes nothing.
CREATE FUNCTION "midplane".handled(grp text, execution text, token bigint) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_variable
BEGIN
    DELETE FROM "midplane".work
    WHERE work.grp = grp AND work.execution = execution AND lease = token;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the claim of the group % on execution % is void: another has it, or has handled it', grp, execution
            USING ERRCODE = 'MP005';
    END IF;
END
$$;

-- A page of what a group has not handled, listed or not, or of its dead letters with their errors, up to `most` and about
-- 4 MiB; `more` says that there are more behind the last. One row is always there; where nothing was found its number is null.
CREATE FUNCTION "midplane".scan(grp text, after bigint, dead boolean, most integer)
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
    tag text,
    error text
)
LANGUAGE plpgsql STABLE ROWS 256 SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    place bigint;
BEGIN
    PERFORM "midplane".registered(scan.grp);
    SELECT greatest(groups.position, after) INTO place FROM "midplane".groups WHERE groups.name = scan.grp;
    RETURN QUERY
    SELECT store.id, coalesce(count(*) OVER () < weighed.due, false),
        weighed.number, weighed.id, weighed.outcome, weighed.bytes,
        (extract(epoch FROM weighed.finished_at) * 1000000)::bigint,
        weighed.flow, weighed.namespace, weighed.tag, weighed.why
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
            SELECT listed.why, done.*
            FROM (
                (
                    SELECT work.execution, work.error AS why FROM "midplane".work
                    WHERE NOT dead AND work.queue = scan.grp AND work.number > after AND work.dead_at IS NULL
                    ORDER BY work.number LIMIT most + 1
                )
                UNION ALL
                (
                    SELECT work.execution, work.error FROM "midplane".work
                    WHERE dead AND work.queue = scan.grp AND work.number > after AND work.dead_at IS NOT NULL
                    ORDER BY work.number LIMIT most + 1
                )
            ) AS listed
            JOIN "midplane".executions AS done ON done.id = listed.execution
            UNION ALL
            -- What is not listed is behind all that is.
            SELECT NULL, later.*
            FROM "midplane".behind(place, 9223372036854775807, CASE WHEN dead THEN 0 ELSE most + 1 END) AS later
        ) AS found
    ) AS weighed ON weighed.fits
    ORDER BY weighed.number;
END
$$;

-- Makes these dead letters of a group executions that are not handled again, and says how many there were.
CREATE FUNCTION "midplane".replay(grp text, wanted text[]) RETURNS bigint
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    replayed bigint;
BEGIN
    PERFORM "midplane".registered(replay.grp);
    UPDATE "midplane".work
    SET dead_at = NULL, error = NULL, failures = 0, paused_until = NULL
    WHERE work.grp = replay.grp AND work.execution = ANY (wanted) AND num_nonnulls(dead_at) = 1;
    GET DIAGNOSTICS replayed = ROW_COUNT;
    RETURN replayed;
END
$$;
