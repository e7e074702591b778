-- Who changed what: one row a change, written by the transaction that makes it. Rows are only ever added.
CREATE TABLE audit (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    token_id uuid,
    actor    text NOT NULL,
    action   text NOT NULL,
    project  text,
    subject  text NOT NULL,
    before   jsonb,
    after    jsonb
);
COMMENT ON TABLE audit IS 'Who changed what';
COMMENT ON COLUMN audit.token_id IS 'The token that asked for it; null: nobody had to say who they are. No foreign key: '
    'what happened stays true when the token is gone';
COMMENT ON COLUMN audit.actor IS 'The token''s name then, anonymous, or command line';
COMMENT ON COLUMN audit.action IS 'What happened, such as token.created';
COMMENT ON COLUMN audit.project IS 'The name of the project that it belongs to; null: to none';
COMMENT ON COLUMN audit.subject IS 'The name or id of what was changed';
COMMENT ON COLUMN audit.before IS 'As it was, without secrets; null: it was not there';
COMMENT ON COLUMN audit.after IS 'As it is since then, without secrets; null: it is gone';
CREATE INDEX audit_by_project ON audit (project, id);
