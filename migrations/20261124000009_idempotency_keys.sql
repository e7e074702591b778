-- Requests that may be sent twice and count once.
CREATE TABLE idempotency_keys (
    project_id     bigint NOT NULL,
    key            text NOT NULL,
    build_id       uuid NOT NULL,
    request_sha256 bytea NOT NULL CHECK (octet_length(request_sha256) = 32),
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, key)
);
COMMENT ON TABLE idempotency_keys IS 'Keys of requests that created a build, written with that build';
COMMENT ON COLUMN idempotency_keys.request_sha256 IS 'The same key with another request is refused';
