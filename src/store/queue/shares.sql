-- Every project that has queued builds or holds slots.
WITH queued AS MATERIALIZED (
    SELECT project_id, sum(queued)::bigint AS n FROM lane_counts GROUP BY project_id
), held AS MATERIALIZED (
    SELECT project_id, count(*) AS n FROM held_slots GROUP BY project_id
)
SELECT p.id, p.weight, p.max_running, coalesce(h.n, 0) AS "held!", coalesce(q.n, 0) AS "queued!"
FROM queued q FULL JOIN held h USING (project_id) JOIN projects p ON p.id = project_id
WHERE q.n > 0 OR h.n > 0
