-- Whole logs move to an object store. The object is written first; its chunks' ends are recorded by the transaction that
-- deletes the chunks here, so that a log is always readable at one place.
ALTER TABLE logs ADD COLUMN archive_begun_at timestamptz;
ALTER TABLE logs ADD COLUMN archive_ends bigint[];
COMMENT ON COLUMN logs.archive_begun_at IS 'Since when there may be an object of this log';
COMMENT ON COLUMN logs.archive_ends IS 'Where the compressed chunks end in the object, each of 256 KiB of the log, the '
    'last of what is left; null as long as the log is read from log_chunks';

-- What may have to move. Appending to a log leaves it alone.
CREATE INDEX logs_unarchived ON logs (build_id, attempt) WHERE archive_ends IS NULL;
