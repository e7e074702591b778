-- A batch of builds after $1 with those marked that ended longer than $2 seconds ago. One that still has a log waits:
-- the log may be an object, which goes first. (A lateral join, since an EXISTS may be answered from a hash of all logs.)
WITH seen AS MATERIALIZED (
    SELECT id, finished_at FROM builds
    WHERE id > $1 AND id < first_id_at(now() - make_interval(secs => $2))
    ORDER BY id LIMIT 500
)
SELECT s.id AS "id!", coalesce(s.finished_at < now() - make_interval(secs => $2) AND log.of IS NULL, false) AS "due!"
FROM seen s LEFT JOIN LATERAL (
    SELECT l.build_id AS of FROM logs l WHERE l.build_id = s.id LIMIT 1
) log ON true
ORDER BY s.id
