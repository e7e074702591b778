-- Claims notifications that are due. $1: tries of one target at once; $2: at most so many now; $3: the lease in seconds.
-- Targets are found by a loose scan, so that one with a long backlog costs the others nothing, and each is given its
-- first before any is given its second. One that an earlier one of its build goes before is put off until that is due.
-- That one is asked for by finished_at, which says the same as its state: by the state, and without statistics, the
-- planner takes notifications_waiting, and walks through the target's whole backlog for each.
WITH RECURSIVE target AS (
    (SELECT target, endpoint_id FROM notifications WHERE state = 'waiting' ORDER BY target LIMIT 1)
    UNION ALL
    SELECT next.* FROM target t CROSS JOIN LATERAL (
        SELECT target, endpoint_id FROM notifications n WHERE n.state = 'waiting' AND n.target > t.target
        ORDER BY n.target LIMIT 1
    ) next
), open AS MATERIALIZED (
    SELECT t.target, $1 - (
        SELECT count(*) FROM notifications c
        WHERE c.target = t.target AND c.claim IS NOT NULL AND c.next_try_at > now()
    ) AS free
    FROM target t
    WHERE t.endpoint_id IS NULL OR EXISTS (SELECT FROM endpoints e WHERE e.id = t.endpoint_id AND e.enabled)
), due AS MATERIALIZED (
    SELECT d.id, o.free, (
        SELECT b.next_try_at FROM notifications b
        WHERE b.build_id = d.build_id AND b.target = o.target AND b.finished_at IS NULL AND b.id < d.id
        ORDER BY b.id LIMIT 1
    ) AS behind
    FROM open o CROSS JOIN LATERAL (
        SELECT n.id, n.build_id, n.next_try_at FROM notifications n
        WHERE n.state = 'waiting' AND n.target = o.target AND n.next_try_at <= now()
        ORDER BY n.next_try_at, n.id LIMIT 50 FOR UPDATE SKIP LOCKED
    ) d
    WHERE o.free > 0
), put_off AS (
    UPDATE notifications n SET next_try_at = greatest(d.behind, now() + interval '1 s'), claim = NULL
    FROM due d WHERE n.id = d.id AND d.behind IS NOT NULL
), chosen AS MATERIALIZED (
    SELECT r.id FROM (
        SELECT n.id, d.free, row_number() OVER (PARTITION BY n.target ORDER BY n.next_try_at, n.id) AS nth
        FROM due d JOIN notifications n ON n.id = d.id WHERE d.behind IS NULL
    ) r
    WHERE r.nth <= r.free ORDER BY r.nth, r.id LIMIT $2
)
UPDATE notifications n SET claim = gen_random_uuid(), next_try_at = now() + make_interval(secs => $3),
    tries = n.tries + 1, round = n.round + 1
FROM chosen c WHERE n.id = c.id
RETURNING n.id, n.claim AS "claim!", n.tries, n.round
