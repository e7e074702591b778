-- Triggers: which git repository calls us, and what is built of it. The rules are one document: they are read and
-- written as a whole, and no query looks into them.
CREATE TABLE triggers (
    id         uuid PRIMARY KEY,
    project_id bigint NOT NULL REFERENCES projects (id),
    provider   text NOT NULL,
    repository text NOT NULL,
    clone_url  text NOT NULL,
    rules      jsonb NOT NULL,
    enabled    boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version    bigint NOT NULL DEFAULT 1
);
COMMENT ON TABLE triggers IS 'Links between git repositories and the images that are built of them';
COMMENT ON COLUMN triggers.id IS 'UUIDv7: sorts by age; a part of the address that the git host calls, and no secret';
COMMENT ON COLUMN triggers.provider IS 'Who calls: decides how deliveries are verified and read';
COMMENT ON COLUMN triggers.repository IS 'As the git host names it: deliveries of others are refused';
COMMENT ON COLUMN triggers.rules IS 'domain::trigger::Rules';
COMMENT ON COLUMN triggers.version IS 'Grows with every change';
CREATE INDEX triggers_by_project ON triggers (project_id, id);
