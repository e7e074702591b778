-- A batch of contexts after $1 with those marked that were uploaded longer than $2 seconds ago and are needed by no
-- build: none that lives, and none that ended less than $2 seconds ago, since that may be built again. (A lateral join,
-- since an EXISTS may be answered from a hash of all builds.)
WITH seen AS MATERIALIZED (
    SELECT id, created_at FROM contexts
    WHERE id > $1 AND id < first_id_at(now() - make_interval(secs => $2))
    ORDER BY id LIMIT 500
)
SELECT c.id AS "id!", c.created_at < now() - make_interval(secs => $2) AND needed.by IS NULL AS "due!"
FROM seen c LEFT JOIN LATERAL (
    SELECT b.id AS by FROM specs s JOIN builds b ON b.id = s.build_id
    WHERE s.spec #>> '{source,upload,context_id}' = c.id::text
        AND (b.finished_at IS NULL OR b.finished_at >= now() - make_interval(secs => $2))
    LIMIT 1
) needed ON true
ORDER BY c.id
