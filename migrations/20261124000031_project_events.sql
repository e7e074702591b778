-- The events of a whole project, read on from where a reader stopped. Ids are drawn before their transactions commit,
-- so a reader that goes by them would miss what commits late. It reads in the order of (xid, id) instead, and only
-- events of transactions older than every one that still runs: nothing can turn up before those any more.
ALTER TABLE build_events ADD COLUMN project_id bigint;
ALTER TABLE build_events ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();
UPDATE build_events e SET project_id = b.project_id FROM builds b WHERE b.id = e.build_id;
CREATE INDEX build_events_by_project ON build_events (project_id, xid, id);
COMMENT ON COLUMN build_events.project_id IS 'The build''s; null in rows that older releases wrote';
COMMENT ON COLUMN build_events.xid IS 'The transaction that wrote the row';
