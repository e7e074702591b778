-- Builds whose git hosts are told how they go. Written before the build, removed after its time: no foreign key, and a
-- row whose build was never made does no harm.
CREATE TABLE commit_statuses (
    build_id           uuid PRIMARY KEY,
    provider           text NOT NULL,
    api_url            text NOT NULL,
    repository         text NOT NULL,
    commit_id          text NOT NULL,
    context            text NOT NULL,
    credential_context bytea,
    credential         bytea,
    CHECK ((credential_context IS NULL) = (credential IS NULL))
);
COMMENT ON TABLE commit_statuses IS 'Commits that bear the status of a build';
COMMENT ON COLUMN commit_statuses.api_url IS 'The base of the host''s API';
COMMENT ON COLUMN commit_statuses.repository IS 'As the host names it: owner/name';
COMMENT ON COLUMN commit_statuses.context IS 'What the status is called: a later one of the same name replaces it';
COMMENT ON COLUMN commit_statuses.credential IS 'A token, sealed for credential_context; null: the operator''s for that host';
