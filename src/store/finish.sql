-- Ends builds, once each. $1 to $11: a column each; what is ended is answered by its number, counted from 1.
-- In the order of their ids, so that two replicas do not wait for each other.
WITH input AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::int[], $7::text[],
        $8::text[], $9::text[], $10::int[], $11::text[])
        WITH ORDINALITY AS i (id, job, state, cause, started, retries, digest, reason, message, exit_code, log_snippet, n)
    ORDER BY id
), changed AS (
    UPDATE builds b SET state = i.state::build_state, finished_at = now(),
        started_at = coalesce(b.started_at, CASE WHEN i.started THEN now() END),
        retries = greatest(b.retries, i.retries), superseded_by = NULL, phase = NULL, waiting_since = NULL,
        waiting_reason = NULL, waiting_message = NULL, lease_until = NULL, claim_token = NULL, version = b.version + 1
    FROM input i
    WHERE b.id = i.id AND (
        b.state = 'running' AND (i.job IS NULL OR b.external_id = i.job)
        OR b.state = 'cancelling' AND i.state = 'succeeded' AND (i.job IS NULL OR coalesce(b.external_id, i.job) = i.job)
    )
    RETURNING b.id, b.project_id, b.state, i.n, i.cause, i.digest, i.reason, i.message, i.exit_code, i.log_snippet
), event AS (
    INSERT INTO build_events (build_id, project_id, state, cause, reason, message)
    SELECT id, project_id, state, cause, reason, message FROM changed
), result AS (
    INSERT INTO results (build_id, digest, reason, message, exit_code, log_snippet, project_id, repository,
        held_seconds)
    SELECT c.id, c.digest, c.reason, c.message, c.exit_code, c.log_snippet, c.project_id, s.repository,
        CASE WHEN c.state = 'succeeded' THEN (
            SELECT extract(epoch FROM clock_timestamp() - max(e.at)) FROM build_events e
            WHERE e.build_id = c.id AND e.cause = 'claim' AND e.at < clock_timestamp()
        ) END
    FROM changed c JOIN specs s ON s.build_id = c.id
)
SELECT n AS "n!" FROM changed
