-- How much one project may put into the queue.
ALTER TABLE projects
    ADD COLUMN max_queued   integer CHECK (max_queued >= 0),
    ADD COLUMN max_per_hour integer CHECK (max_per_hour >= 0);
COMMENT ON COLUMN projects.max_queued IS 'Builds of the project that may wait at once; null: the service''s default';
COMMENT ON COLUMN projects.max_per_hour IS 'Builds that the project may create within an hour; null: the service''s default';
