-- Builds of which the newest is enough. Builds without a group have nulls here and are in no index of it.
ALTER TABLE builds ADD COLUMN concurrency_group text,
    ADD COLUMN supersede text CHECK (supersede IN ('queued', 'running')),
    ADD COLUMN superseded_by uuid CHECK (superseded_by IS NULL OR state IN ('cancelling', 'superseded'));
COMMENT ON COLUMN builds.concurrency_group IS 'Names, within the project, builds that may take each other''s place';
COMMENT ON COLUMN builds.supersede IS 'Older builds of the group that this one puts an end to: those that wait, or '
    'also those that run and do not push yet; null: none';
COMMENT ON COLUMN builds.superseded_by IS 'The newer build that takes its place; while it is cancelling, too';
CREATE INDEX builds_concurrency ON builds (project_id, concurrency_group, id)
WHERE concurrency_group IS NOT NULL AND state IN ('queued', 'launching', 'running');
