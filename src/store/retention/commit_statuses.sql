-- A batch of builds with a commit's status after $1, those forgotten that were made longer than $2 seconds ago (and a
-- month at the least), and have ended or were never made.
WITH seen AS MATERIALIZED (
    SELECT build_id FROM commit_statuses
    WHERE build_id > $1 AND build_id < first_id_at(now() - greatest(make_interval(secs => $2), interval '30 days'))
    ORDER BY build_id LIMIT 500
), removed AS (
    DELETE FROM commit_statuses c USING seen s
    WHERE c.build_id = s.build_id
        AND (SELECT count(*) FROM builds b WHERE b.id = s.build_id AND b.finished_at IS NULL) = 0
    RETURNING 1
)
SELECT (SELECT count(*) FROM removed) AS "removed!", (SELECT count(*) FROM seen) AS "seen!",
    (SELECT build_id FROM seen ORDER BY build_id DESC LIMIT 1) AS last
