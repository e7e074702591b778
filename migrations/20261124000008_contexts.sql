-- Uploaded build contexts (their bytes are in the object store) and who may read them.
CREATE TABLE contexts (
    id         uuid PRIMARY KEY,
    project_id bigint NOT NULL REFERENCES projects (id),
    size       bigint NOT NULL CHECK (size >= 0),
    sha256     bytea NOT NULL CHECK (octet_length(sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE contexts IS 'Uploaded contexts';
COMMENT ON COLUMN contexts.size IS 'Of the archive, in bytes';
COMMENT ON COLUMN contexts.sha256 IS 'Of the archive';

CREATE TABLE context_grants (
    context_id   uuid NOT NULL REFERENCES contexts (id) ON DELETE CASCADE,
    token_sha256 bytea NOT NULL CHECK (octet_length(token_sha256) = 32),
    build_id     uuid NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (context_id, token_sha256)
);
COMMENT ON TABLE context_grants IS 'Tokens with which a build''s pod reads its context';
COMMENT ON COLUMN context_grants.token_sha256 IS 'The token itself is never stored';
COMMENT ON COLUMN context_grants.build_id IS 'The token is good as long as this build holds a slot';
