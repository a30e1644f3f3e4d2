-- What programs call, inside their own transactions. Each may be called again with the same arguments: it
-- says true when it changed something, and false when it was so before.
--
-- MP001: no execution of this id was started.
-- MP002: the execution finished already, and not like this. DETAIL is the outcome it finished with.
-- MP003: what was asked does not fit: the outcome is none of the five, or the bytes are too many.

-- An execution starts. One that is started already keeps what it was started with.
CREATE FUNCTION "midplane".start(
    execution text, flow text DEFAULT NULL, namespace text DEFAULT NULL, tag text DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    finished text;
BEGIN
    INSERT INTO "midplane".executions (id, flow, namespace, tag)
    VALUES (execution, flow, namespace, tag)
    ON CONFLICT (id) DO NOTHING;
    IF FOUND THEN
        RETURN true;
    END IF;
    SELECT executions.outcome INTO finished
    FROM "midplane".executions WHERE executions.id = execution;
    IF finished IS NOT NULL THEN
        RAISE EXCEPTION 'execution % finished already with % and cannot be started', execution, finished
            USING ERRCODE = 'MP002', DETAIL = finished;
    END IF;
    RETURN false;
END
$$;

-- An execution ends: its state and the row of the outbox are written together, and who listens is woken.
CREATE FUNCTION "midplane".finish(execution text, outcome text, bytes bytea DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    drawn bigint;
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
    drawn := "midplane".next_number();
    UPDATE "midplane".executions AS done
    SET outcome = finish.outcome, bytes = finish.bytes, finished_at = clock_timestamp(), number = drawn
    WHERE done.id = execution
    RETURNING done.namespace, done.tag INTO STRICT before;
    INSERT INTO "midplane".outbox (number, execution, namespace, tag)
    VALUES (drawn, execution, before.namespace, before.tag);
    RETURN true;
END
$$;

CREATE FUNCTION "midplane".complete(execution text, bytes bytea DEFAULT NULL) RETURNS boolean
LANGUAGE sql AS $$ SELECT "midplane".finish(execution, 'success', bytes) $$;

CREATE FUNCTION "midplane".fail(execution text, bytes bytea DEFAULT NULL) RETURNS boolean
LANGUAGE sql AS $$ SELECT "midplane".finish(execution, 'failure', bytes) $$;

CREATE FUNCTION "midplane".cancel(execution text, bytes bytea DEFAULT NULL) RETURNS boolean
LANGUAGE sql AS $$ SELECT "midplane".finish(execution, 'cancelled', bytes) $$;

CREATE FUNCTION "midplane".expire(execution text, bytes bytea DEFAULT NULL) RETURNS boolean
LANGUAGE sql AS $$ SELECT "midplane".finish(execution, 'expired', bytes) $$;

CREATE FUNCTION "midplane".skip(execution text, bytes bytea DEFAULT NULL) RETURNS boolean
LANGUAGE sql AS $$ SELECT "midplane".finish(execution, 'skipped', bytes) $$;
