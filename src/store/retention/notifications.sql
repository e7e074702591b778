-- A batch of notifications after $1, those removed that were made longer than $2 seconds ago and are finished. One that
-- still waits goes after two weeks at the earliest: it is tried for three days, unless its endpoint is disabled.
WITH seen AS MATERIALIZED (
    SELECT id, created_at, (
        created_at < now() - make_interval(secs => $2)
        AND (finished_at IS NOT NULL OR created_at < now() - interval '14 days') AND claim IS NULL
    ) AS due
    FROM notifications WHERE id > $1 ORDER BY id LIMIT 500
), removed AS (
    DELETE FROM notifications n USING seen s WHERE n.id = s.id AND s.due AND n.claim IS NULL RETURNING n.id
), tried AS (
    DELETE FROM notification_tries t USING removed r WHERE t.notification_id = r.id
)
SELECT (SELECT count(*) FROM removed) AS "removed!", (SELECT count(*) FROM seen) AS "seen!", (
    SELECT id FROM seen WHERE created_at < now() - make_interval(secs => $2) ORDER BY id DESC LIMIT 1
) AS last
