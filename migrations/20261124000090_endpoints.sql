-- Where a project wants to be told of its builds.
CREATE TABLE endpoints (
    id               uuid PRIMARY KEY,
    project_id       bigint NOT NULL REFERENCES projects (id),
    url              text NOT NULL,
    description      text,
    events           text[] NOT NULL,
    format           text NOT NULL,
    secret           bytea NOT NULL,
    old_secret       bytea,
    old_secret_until timestamptz,
    enabled          boolean NOT NULL DEFAULT true,
    disabled_reason  text,
    failing_since    timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now(),
    CHECK ((old_secret IS NULL) = (old_secret_until IS NULL))
);
COMMENT ON TABLE endpoints IS 'Addresses that are told of builds';
COMMENT ON COLUMN endpoints.events IS 'The types that it wants: build.queued, …';
COMMENT ON COLUMN endpoints.format IS 'How bodies are written: domain::endpoint::Format';
COMMENT ON COLUMN endpoints.secret IS 'domain::keyring, bound to the endpoint: what notifications are signed with';
COMMENT ON COLUMN endpoints.old_secret IS 'The one before it: they are signed with both until old_secret_until';
COMMENT ON COLUMN endpoints.disabled_reason IS 'Why we disabled it; null where somebody did, or it is enabled';
COMMENT ON COLUMN endpoints.failing_since IS 'Since when no notification was taken; null after one was';
CREATE INDEX endpoints_by_project ON endpoints (project_id, id);
