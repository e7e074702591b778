-- The history of builds: one row for each change of state, written by the statement that changes it.
CREATE TABLE build_events (
    id       bigint GENERATED ALWAYS AS IDENTITY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    build_id uuid NOT NULL,
    state    build_state NOT NULL,
    reason   text,
    message  text,
    PRIMARY KEY (build_id, id)
);
COMMENT ON TABLE build_events IS 'Changes of state, oldest first within a build';
COMMENT ON COLUMN build_events.id IS 'Grows within a build in the order of commits, since its row is locked meanwhile';
COMMENT ON COLUMN build_events.state IS 'The state that was reached';
COMMENT ON COLUMN build_events.reason IS 'Why it failed, where it did';
