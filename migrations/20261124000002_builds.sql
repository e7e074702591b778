-- The one hot, narrow table: where each build stands. What was asked for (specs), what came of it (results), its
-- attempts, logs and events are in tables of their own, so that a change of state rewrites some hundred bytes.
CREATE TYPE build_state AS ENUM (
    'queued', 'launching', 'running', 'cancelling', 'succeeded', 'failed', 'cancelled', 'superseded', 'expired'
);
COMMENT ON TYPE build_state IS 'queued: waits for a slot. launching: claimed by a dispatcher that creates its Job. '
    'running: its Job exists. cancelling: asked to stop, its pod may still be there. Terminal, never left: succeeded '
    '(built and pushed), failed (results says why), cancelled (stopped on request, its pod is gone), superseded (a '
    'newer build took its place), expired (waited longer than allowed)';

CREATE TYPE build_phase AS ENUM ('pending', 'fetching', 'building', 'pushing');
COMMENT ON TYPE build_phase IS 'pending: the Job exists, no container runs. fetching: the context is being fetched. '
    'building: kaniko executes the Dockerfile. pushing: kaniko pushes';

-- No foreign key to projects: it would write a lock into the project's row for every build, and rows come in only
-- through the one statement that looks the project up.
CREATE TABLE builds (
    project_id          bigint NOT NULL,
    run_at              timestamptz NOT NULL DEFAULT now(),
    lease_until         timestamptz,
    started_at          timestamptz,
    finished_at         timestamptz,
    cancel_requested_at timestamptz,
    waiting_since       timestamptz,
    version             bigint NOT NULL DEFAULT 1,
    state               build_state NOT NULL DEFAULT 'queued',
    phase               build_phase,
    launches            integer NOT NULL DEFAULT 0,
    relaunches          integer NOT NULL DEFAULT 0,
    retries             integer NOT NULL DEFAULT 0,
    priority            smallint NOT NULL,
    id                  uuid PRIMARY KEY,
    claim_token         uuid,
    external_id         text,
    waiting_reason      text,
    waiting_message     text,
    CHECK ((lease_until IS NULL) = (claim_token IS NULL)),
    CHECK (state <> 'launching' OR claim_token IS NOT NULL),
    CHECK (claim_token IS NULL OR state IN ('launching', 'cancelling')),
    CHECK ((state IN ('succeeded', 'failed', 'cancelled', 'superseded', 'expired')) = (finished_at IS NOT NULL))
) WITH (
    -- Room on the page for the versions that one build goes through.
    fillfactor = 70,
    -- Dead index entries at the head of the queue are what slows claims: vacuum by count, not by share of the table,
    -- and never skip the indexes because few pages have dead rows.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0,
    vacuum_index_cleanup = on
);
COMMENT ON TABLE builds IS 'Where each build stands';
COMMENT ON COLUMN builds.id IS 'UUIDv7: sorts by age';
COMMENT ON COLUMN builds.run_at IS 'Not claimed before; set to the acceptance, or later when a launch was put off';
COMMENT ON COLUMN builds.lease_until IS 'When a launching build may be claimed anew; until then a cancelling one may '
    'still get a Job from a launch that had begun';
COMMENT ON COLUMN builds.claim_token IS 'Proof of the claim: only its holder may write to a launching build';
COMMENT ON COLUMN builds.launches IS 'Claims so far';
COMMENT ON COLUMN builds.relaunches IS 'How often its Job was made again after it was lost';
COMMENT ON COLUMN builds.retries IS 'Failed attempts as the Job counts them';
COMMENT ON COLUMN builds.priority IS 'Higher goes first within its project';
COMMENT ON COLUMN builds.external_id IS 'The Job''s uid, or the engine''s equivalent';
COMMENT ON COLUMN builds.waiting_since IS 'Since when no container of the running build runs';
COMMENT ON COLUMN builds.waiting_reason IS 'What it waits for, where that is known';
COMMENT ON COLUMN builds.waiting_message IS 'The cluster''s words for it';
COMMENT ON COLUMN builds.version IS 'Grows with every change: the ETag';

-- What claims read: within a project and a priority by the time from which a build may run.
CREATE INDEX builds_queued ON builds (project_id, priority, run_at, id) WHERE state = 'queued';
-- What holds a slot: counted by claims, walked by the observer. At most as many as there are slots.
CREATE INDEX builds_active ON builds (project_id, id) WHERE state IN ('launching', 'running', 'cancelling');
