-- Queued builds, slots in use, and the age of the oldest queued build, which is in a lane with one of the lowest
-- floors: those never lie above a lane's first build. $1: lanes that are looked at.
WITH low AS MATERIALIZED (
    SELECT project_id, priority, floor FROM lanes WHERE empty_since IS NULL ORDER BY floor LIMIT $1
)
SELECT (SELECT coalesce(sum(queued), 0)::bigint FROM lane_counts) AS "queued!",
    (SELECT count(*) FROM held_slots) AS "held!",
    (
        SELECT extract(epoch FROM now() - min(head.run_at))::float8 FROM low l CROSS JOIN LATERAL (
            SELECT run_at FROM builds b
            WHERE b.state = 'queued' AND b.project_id = l.project_id AND b.priority = l.priority
                AND b.run_at >= l.floor
            ORDER BY run_at, id LIMIT 1
        ) head
    ) AS oldest
