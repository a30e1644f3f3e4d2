-- Dead letters keep what their last attempt failed with: `error`, 2 KiB at most, which listeners see to.

ALTER TABLE "midplane".executions ADD COLUMN error text;

-- Who may work with the ledger may write that, too.
DO $do$
DECLARE
    who regrole;
BEGIN
    FOR who IN
        SELECT DISTINCT allowed.grantee::regrole
        FROM pg_attribute, aclexplode(attacl) AS allowed
        WHERE attrelid = '"midplane".executions'::regclass AND attname = 'dead_at'
            AND allowed.privilege_type = 'UPDATE' AND allowed.grantee <> 0
    LOOP
        EXECUTE format('GRANT UPDATE (error) ON "midplane".executions TO %s', who);
    END LOOP;
END
$do$;

-- Records what became of the work of these claims: handled, failed (with a pause in microseconds), dead (with an
-- error) or returned. Listeners of the version before call the one without errors.
CREATE FUNCTION "midplane".settle(
    claimed text[], tokens bigint[], verdicts text[], pauses bigint[], errors text[]
) RETURNS void
LANGUAGE sql AS $$
    UPDATE "midplane".executions
    SET handled_at = CASE WHEN settled.verdict = 'handled' THEN clock_timestamp() END,
        dead_at = CASE WHEN settled.verdict = 'dead' THEN clock_timestamp() END,
        error = CASE WHEN settled.verdict = 'dead' THEN settled.error END,
        failures = failures + CASE WHEN settled.verdict IN ('failed', 'dead') THEN 1 ELSE 0 END,
        paused_until = CASE WHEN settled.verdict = 'failed'
            THEN clock_timestamp() + settled.pause * interval '1 microsecond' END,
        lease = NULL, leased_until = NULL
    FROM unnest(claimed, tokens, verdicts, pauses, errors)
        AS settled (execution, token, verdict, pause, error)
    WHERE id = settled.execution AND lease = settled.token
$$;

DROP FUNCTION "midplane".scan(bigint, boolean, integer);

-- A page of what is not handled, or of the dead letters with their errors, up to `most` and about 4 MiB; `more` says
-- that there are more behind the last. One row is always there; where nothing was found its number is null.
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
    tag text,
    error text
)
LANGUAGE sql STABLE ROWS 256 AS $$
    SELECT store.id, coalesce(count(*) OVER () < weighed.due, false),
        weighed.number, weighed.id, weighed.outcome, weighed.bytes,
        (extract(epoch FROM weighed.finished_at) * 1000000)::bigint,
        weighed.flow, weighed.namespace, weighed.tag, weighed.error
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
CREATE OR REPLACE FUNCTION "midplane".replay(wanted text[]) RETURNS bigint
LANGUAGE sql AS $$
    WITH replayed AS (
        UPDATE "midplane".executions
        SET dead_at = NULL, error = NULL, failures = 0, paused_until = NULL
        WHERE id = ANY (wanted) AND dead_at IS NOT NULL
        RETURNING 1
    )
    SELECT count(*) FROM replayed
$$;
