-- What there is. The schema is "midplane" unless another was asked for: it stands between double quotes
-- wherever it is named, and is put in place of this one when the migration is applied.

-- What tells this store from every other, and up to where its history was trimmed.
CREATE TABLE "midplane".store (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    id bigint NOT NULL,
    trimmed bigint NOT NULL DEFAULT 0
);

INSERT INTO "midplane".store (id)
SELECT ('x' || substr(md5(gen_random_uuid()::text), 1, 16))::bit(64)::bigint;

-- One run of one job, each with how it ended and who is at handling that.
CREATE TABLE "midplane".executions (
    id text PRIMARY KEY CHECK (octet_length(id) BETWEEN 1 AND 255),
    flow text CHECK (octet_length(flow) BETWEEN 1 AND 255),
    namespace text CHECK (octet_length(namespace) BETWEEN 1 AND 255),
    tag text CHECK (octet_length(tag) BETWEEN 1 AND 255),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- These four are null while it runs.
    outcome text,
    bytes bytea,
    finished_at timestamptz,
    -- Its number in the outbox.
    number bigint,
    -- These are the ledger's.
    handled_at timestamptz,
    failures integer NOT NULL DEFAULT 0,
    paused_until timestamptz,
    lease bigint,
    leased_until timestamptz
);

-- What the reconciler pages through.
CREATE INDEX executions_unhandled ON "midplane".executions (number)
    WHERE number IS NOT NULL AND handled_at IS NULL;

-- What pruning removes.
CREATE INDEX executions_handled ON "midplane".executions (number)
    WHERE handled_at IS NOT NULL;

CREATE SEQUENCE "midplane".leases;

-- The history. What is in it about an execution is in the other table, but for what filters ask.
CREATE SEQUENCE "midplane".numbers;

-- A sequence that was asked once tells its last number for sure.
SELECT nextval('"midplane".numbers');

CREATE TABLE "midplane".outbox (
    number bigint PRIMARY KEY,
    execution text NOT NULL,
    namespace text,
    tag text,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
