-- Locks what the newest builds of these builds' groups may supersede, and those newest builds. $1: the new builds.
WITH touched AS MATERIALIZED (
    SELECT DISTINCT project_id, concurrency_group FROM builds
    WHERE id = ANY($1) AND concurrency_group IS NOT NULL
), newest AS MATERIALIZED (
    SELECT t.project_id, t.concurrency_group, newest.id FROM touched t CROSS JOIN LATERAL (
        SELECT id FROM builds b
        WHERE b.project_id = t.project_id AND b.concurrency_group = t.concurrency_group
            AND b.concurrency_group IS NOT NULL AND b.state IN ('queued', 'launching', 'running')
            AND b.supersede IS NOT NULL
        ORDER BY b.id DESC LIMIT 1
    ) newest
)
SELECT b.id FROM newest n JOIN builds b
    ON b.project_id = n.project_id AND b.concurrency_group = n.concurrency_group AND b.id <= n.id
WHERE b.concurrency_group IS NOT NULL AND b.state IN ('queued', 'launching', 'running')
ORDER BY b.id FOR NO KEY UPDATE OF b
