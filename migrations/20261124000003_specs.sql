-- What was asked for. Never changes, so its indexes, which lists are read by, cost nothing when a build moves on.
CREATE TABLE specs (
    build_id   uuid PRIMARY KEY,
    project_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    rebuild_of uuid,
    repository text NOT NULL,
    git_ref    text,
    spec       jsonb NOT NULL
);
COMMENT ON TABLE specs IS 'What was asked for, as it was accepted';
COMMENT ON COLUMN specs.build_id IS 'The build; written by the same statement, so no foreign key is checked';
COMMENT ON COLUMN specs.created_at IS 'When the build was accepted';
COMMENT ON COLUMN specs.rebuild_of IS 'The build that this one repeats';
COMMENT ON COLUMN specs.repository IS 'Of the first destination: host/path';
COMMENT ON COLUMN specs.git_ref IS 'As the request wrote it';

-- Lists go from the newest to the oldest and resume after an id. One index for a project's builds, one for a
-- repository's; refs and times are filtered on the way.
CREATE INDEX specs_by_project ON specs (project_id, build_id);
CREATE INDEX specs_by_repository ON specs (repository, build_id);
