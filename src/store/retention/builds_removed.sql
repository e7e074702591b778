-- Removes the builds $1, all of which have ended, with everything that is kept of them. Keys go with their builds, since
-- a key that names no build would be refused for ever.
WITH build AS (
    DELETE FROM builds WHERE id = ANY($1) AND finished_at IS NOT NULL RETURNING id
), granted AS (
    DELETE FROM context_grants g USING specs s
    WHERE s.build_id = ANY($1) AND g.context_id = (s.spec #>> '{source,upload,context_id}')::uuid
        AND g.build_id = s.build_id
), spec AS (
    DELETE FROM specs WHERE build_id = ANY($1)
), result AS (
    DELETE FROM results WHERE build_id = ANY($1)
), attempt AS (
    DELETE FROM attempts WHERE build_id = ANY($1)
), step AS (
    DELETE FROM steps WHERE build_id = ANY($1)
), event AS (
    DELETE FROM build_events WHERE build_id = ANY($1)
), status AS (
    DELETE FROM commit_statuses WHERE build_id = ANY($1)
), told AS (
    DELETE FROM notifications WHERE build_id = ANY($1) RETURNING id
), tried AS (
    DELETE FROM notification_tries t USING told WHERE t.notification_id = told.id
), triggered AS (
    DELETE FROM triggered_builds WHERE build_id = ANY($1)
), key AS (
    DELETE FROM idempotency_keys WHERE build_id = ANY($1)
)
SELECT count(*) AS "removed!" FROM build
