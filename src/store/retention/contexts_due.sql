-- A batch of contexts after $1 with those marked that were uploaded longer than $2 seconds ago and are needed by no
-- build: none that lives, and none that ended less than $2 seconds ago, since that may be built again. The fences make
-- sure that it goes from the context to its builds: without statistics any other way may look as cheap, through all
-- builds for each context.
WITH seen AS MATERIALIZED (
    SELECT id, created_at FROM contexts
    WHERE id > $1 AND id < first_id_at(now() - make_interval(secs => $2))
    ORDER BY id LIMIT 500
)
SELECT c.id AS "id!", c.created_at < now() - make_interval(secs => $2) AND needed.by IS NULL AS "due!"
FROM seen c LEFT JOIN LATERAL (
    SELECT s.build_id AS by FROM (
        SELECT build_id FROM specs WHERE spec #>> '{source,upload,context_id}' = c.id::text OFFSET 0
    ) s CROSS JOIN LATERAL (
        SELECT FROM builds b
        WHERE b.id = s.build_id AND (b.finished_at IS NULL OR b.finished_at >= now() - make_interval(secs => $2))
        OFFSET 0
    ) b LIMIT 1
) needed ON true
ORDER BY c.id
