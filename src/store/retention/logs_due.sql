-- A batch of logs after the one ($1, $2) with those marked whose builds ended longer than $3 seconds ago. A log whose
-- build is gone was written late, and one that counts as removed was left half-way: both go.
WITH seen AS MATERIALIZED (
    SELECT build_id, attempt, archive_begun_at, removed_at FROM logs
    WHERE (build_id, attempt) > ($1, $2) AND build_id < first_id_at(now() - make_interval(secs => $3))
    ORDER BY build_id, attempt LIMIT 500
)
SELECT s.build_id AS "build_id!", s.attempt AS "attempt!", s.archive_begun_at IS NOT NULL AS "archived!", (
    s.removed_at IS NOT NULL OR b.id IS NULL OR coalesce(b.finished_at < now() - make_interval(secs => $3), false)
) AS "due!"
FROM seen s LEFT JOIN builds b ON b.id = s.build_id ORDER BY s.build_id, s.attempt
