-- Whether commits that a trigger builds bear its builds' status, and where. The address is kept as it was settled, and
-- not made anew of clone_url, for the token is sealed for just this one.
ALTER TABLE triggers
    ADD COLUMN status_api_url text,
    ADD COLUMN status_token   bytea,
    ADD CHECK (status_token IS NULL OR status_api_url IS NOT NULL);
COMMENT ON COLUMN triggers.status_api_url IS 'The base of the git host''s API; null: commits bear no status';
COMMENT ON COLUMN triggers.status_token IS 'domain::keyring; null: the operator''s token for that host';
