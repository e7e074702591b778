-- Projects that have queued builds or hold slots, or one by its name. $1: the name, or null; $2: projects at most,
-- $3 and $4: limits of those that have none of their own.
WITH queued AS MATERIALIZED (
    SELECT project_id, sum(queued)::bigint AS n FROM lane_counts GROUP BY project_id
), held AS MATERIALIZED (
    SELECT project_id, count(*) AS n FROM held_slots GROUP BY project_id
), shown AS MATERIALIZED (
    SELECT p.id, p.name, p.weight, p.max_running, coalesce(p.max_queued, $3::integer) AS max_queued,
        coalesce(p.max_per_hour, $4::integer) AS max_per_hour, coalesce(h.n, 0) AS held, coalesce(q.n, 0) AS queued
    FROM queued q FULL JOIN held h USING (project_id) JOIN projects p ON p.id = project_id
    WHERE $1::text IS NULL AND (q.n > 0 OR h.n > 0)
    UNION ALL
    SELECT p.id, p.name, p.weight, p.max_running, coalesce(p.max_queued, $3::integer) AS max_queued,
        coalesce(p.max_per_hour, $4::integer) AS max_per_hour,
        coalesce((SELECT n FROM held h WHERE h.project_id = p.id), 0),
        coalesce((SELECT n FROM queued q WHERE q.project_id = p.id), 0)
    FROM projects p WHERE p.name = $1
    ORDER BY queued DESC, held DESC, name LIMIT $2
)
SELECT s.name AS "name!: Named<ProjectName>", s.weight AS "weight!", s.max_running, s.max_queued, s.max_per_hour,
    CASE WHEN s.max_per_hour IS NOT NULL THEN (
        SELECT count(*) FROM (
            SELECT FROM specs
            WHERE project_id = s.id AND build_id >= first_id_at(now() - interval '70 min')
                AND created_at > now() - interval '1 h'
            ORDER BY build_id DESC LIMIT s.max_per_hour
        ) latest
    ) END AS last_hour, s.held AS "held!",
    s.queued AS "queued!", (
        SELECT extract(epoch FROM now() - min(head.run_at))::float8 FROM lanes l CROSS JOIN LATERAL (
            SELECT run_at FROM builds b
            WHERE b.state = 'queued' AND b.project_id = l.project_id AND b.priority = l.priority
                AND b.run_at >= l.floor
            ORDER BY run_at, id LIMIT 1
        ) head
        WHERE l.project_id = s.id
    ) AS oldest
FROM shown s ORDER BY s.queued DESC, s.held DESC, s.name
