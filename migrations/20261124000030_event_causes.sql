-- What led to each change of state, beside the reason that a failure has. Null in rows of older releases.
ALTER TABLE build_events ADD COLUMN cause text;
COMMENT ON COLUMN build_events.cause IS 'What made the build go on: a request, a claim, what was observed, …';
