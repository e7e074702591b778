-- A project's events after a cursor, of transactions that are older than every one that still runs. $1: the
-- project's name, $2 and $3: the cursor, $4: at most.
SELECT id, build_id, state AS "state: Named<State>", cause AS "cause: Named<Cause>",
    reason AS "reason: Named<Reason>", message, at AS "at: Timestamp", xid::text::bigint AS "xid!"
FROM build_events
WHERE project_id = (SELECT id FROM projects WHERE name = $1)
    AND (xid, id) > ($2::bigint::text::xid8, $3) AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, id LIMIT $4
