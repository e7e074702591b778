-- Puts an end to those of these builds that a newer one of their group takes the place of. $1: the builds, locked. One
-- that pushes goes on; one that was never launched has no pod to wait for; all others are as if cancelled.
WITH member AS MATERIALIZED (
    SELECT id, project_id, priority, concurrency_group, supersede, state, phase, launches FROM builds
    WHERE id = ANY($1) AND state IN ('queued', 'launching', 'running')
), newest AS MATERIALIZED (
    SELECT DISTINCT ON (project_id, concurrency_group, supersede) project_id, concurrency_group, supersede, id
    FROM member WHERE supersede IS NOT NULL
    ORDER BY project_id, concurrency_group, supersede, id DESC
), ending AS MATERIALIZED (
    SELECT DISTINCT ON (m.id) m.id, m.state AS before, m.state = 'queued' AND m.launches = 0 AS at_once,
        n.id AS newer
    FROM member m JOIN newest n ON n.project_id = m.project_id AND n.concurrency_group = m.concurrency_group
    WHERE n.id > m.id AND (n.supersede = 'running' OR m.state = 'queued') AND m.phase IS DISTINCT FROM 'pushing'
    ORDER BY m.id, n.id DESC
), changed AS (
    UPDATE builds b SET state = CASE WHEN e.at_once THEN 'superseded' ELSE 'cancelling' END::build_state,
        finished_at = CASE WHEN e.at_once THEN clock_timestamp() END, superseded_by = e.newer,
        version = version + 1
    FROM ending e WHERE b.id = e.id AND b.state = e.before
    RETURNING b.id, b.project_id, b.priority, b.state, e.before, e.newer
), event AS (
    INSERT INTO build_events (build_id, project_id, state, cause, message)
    SELECT id, project_id, state, 'superseded', 'Build ' || newer || CASE
        WHEN state = 'superseded' THEN ' took its place.' ELSE ' takes its place.' END
    FROM changed ORDER BY id
), counted AS (
    INSERT INTO lane_counts (project_id, priority, queued)
    SELECT project_id, priority, -count(*) FROM changed WHERE before = 'queued' GROUP BY project_id, priority
)
SELECT id, state AS "state!: Named<State>" FROM changed
