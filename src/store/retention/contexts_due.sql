-- A batch of contexts after $1 with those marked that were uploaded longer than $2 seconds ago and are needed by no
-- build: none that lives, and none that ended less than $2 seconds ago, since that may be built again.
WITH seen AS MATERIALIZED (
    SELECT id, created_at FROM contexts
    WHERE id > $1 AND id < first_id_at(now() - make_interval(secs => $2))
    ORDER BY id LIMIT 500
)
SELECT c.id AS "id!", c.created_at < now() - make_interval(secs => $2) AND NOT EXISTS (
    SELECT FROM specs s JOIN builds b ON b.id = s.build_id
    WHERE s.spec #>> '{source,upload,context_id}' = c.id::text
        AND (b.finished_at IS NULL OR b.finished_at >= now() - make_interval(secs => $2))
) AS "due!"
FROM seen c ORDER BY c.id
