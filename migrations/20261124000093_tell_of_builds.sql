-- Fills the outbox: every event of a build, whoever writes it, becomes notifications in the transaction that writes it.
-- Here and not in the statements that change builds, so that none of them can forget it, those of other releases
-- included. A project without endpoints pays one look into their index for each statement.
CREATE FUNCTION tell_of_builds() RETURNS trigger LANGUAGE plpgsql
-- The new rows have no statistics, and neither have empty tables: whatever the planner thinks, go by the indexes.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off AS $$
BEGIN
    INSERT INTO notifications (target, endpoint_id, build_id, type, at)
    SELECT e.id::text, e.id, n.build_id, n.type, n.at
    FROM (SELECT *, told_as(state, cause) AS type FROM written) n JOIN endpoints e ON e.project_id = n.project_id
    WHERE e.enabled AND n.type = ANY (e.events)
    ORDER BY n.id
    ON CONFLICT DO NOTHING;
    INSERT INTO notifications (target, build_id, type, at)
    SELECT 'status ' || c.api_url, n.build_id, n.type, n.at
    FROM (SELECT *, told_as(state, cause) AS type FROM written) n JOIN commit_statuses c ON c.build_id = n.build_id
    WHERE n.type IS NOT NULL
    ORDER BY n.id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

-- The type under which an event is told of; null where nobody is told. A build that goes back to the queue because its
-- Job could not be made yet was told of when it was accepted. One that expired failed, for those who wait for it.
CREATE FUNCTION told_as(state build_state, cause text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE state
        WHEN 'queued' THEN CASE WHEN cause IS DISTINCT FROM 'launch_deferred' THEN 'build.queued' END
        WHEN 'running' THEN 'build.started'
        WHEN 'succeeded' THEN 'build.succeeded'
        WHEN 'failed' THEN 'build.failed'
        WHEN 'expired' THEN 'build.failed'
        WHEN 'cancelled' THEN 'build.cancelled'
        WHEN 'superseded' THEN 'build.superseded'
    END
$$;

CREATE TRIGGER tell_of_builds AFTER INSERT ON build_events
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION tell_of_builds();
