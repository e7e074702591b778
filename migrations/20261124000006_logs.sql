-- Logs of attempts: compressed chunks that follow one another without a gap.
CREATE TABLE logs (
    build_id uuid NOT NULL,
    attempt  text NOT NULL,
    bytes    bigint NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    complete boolean NOT NULL DEFAULT false,
    PRIMARY KEY (build_id, attempt)
);
COMMENT ON TABLE logs IS 'How much of an attempt''s log is stored';
COMMENT ON COLUMN logs.attempt IS 'The attempt''s name; its log may be stored before the attempt is recorded';
COMMENT ON COLUMN logs.bytes IS 'Uncompressed; the only offset at which a chunk may be added';
COMMENT ON COLUMN logs.complete IS 'Nothing will be added';

CREATE TABLE log_chunks (
    build_id    uuid NOT NULL,
    attempt     text NOT NULL,
    byte_offset bigint NOT NULL,
    length      integer NOT NULL CHECK (length > 0),
    body        bytea NOT NULL,
    PRIMARY KEY (build_id, attempt, byte_offset)
);
COMMENT ON TABLE log_chunks IS 'Stretches of logs, in the order of their offsets';
COMMENT ON COLUMN log_chunks.byte_offset IS 'Where it begins in the uncompressed log';
COMMENT ON COLUMN log_chunks.length IS 'Uncompressed';
COMMENT ON COLUMN log_chunks.body IS 'Compressed with zlib already: Postgres need not try again';
ALTER TABLE log_chunks ALTER COLUMN body SET STORAGE EXTERNAL;
