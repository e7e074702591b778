-- What opens the API. A token's text is shown once, when it is made, and nowhere kept.
CREATE TABLE tokens (
    id           uuid PRIMARY KEY,
    project_id   bigint REFERENCES projects (id),
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    sha256       bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    scopes       text[] NOT NULL CHECK (cardinality(scopes) > 0),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    CHECK ((project_id IS NULL) = ('admin' = ANY (scopes)))
);
COMMENT ON TABLE tokens IS 'What opens the API';
COMMENT ON COLUMN tokens.id IS 'UUIDv7: sorts by age';
COMMENT ON COLUMN tokens.project_id IS 'The only project that it opens; null: all of them, of administrators only';
COMMENT ON COLUMN tokens.sha256 IS 'Of the text. The text has 256 random bits, so that no slow hash is needed';
COMMENT ON COLUMN tokens.scopes IS 'What it may be used for, by the names of domain::Scope';
COMMENT ON COLUMN tokens.expires_at IS 'It opens nothing from then on; null: it does not expire';
COMMENT ON COLUMN tokens.last_used_at IS 'To about a minute';
COMMENT ON COLUMN tokens.revoked_at IS 'It opens nothing since then';
CREATE INDEX tokens_by_project ON tokens (project_id, id);
