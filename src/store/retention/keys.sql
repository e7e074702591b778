-- A batch of idempotency keys after the one of the build $1, those used longer than $2 seconds ago removed. Keys of one
-- build are never torn apart by the end of a batch: a build has one.
WITH seen AS MATERIALIZED (
    SELECT project_id, key, build_id FROM idempotency_keys
    WHERE build_id > $1 AND build_id < first_id_at(now() - make_interval(secs => $2))
    ORDER BY build_id LIMIT 500
), removed AS (
    DELETE FROM idempotency_keys k USING seen s
    WHERE k.project_id = s.project_id AND k.key = s.key AND k.created_at < now() - make_interval(secs => $2)
    RETURNING 1
)
SELECT (SELECT count(*) FROM seen) AS "seen!", (SELECT count(*) FROM removed) AS "removed!",
    (SELECT build_id FROM seen ORDER BY build_id DESC LIMIT 1) AS last
