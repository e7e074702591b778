-- The instructions of Dockerfiles as kaniko announces them in its log, attempt by attempt.
CREATE TABLE steps (
    build_id    uuid NOT NULL,
    attempt     text NOT NULL,
    number      integer NOT NULL CHECK (number > 0),
    instruction text NOT NULL,
    timed       boolean NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (build_id, attempt, number)
);
COMMENT ON TABLE steps IS 'Steps of attempts, read from their logs';
COMMENT ON COLUMN steps.attempt IS 'The attempt''s name, as in logs';
COMMENT ON COLUMN steps.number IS 'Counted from 1 over all stages of the Dockerfile';
COMMENT ON COLUMN steps.timed IS 'Whether it was read while the log was written, so that the times are its own';
COMMENT ON COLUMN steps.started_at IS 'When the log that announces it was stored';
COMMENT ON COLUMN steps.finished_at IS 'When the next step began, the push began, or the log ended; null also where that '
    'was not seen';
