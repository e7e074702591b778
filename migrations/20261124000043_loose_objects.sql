-- Objects in the storage of contexts that no context stands for: of uploads under way, and of contexts that were
-- removed. A row is there before the object is, and until it is gone, so that a crash leaves no object that nobody
-- knows of.
CREATE TABLE loose_objects (
    context_id uuid PRIMARY KEY,
    due_at     timestamptz NOT NULL
);
COMMENT ON TABLE loose_objects IS 'Bytes of contexts that are not, or no longer, contexts';
COMMENT ON COLUMN loose_objects.due_at IS 'When the bytes are removed, if no context has come of them by then';
