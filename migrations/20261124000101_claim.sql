-- A claim is one round trip and one transaction of its own: each further one costs a build that is created in an idle
-- queue as much as the wait for a processor. What a volatile function asks sees what was committed before it asks: so
-- the query, whose snapshot comes after the lock, sees what the holder of the lock before it did.
--
-- The function's text is src/store/claim.sql, which a test compares; whoever changes that adds a function with a new
-- name, for older replicas go on with theirs. The planner is told to follow the indexes: its statistics of a queue are
-- always out of date.
CREATE FUNCTION claim_1(total bigint, per_project bigint, most bigint, lanes bigint, lease_seconds double precision)
RETURNS TABLE (free bigint, seen bigint, build_id uuid, token uuid, launches integer, spec jsonb)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $claim$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(1936484471, 1);
    RETURN QUERY
-- Who goes next. $1: slots in all, $2: slots of a project that has no limit of its own, $3: builds at most,
-- $4: lanes looked at, $5: the lease in seconds.
WITH held AS MATERIALIZED (
    SELECT project_id, count(*) AS n FROM held_slots GROUP BY project_id
), free AS MATERIALIZED (
    SELECT greatest(least($1::bigint - coalesce(sum(n), 0), $3::bigint), 0)::bigint AS n FROM held
), lane AS MATERIALIZED (
    SELECT l.project_id, l.priority, l.floor, p.weight, coalesce(h.n, 0) AS held,
        coalesce(p.max_running, $2::bigint) - coalesce(h.n, 0) AS room
    FROM lanes l
    JOIN projects p ON p.id = l.project_id
    LEFT JOIN held h ON h.project_id = l.project_id
    WHERE coalesce(p.max_running, $2::bigint) > coalesce(h.n, 0) AND (SELECT n FROM free) > 0
    ORDER BY coalesce(h.n, 0)::float8 / p.weight, l.priority DESC, l.floor
    LIMIT $4
), candidate AS MATERIALIZED (
    SELECT b.id, b.run_at, l.priority, l.weight, l.held, l.room, row_number() OVER (
        PARTITION BY l.project_id ORDER BY l.priority DESC, b.run_at, b.id
    ) AS nth
    FROM lane l CROSS JOIN LATERAL (
        SELECT id, run_at FROM builds
        WHERE state = 'queued' AND project_id = l.project_id AND priority = l.priority
            AND run_at >= l.floor AND run_at <= now()
        ORDER BY run_at, id LIMIT least(l.room, (SELECT n FROM free))
    ) b
), picked AS MATERIALIZED (
    SELECT id, row_number() OVER (
        ORDER BY (held + nth - 1)::float8 / weight, priority DESC, run_at, id
    ) AS turn
    FROM candidate WHERE nth <= room
    ORDER BY turn LIMIT (SELECT n FROM free)
), locked AS MATERIALIZED (
    SELECT b.id, p.turn FROM picked p JOIN builds b ON b.id = p.id
    WHERE b.state = 'queued' FOR UPDATE OF b SKIP LOCKED
), taken AS (
    UPDATE builds b SET state = 'launching', turn = nextval('claim_turns'), claim_token = gen_random_uuid(),
        lease_until = now() + make_interval(secs => $5), launches = b.launches + 1, version = b.version + 1
    FROM locked WHERE b.id = locked.id AND b.state = 'queued'
    RETURNING b.id, b.project_id, b.priority, b.claim_token, b.launches, locked.turn
), event AS (
    INSERT INTO build_events (build_id, project_id, state, cause)
    SELECT id, project_id, 'launching', 'claim' FROM taken
), counted AS (
    INSERT INTO lane_counts (project_id, priority, queued)
    SELECT project_id, priority, -count(*) FROM taken GROUP BY project_id, priority
)
SELECT free.n AS "free!", (SELECT count(*) FROM lane) AS "lanes!",
    t.id AS "id?", t.claim_token AS "token?", t.launches - 1 AS "launches?",
    s.spec AS "spec?: Json<Box<RawValue>>"
FROM free LEFT JOIN (taken t JOIN specs s ON s.build_id = t.id) ON true
ORDER BY t.turn;
END
$claim$;
