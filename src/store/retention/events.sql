-- A batch of events after the one ($1, $2), those of builds that ended longer than $3 seconds ago removed.
WITH seen AS MATERIALIZED (
    SELECT build_id, id FROM build_events
    WHERE (build_id, id) > ($1, $2) AND build_id < first_id_at(now() - make_interval(secs => $3))
    ORDER BY build_id, id LIMIT 500
), removed AS (
    DELETE FROM build_events e USING seen s JOIN builds b ON b.id = s.build_id
    WHERE e.build_id = s.build_id AND e.id = s.id AND b.finished_at < now() - make_interval(secs => $3)
    RETURNING 1
), last AS (
    SELECT build_id, id FROM seen ORDER BY build_id DESC, id DESC LIMIT 1
)
SELECT (SELECT count(*) FROM seen) AS "seen!", (SELECT count(*) FROM removed) AS "removed!",
    (SELECT build_id FROM last) AS build_id, (SELECT id FROM last) AS id
