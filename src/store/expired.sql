-- Claims anew what was claimed before and not followed up. $1: builds at most, $2: the lease in seconds. They hold their
-- slots already, and are found among those that hold one, above the floor.
WITH expired AS MATERIALIZED (
    SELECT id FROM builds
    WHERE id = ANY(ARRAY(SELECT id FROM held_slots WHERE state = 'launching'))
        AND state = 'launching' AND lease_until < now()
    ORDER BY lease_until LIMIT $1 FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE builds b SET claim_token = gen_random_uuid(), lease_until = now() + make_interval(secs => $2),
        launches = b.launches + 1, version = b.version + 1
    FROM expired WHERE b.id = expired.id AND b.state = 'launching'
    RETURNING b.id, b.claim_token, b.launches
)
SELECT t.id, t.claim_token AS "token!", t.launches - 1 AS "launches!", s.spec AS "spec: Json<Box<RawValue>>"
FROM taken t JOIN specs s ON s.build_id = t.id
