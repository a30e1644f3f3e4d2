-- Groups: several ledgers of one history, each of which has every execution handled once.
--
-- The ledger of the columns of `executions` is that of the group without a name. A named group has a place in the history,
-- `position`, up to which its executions are rows of `work`; a look lists what is behind that, and takes then. So who
-- finishes an execution knows of no group and pays for none, and none is missed by a transaction that began before a group.
-- A row of `work` goes when its execution is handled.
--
-- MP006: the group is not registered, or was removed.

CREATE TABLE "midplane".groups (
    name text COLLATE "C" PRIMARY KEY CHECK (octet_length(name) BETWEEN 1 AND 255),
    position bigint NOT NULL,
    -- How long what is not handled is kept, in microseconds; for ever where it is null.
    keep bigint,
    -- The namespace that had the last turn.
    turn text NOT NULL DEFAULT ''
);

-- What a group has not handled. All that a look asks is here, and the rest in `executions`.
CREATE TABLE "midplane".work (
    grp text COLLATE "C" NOT NULL,
    execution text NOT NULL,
    number bigint NOT NULL,
    flow text,
    namespace text,
    tag text,
    size integer,
    failures integer NOT NULL DEFAULT 0,
    paused_until timestamptz,
    lease bigint,
    leased_until timestamptz,
    dead_at timestamptz,
    error text,
    -- What is found by its execution is asked by `grp`, and what is to be found for a group by `queue`. They are the same, and
    -- no index of one is any good for the other: a server that knows little of the table would read all of a group for one.
    queue text COLLATE "C" GENERATED ALWAYS AS (grp) STORED,
    PRIMARY KEY (execution, grp)
);

-- As those of `executions`, for each group.
CREATE INDEX work_unhandled ON "midplane".work (queue, number) WHERE dead_at IS NULL;
CREATE INDEX work_open ON "midplane".work (queue, (coalesce(namespace, '')), number) WHERE dead_at IS NULL;
CREATE INDEX work_flows ON "midplane".work (queue, (coalesce(namespace, '')), flow, number)
    WHERE flow IS NOT NULL AND dead_at IS NULL;
CREATE INDEX work_busy ON "midplane".work (queue, (coalesce(namespace, '')), flow)
    WHERE flow IS NOT NULL AND dead_at IS NULL AND (leased_until IS NOT NULL OR paused_until IS NOT NULL);
CREATE INDEX work_dead ON "midplane".work (queue, number) WHERE dead_at IS NOT NULL;

-- Whether there is the group without a name.
ALTER TABLE "midplane".store ADD COLUMN unnamed boolean NOT NULL DEFAULT true;

-- Raises MP006 where the group without a name was removed.
CREATE FUNCTION "midplane".unnamed() RETURNS void
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT store.unnamed FROM "midplane".store THEN
        RAISE EXCEPTION 'the group without a name was removed: use one that has a name' USING ERRCODE = 'MP006';
    END IF;
END
$$;

-- Raises MP006 where there is no such group.
CREATE FUNCTION "midplane".registered(grp text) RETURNS void
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_variable
BEGIN
    IF NOT EXISTS (SELECT FROM "midplane".groups WHERE groups.name = grp) THEN
        RAISE EXCEPTION 'the group % is not registered, or was removed', grp USING ERRCODE = 'MP006';
    END IF;
END
$$;

-- Registering a group and pruning are one at a time, so that what a new group begins with is there. The key is "midg", and
-- the store.
CREATE FUNCTION "midplane".lock_groups() RETURNS void
LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock((x'6d696467'::bigint << 32) | '"midplane".groups'::regclass::oid::bigint)
$$;

-- Registers a group that begins with what is in the history, or now; one that is there keeps its place.
CREATE FUNCTION "midplane".register(grp text, beginning boolean, keep bigint) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_variable
DECLARE
    upto bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM "midplane".groups WHERE groups.name = grp) THEN
        PERFORM "midplane".lock_groups();
        SELECT horizon.upto INTO STRICT upto FROM "midplane".horizon();
        INSERT INTO "midplane".groups (name, position, keep)
        SELECT grp, CASE WHEN beginning THEN store.trimmed ELSE greatest(store.trimmed, upto) END, keep
        FROM "midplane".store
        ON CONFLICT (name) DO NOTHING;
    END IF;
    UPDATE "midplane".groups SET keep = register.keep
    WHERE groups.name = grp AND groups.keep IS DISTINCT FROM register.keep;
END
$$;

-- Removes a group, or the one without a name where it is null, and says whether it was there.
CREATE FUNCTION "midplane".remove(grp text) RETURNS boolean
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_variable
BEGIN
    IF grp IS NULL THEN
        UPDATE "midplane".store SET unnamed = false WHERE store.unnamed;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
        -- A claim records nothing any more.
        UPDATE "midplane".executions SET lease = NULL, leased_until = NULL
        WHERE number IS NOT NULL AND handled_at IS NULL AND lease IS NOT NULL;
        RETURN true;
    END IF;
    -- Nobody lists anything for it meanwhile.
    DELETE FROM "midplane".groups WHERE groups.name = grp;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM "midplane".work WHERE work.grp = remove.grp;
    RETURN true;
END
$$;

-- Every group, with how much it has not handled and how many dead letters there are.
CREATE FUNCTION "midplane".list_groups()
RETURNS TABLE (name text, keep bigint, unhandled bigint, dead bigint)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT NULL::text, NULL::bigint,
        (
            SELECT count(*) FROM "midplane".executions
            WHERE executions.number IS NOT NULL AND handled_at IS NULL AND dead_at IS NULL
        ),
        (SELECT count(*) FROM "midplane".executions WHERE dead_at IS NOT NULL)
    FROM "midplane".store WHERE store.unnamed;
    RETURN QUERY
    SELECT groups.name, groups.keep,
        (SELECT count(*) FROM "midplane".work WHERE work.queue = groups.name AND dead_at IS NULL)
            + (
                SELECT count(*) FROM "midplane".executions
                WHERE executions.number > groups.position AND handled_at IS NULL
            ) + (
                SELECT count(*) FROM "midplane".executions
                WHERE executions.number > groups.position AND handled_at IS NOT NULL
            ),
        (SELECT count(*) FROM "midplane".work WHERE work.queue = groups.name AND dead_at IS NOT NULL)
    FROM "midplane".groups ORDER BY groups.name;
END
$$;

-- The executions behind a place, up to another, in order: a part of each of the two indices that know their numbers.
CREATE FUNCTION "midplane".behind(place bigint, upto bigint, most bigint) RETURNS SETOF "midplane".executions
LANGUAGE plpgsql STABLE ROWS 1000 SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    RETURN QUERY
    SELECT * FROM (
        (
            SELECT * FROM "midplane".executions
            WHERE executions.number > place AND executions.number <= upto AND executions.handled_at IS NULL
                AND executions.number IS NOT NULL
            ORDER BY executions.number LIMIT most
        )
        UNION ALL
        (
            SELECT * FROM "midplane".executions
            WHERE executions.number > place AND executions.number <= upto AND executions.handled_at IS NOT NULL
            ORDER BY executions.number LIMIT most
        )
    ) AS either
    ORDER BY either.number LIMIT most;
END
$$;

-- Lists up to `most` of the executions that are behind the place of a group, whose row the caller has locked, and says
-- whether there may be more.
CREATE FUNCTION "midplane".list_work(grp text, most integer) RETURNS boolean
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_variable
DECLARE
    upto bigint;
    place bigint;
    listed bigint;
    last bigint;
BEGIN
    SELECT groups.position INTO STRICT place FROM "midplane".groups WHERE groups.name = grp;
    -- Then a new snapshot: what is up to there is visible now, or never.
    SELECT horizon.upto INTO STRICT upto FROM "midplane".horizon();
    IF upto <= place THEN
        RETURN false;
    END IF;
    WITH found AS (
        SELECT * FROM "midplane".behind(place, upto, most)
    ),
    inserted AS (
        INSERT INTO "midplane".work (grp, execution, number, flow, namespace, tag, size)
        SELECT grp, found.id, found.number, found.flow, found.namespace, found.tag, octet_length(found.bytes) FROM found
        ON CONFLICT DO NOTHING
    )
    SELECT count(*), max(found.number) INTO listed, last FROM found;
    UPDATE "midplane".groups SET position = CASE WHEN listed < most THEN upto ELSE last END WHERE groups.name = grp;
    RETURN listed >= most;
END
$$;

-- Gives up what groups have not handled and keep no longer, and says how many there were. What is locked just now is given
-- up another time.
CREATE FUNCTION "midplane".give_up() RETURNS bigint
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    one record;
    oldest timestamptz;
    upto bigint;
    counted bigint;
    given_up bigint := 0;
BEGIN
    FOR one IN
        SELECT * FROM "midplane".groups WHERE groups.keep IS NOT NULL ORDER BY groups.name FOR NO KEY UPDATE
    LOOP
        oldest := clock_timestamp() - one.keep * interval '1 microsecond';
        DELETE FROM "midplane".work USING (
            SELECT work.execution FROM "midplane".work
            JOIN "midplane".executions AS done ON done.id = work.execution
            WHERE work.queue = one.name AND done.finished_at <= oldest
            FOR UPDATE OF work SKIP LOCKED
        ) AS old
        WHERE work.grp = one.name AND work.execution = old.execution;
        GET DIAGNOSTICS counted = ROW_COUNT;
        given_up := given_up + counted;
        -- Of what is not listed, all up to the first that is kept.
        SELECT horizon.upto INTO STRICT upto FROM "midplane".horizon();
        upto := least(upto, (
            SELECT min(executions.number) - 1 FROM "midplane".executions
            WHERE executions.number > one.position AND handled_at IS NULL AND finished_at > oldest
        ), (
            SELECT min(executions.number) - 1 FROM "midplane".executions
            WHERE executions.number > one.position AND handled_at IS NOT NULL AND finished_at > oldest
        ));
        IF upto > one.position THEN
            SELECT count(*) INTO counted FROM "midplane".behind(one.position, upto, 9223372036854775807);
            given_up := given_up + counted;
            UPDATE "midplane".groups SET position = upto WHERE groups.name = one.name;
        END IF;
    END LOOP;
    RETURN given_up;
END
$$;

DROP FUNCTION "midplane".prune(bigint);

-- Removes the part of the history that is older than so many microseconds, and the executions in it that every group has
-- handled, or gave up in a call before. Then gives up what groups keep no longer. Cursors from within what was removed of the
-- history are expired from then on.
CREATE FUNCTION "midplane".prune(
    age bigint, OUT pruned_records bigint, OUT pruned_executions bigint, OUT given_up bigint
)
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    oldest CONSTANT timestamptz := clock_timestamp() - age * interval '1 microsecond';
    complete CONSTANT bigint := upto FROM "midplane".horizon();
    cut record;
    edge bigint;
    counted bigint;
BEGIN
    -- One at a time.
    PERFORM "midplane".lock_groups();
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
    -- What a group has not listed is kept for it, and what is listed is its work until it is handled.
    SELECT least(store.trimmed, (SELECT min(groups.position) FROM "midplane".groups)) INTO edge FROM "midplane".store;
    DELETE FROM "midplane".executions
    WHERE handled_at IS NOT NULL AND number <= edge
        AND NOT EXISTS (SELECT FROM "midplane".work WHERE work.execution = executions.id);
    GET DIAGNOSTICS pruned_executions = ROW_COUNT;
    IF NOT store.unnamed FROM "midplane".store THEN
        DELETE FROM "midplane".executions
        WHERE handled_at IS NULL AND number IS NOT NULL AND number <= edge
            AND NOT EXISTS (SELECT FROM "midplane".work WHERE work.execution = executions.id);
        GET DIAGNOSTICS counted = ROW_COUNT;
        pruned_executions := pruned_executions + counted;
    END IF;
    -- Last, since who works for a group waits for what is locked from here on; the next call removes the executions.
    given_up := "midplane".give_up();
END
$$;

-- Lets a role register groups and work with their ledgers.
CREATE PROCEDURE "midplane".allow_groups(who regrole)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON "midplane".work TO %s', who);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON "midplane".groups TO %s', who);
END
$$;

-- Lets a role follow the history and work with the ledgers of groups: it can neither start nor finish an execution.
CREATE OR REPLACE PROCEDURE "midplane".allow_listener(who regrole)
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
    CALL "midplane".allow_groups(who);
END
$$;

-- Who may work with the ledger may do so with groups, too.
DO $do$
DECLARE
    who regrole;
BEGIN
    FOR who IN
        SELECT DISTINCT allowed.grantee::regrole
        FROM pg_attribute, aclexplode(attacl) AS allowed
        WHERE attrelid = '"midplane".executions'::regclass AND attname = 'error'
            AND allowed.privilege_type = 'UPDATE' AND allowed.grantee <> 0
    LOOP
        CALL "midplane".allow_groups(who);
    END LOOP;
END
$do$;
