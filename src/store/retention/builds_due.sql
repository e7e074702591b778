-- A batch of builds after $1 with those marked that ended longer than $2 seconds ago. One that still has a log waits:
-- the log may be an object, which goes first. Its few logs are counted: an EXISTS may be answered from a hash of all
-- logs, and a LIMIT from a walk through them.
WITH seen AS MATERIALIZED (
    SELECT id, finished_at FROM builds
    WHERE id > $1 AND id < first_id_at(now() - make_interval(secs => $2))
    ORDER BY id LIMIT 500
)
SELECT s.id AS "id!", coalesce(
    s.finished_at < now() - make_interval(secs => $2)
        AND (SELECT count(*) FROM logs l WHERE l.build_id = s.id) = 0,
    false
) AS "due!"
FROM seen s ORDER BY s.id
