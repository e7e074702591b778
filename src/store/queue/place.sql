-- Where a queued build stands in its lane. $1: the build, $2: builds that are counted at most, in either direction.
WITH me AS MATERIALIZED (
    SELECT b.id, b.project_id, b.priority, b.run_at, s.repository,
        coalesce(l.floor, '-infinity'::timestamptz) AS floor
    FROM builds b
    JOIN specs s ON s.build_id = b.id
    LEFT JOIN lanes l ON l.project_id = b.project_id AND l.priority = b.priority
    WHERE b.id = $1 AND b.state = 'queued'
), before AS MATERIALIZED (
    SELECT count(*) AS n, max(b.run_at) AS until FROM me CROSS JOIN LATERAL (
        SELECT run_at FROM builds
        WHERE state = 'queued' AND project_id = me.project_id AND priority = me.priority AND run_at >= me.floor
            AND (run_at, id) < (me.run_at, me.id)
        ORDER BY run_at, id LIMIT $2
    ) b
), behind AS MATERIALIZED (
    SELECT count(*) AS n FROM me CROSS JOIN before CROSS JOIN LATERAL (
        SELECT FROM builds
        WHERE before.n = $2 AND state = 'queued' AND project_id = me.project_id AND priority = me.priority
            AND (run_at, id) > (me.run_at, me.id)
        ORDER BY run_at, id LIMIT $2
    ) b
), tail AS MATERIALIZED (
    SELECT b.run_at FROM me CROSS JOIN behind CROSS JOIN LATERAL (
        SELECT run_at FROM builds
        WHERE behind.n = $2 AND state = 'queued' AND project_id = me.project_id AND priority = me.priority
        ORDER BY run_at DESC, id DESC LIMIT 1
    ) b
)
SELECT me.project_id, me.priority, me.run_at AS "run_at: jiff_sqlx::Timestamp", me.repository,
    me.run_at > clock_timestamp() AS "put_off!", before.n AS "before!", behind.n AS "behind!",
    (
        SELECT extract(epoch FROM me.run_at - before.until) / nullif(extract(epoch FROM tail.run_at - before.until), 0)
        FROM tail
    )::float8 AS share_of_rest,
    coalesce((
        SELECT sum(queued) FROM lane_counts c WHERE c.project_id = me.project_id AND c.priority = me.priority
    ), 0)::bigint AS "lane!",
    coalesce((
        SELECT sum(queued) FROM lane_counts c WHERE c.project_id = me.project_id AND c.priority > me.priority
    ), 0)::bigint AS "above!"
FROM me CROSS JOIN before CROSS JOIN behind
