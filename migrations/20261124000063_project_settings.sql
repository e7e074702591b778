-- What an administrator settles for a project. What SQL does not look into is one document.
ALTER TABLE projects
    ADD COLUMN settings   jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN version    bigint NOT NULL DEFAULT 1,
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN removed_at timestamptz;
COMMENT ON COLUMN projects.settings IS 'domain::ProjectSettings. Names of Secrets, never what is in them';
COMMENT ON COLUMN projects.version IS 'Grows with every change of what is settled: the ETag';
COMMENT ON COLUMN projects.updated_at IS 'When that was changed last';
COMMENT ON COLUMN projects.removed_at IS 'It is shown nowhere and takes no builds since then. The row stays, for its '
    'builds are kept for their time';
