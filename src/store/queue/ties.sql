-- How many of these projects' next builds, each after so many others of its own, go before a build by priority, age
-- and id. $1: the projects, $2: builds to skip, $3 to $5: the build's priority, run_at and id.
SELECT count(*) AS "first!"
FROM unnest($1::bigint[], $2::bigint[]) tied (project_id, skip)
CROSS JOIN LATERAL (
    SELECT l.priority, b.run_at, b.id FROM lanes l CROSS JOIN LATERAL (
        SELECT run_at, id FROM builds
        WHERE state = 'queued' AND project_id = l.project_id AND priority = l.priority AND run_at >= l.floor
        ORDER BY run_at, id LIMIT tied.skip + 1
    ) b
    WHERE l.project_id = tied.project_id
    ORDER BY l.priority DESC, b.run_at, b.id OFFSET tied.skip LIMIT 1
) next
WHERE next.priority > $3 OR next.priority = $3 AND (next.run_at, next.id) < ($4, $5)
