-- What deliveries are verified with: sealed with a key that is not in the database. Two count while one replaces the
-- other.
CREATE TABLE trigger_secrets (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    trigger_id uuid NOT NULL REFERENCES triggers (id) ON DELETE CASCADE,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz
);
COMMENT ON TABLE trigger_secrets IS 'Secrets of triggers, sealed';
COMMENT ON COLUMN trigger_secrets.sealed IS 'domain::keyring; bound to the trigger, so that a row copied to another '
    'trigger does not open';
COMMENT ON COLUMN trigger_secrets.expires_at IS 'Null of the current one; the one before it counts until then';
CREATE INDEX trigger_secrets_by_trigger ON trigger_secrets (trigger_id, id);
CREATE UNIQUE INDEX trigger_secrets_current ON trigger_secrets (trigger_id) WHERE expires_at IS NULL;
