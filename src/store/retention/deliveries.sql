-- A batch of deliveries after $1, those that arrived longer ago than $2 seconds removed.
WITH seen AS MATERIALIZED (
    SELECT id FROM deliveries WHERE id > $1 AND id < first_id_at(now() - make_interval(secs => $2))
    ORDER BY id LIMIT 500
), removed AS (
    DELETE FROM deliveries d USING seen s
    WHERE d.id = s.id AND d.received_at < now() - make_interval(secs => $2) RETURNING 1
)
SELECT (SELECT count(*) FROM seen) AS "seen!", (SELECT count(*) FROM removed) AS "removed!",
    (SELECT id FROM seen ORDER BY id DESC LIMIT 1) AS last
