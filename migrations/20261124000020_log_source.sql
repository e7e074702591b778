-- What is kept of a log differs from what the container printed: secrets are masked, long lines cut. So whoever goes on
-- with a log must know how far the container's own has been dealt with.
ALTER TABLE logs
    ADD COLUMN source_bytes bigint NOT NULL DEFAULT 0 CHECK (source_bytes >= 0),
    ADD COLUMN source_cut boolean NOT NULL DEFAULT false,
    ADD COLUMN source_key boolean NOT NULL DEFAULT false;
-- Until now both were the same.
UPDATE logs SET source_bytes = bytes;
COMMENT ON COLUMN logs.source_bytes IS 'Bytes of the container''s log that what is stored was made of; grows with it';
COMMENT ON COLUMN logs.source_cut IS 'There the rest of a line follows whose beginning was too long';
COMMENT ON COLUMN logs.source_key IS 'There a line of a private key may follow';
