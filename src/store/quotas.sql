-- How much of its limits each project uses. $1: the projects, $2 and $3: the service's limits, $4: builds that are about
-- to be stored. The projects' locks are held, and were taken before this statement's snapshot.
SELECT n.name AS "name!", quota.max_queued, quota.max_per_hour, used.queued AS "queued!", used.accepted AS "accepted!",
    used.oldest AS "oldest: jiff_sqlx::Timestamp", now() AS "now!: jiff_sqlx::Timestamp",
    -- How long it takes, about, until one of the slots in use is free again.
    CASE WHEN used.queued + $4 >= quota.max_queued THEN (
        SELECT avg(held_seconds) FROM (
            SELECT held_seconds FROM results WHERE project_id = p.id AND held_seconds IS NOT NULL
            ORDER BY build_id DESC LIMIT 20
        ) latest
    ) / greatest((
        SELECT count(*) FROM held_slots WHERE project_id = p.id
    ), 1) END::float8 AS next_in
FROM unnest($1::text[]) n (name)
LEFT JOIN projects p ON p.name = n.name
CROSS JOIN LATERAL (
    SELECT coalesce(p.max_queued, $2::integer) AS max_queued, coalesce(p.max_per_hour, $3::integer) AS max_per_hour
) quota
CROSS JOIN LATERAL (
    SELECT coalesce((
            SELECT sum(queued) FROM lane_counts c WHERE c.project_id = p.id
        ), 0)::bigint AS queued,
        count(latest.created_at) AS accepted, min(latest.created_at) AS oldest
    FROM (
        -- An id bears its maker's clock: it only says where to look.
        SELECT created_at FROM specs
        WHERE project_id = p.id AND build_id >= first_id_at(now() - interval '70 min')
            AND created_at > now() - interval '1 h'
        ORDER BY build_id DESC LIMIT coalesce(quota.max_per_hour, 0)
    ) latest
) used
