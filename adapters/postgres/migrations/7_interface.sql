-- What people call by hand, and who may call what.

-- The bytes of an execution as text, json or jsonb as well, in UTF-8: SELECT midplane.complete('job', 'done'),
-- SELECT midplane.fail('job', '{"why": "x"}'::jsonb). A literal without a type is text, also '\x00': bytes are
-- '\x00'::bytea.
DO $do$
DECLARE
    kind text;
    ending text[];
BEGIN
    FOREACH kind IN ARRAY ARRAY['text', 'json', 'jsonb'] LOOP
        EXECUTE format(
            $sql$
            CREATE FUNCTION "midplane".finish(execution text, outcome text, payload %s) RETURNS boolean
            LANGUAGE sql AS $$
                SELECT "midplane".finish(execution, outcome, convert_to(payload::text, 'UTF8'))
            $$
            $sql$,
            kind
        );
        FOREACH ending SLICE 1 IN ARRAY ARRAY[
            ['complete', 'success'], ['fail', 'failure'], ['cancel', 'cancelled'], ['expire', 'expired'],
            ['skip', 'skipped']
        ] LOOP
            EXECUTE format(
                $sql$
                CREATE FUNCTION "midplane".%I(execution text, payload %s) RETURNS boolean
                LANGUAGE sql AS $$
                    SELECT "midplane".finish(execution, %L, convert_to(payload::text, 'UTF8'))
                $$
                $sql$,
                ending[1], kind, ending[2]
            );
        END LOOP;
    END LOOP;
END
$do$;

-- Lets a role start and finish executions. It can neither take work from the ledger nor mark any as handled.
CREATE PROCEDURE "midplane".allow_producer(who regrole)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA "midplane" TO %s', who);
    EXECUTE format('GRANT SELECT ON "midplane".executions TO %s', who);
    EXECUTE format('GRANT INSERT (id, flow, namespace, tag) ON "midplane".executions TO %s', who);
    EXECUTE format(
        'GRANT UPDATE (outcome, bytes, finished_at, number) ON "midplane".executions TO %s', who
    );
    EXECUTE format('GRANT INSERT (number, execution, namespace, tag) ON "midplane".outbox TO %s', who);
    EXECUTE format('GRANT SELECT, USAGE ON "midplane".numbers TO %s', who);
END
$$;

-- Lets a role follow the history, and nothing else.
CREATE PROCEDURE "midplane".allow_follower(who regrole)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA "midplane" TO %s', who);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA "midplane" TO %s', who);
    EXECUTE format('GRANT SELECT ON "midplane".numbers TO %s', who);
END
$$;

-- Lets a role follow the history and work with the ledger: it can neither start nor finish an execution.
CREATE PROCEDURE "midplane".allow_listener(who regrole)
LANGUAGE plpgsql AS $$
DECLARE
    -- What is of the ledger is what is of no producer.
    columns CONSTANT text := string_agg(quote_ident(attname), ', ')
    FROM pg_attribute
    WHERE attrelid = '"midplane".executions'::regclass AND attnum > 0 AND NOT attisdropped
        AND attname <> ALL (ARRAY[
            'id', 'flow', 'namespace', 'tag', 'started_at', 'outcome', 'bytes', 'finished_at', 'number'
        ]);
BEGIN
    CALL "midplane".allow_follower(who);
    EXECUTE format('GRANT UPDATE (%s) ON "midplane".executions TO %s', columns, who);
    EXECUTE format('GRANT UPDATE ON "midplane".turn TO %s', who);
    EXECUTE format('GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA "midplane" TO %s', who);
    EXECUTE format('REVOKE USAGE ON "midplane".numbers FROM %s', who);
END
$$;
