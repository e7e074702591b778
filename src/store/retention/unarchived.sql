-- A batch of logs after the one ($1, $2) that are not in the archive, with those marked that are whole and whose builds
-- ended longer than $3 seconds ago.
WITH seen AS MATERIALIZED (
    SELECT build_id, attempt, complete AND removed_at IS NULL AS whole FROM logs
    WHERE archive_ends IS NULL AND (build_id, attempt) > ($1, $2)
        AND build_id < first_id_at(now() - make_interval(secs => $3))
    ORDER BY build_id, attempt LIMIT 500
)
SELECT s.build_id AS "build_id!", s.attempt AS "attempt!",
    coalesce(s.whole AND b.finished_at < now() - make_interval(secs => $3), false) AS "due!"
FROM seen s LEFT JOIN builds b ON b.id = s.build_id ORDER BY s.build_id, s.attempt
