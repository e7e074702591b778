-- Stores builds that need nothing looked up but their projects; answers which were stored. $1 to $6: a column each.
-- Those whose project has limits, or is not there yet, are left to others.
WITH input AS MATERIALIZED (
    SELECT i.*, p.id AS project_id
    FROM unnest($1::uuid[], $2::text[], $3::smallint[], $4::text[], $5::text[], $6::text[]) WITH ORDINALITY
        AS i (id, project, priority, spec, repository, git_ref, nth)
    JOIN projects p ON p.name = i.project AND p.max_queued IS NULL AND p.max_per_hour IS NULL
), build AS (
    INSERT INTO builds (id, project_id, priority) SELECT id, project_id, priority FROM input ORDER BY nth
), spec AS (
    INSERT INTO specs (build_id, project_id, repository, git_ref, spec)
    SELECT id, project_id, repository, git_ref, spec::jsonb FROM input ORDER BY nth
), event AS (
    INSERT INTO build_events (build_id, project_id, state, cause)
    SELECT id, project_id, 'queued', 'request' FROM input ORDER BY nth
), counted AS (
    INSERT INTO lane_counts (project_id, priority, queued)
    SELECT project_id, priority, count(*) FROM input GROUP BY project_id, priority
), lane AS (
    INSERT INTO lanes (project_id, priority, floor)
    SELECT DISTINCT project_id, priority, now() - interval '10 s' FROM input i
    WHERE NOT EXISTS (
        SELECT FROM lanes l WHERE l.project_id = i.project_id AND l.priority = i.priority AND l.empty_since IS NULL
    ) ORDER BY project_id, priority
    ON CONFLICT (project_id, priority) DO UPDATE SET empty_since = NULL
)
SELECT nth AS "nth!", now() AS "created_at!: jiff_sqlx::Timestamp" FROM input
