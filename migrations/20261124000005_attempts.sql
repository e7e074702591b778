-- Pods' runs of a build's Job.
CREATE TYPE attempt_state AS ENUM ('pending', 'running', 'succeeded', 'failed');
COMMENT ON TYPE attempt_state IS 'pending: its container has not started. running: it runs. succeeded: it ended well. '
    'failed: it did not';

CREATE TABLE attempts (
    build_id          uuid NOT NULL,
    number            integer NOT NULL CHECK (number > 0),
    name              text NOT NULL,
    state             attempt_state NOT NULL,
    node              text,
    started_at        timestamptz,
    finished_at       timestamptz,
    exit_code         integer,
    reason            text,
    message           text,
    failure_exit_code integer,
    log_snippet       text,
    PRIMARY KEY (build_id, name),
    UNIQUE (build_id, number)
);
COMMENT ON TABLE attempts IS 'One row for each pod or container that ran a build';
COMMENT ON COLUMN attempts.number IS 'Counted from 1 within the build, in the order in which they were seen';
COMMENT ON COLUMN attempts.name IS 'The pod''s or container''s name';
COMMENT ON COLUMN attempts.started_at IS 'By the cluster''s clock';
COMMENT ON COLUMN attempts.finished_at IS 'By the cluster''s clock';
COMMENT ON COLUMN attempts.reason IS 'Why it failed';
COMMENT ON COLUMN attempts.exit_code IS 'The container''s, once it has ended';
COMMENT ON COLUMN attempts.failure_exit_code IS 'The one that the failure speaks of: of a step, it may differ';
