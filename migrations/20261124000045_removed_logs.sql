-- A log is removed in steps, of which the first says that it is gone. The attempt remembers that there was one.
ALTER TABLE logs ADD COLUMN removed_at timestamptz;
ALTER TABLE attempts ADD COLUMN log_removed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN logs.removed_at IS 'Since when it counts as removed; the rest of it goes bit by bit';
COMMENT ON COLUMN attempts.log_removed IS 'Its log was kept for its time and is gone';
