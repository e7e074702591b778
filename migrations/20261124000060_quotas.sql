-- How much a project may ask for. Creations of projects that have a limit go through a lock of their project; all
-- others know of none.
ALTER TABLE projects ADD COLUMN max_queued integer CHECK (max_queued >= 0),
    ADD COLUMN max_per_hour integer CHECK (max_per_hour >= 0);
COMMENT ON COLUMN projects.max_queued IS 'Builds that the project may have queued; null: the service''s default';
COMMENT ON COLUMN projects.max_per_hour IS 'Builds that the project may create within any hour; null: the service''s '
    'default';
