-- What came of a build that succeeded or failed. Written once, with the terminal state.
CREATE TABLE results (
    build_id    uuid PRIMARY KEY,
    digest      text,
    reason      text,
    message     text,
    exit_code   integer,
    log_snippet text
);
COMMENT ON TABLE results IS 'Digests and failures of builds that have ended';
COMMENT ON COLUMN results.digest IS 'Of the pushed image, where the container left one';
COMMENT ON COLUMN results.reason IS 'Why it failed; null when it succeeded';
COMMENT ON COLUMN results.message IS 'The failure in words';
COMMENT ON COLUMN results.exit_code IS 'The container''s, where one was seen';
COMMENT ON COLUMN results.log_snippet IS 'The end of the failed attempt''s log';
