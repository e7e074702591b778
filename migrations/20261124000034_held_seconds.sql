-- How long builds held their slots: what later ones are estimated by. Only for those that succeeded, since others end
-- early. One index serves a repository and, where that has no history, its project: the latest few hundred are read.
ALTER TABLE results ADD COLUMN project_id bigint;
ALTER TABLE results ADD COLUMN repository text;
ALTER TABLE results ADD COLUMN held_seconds real CHECK (held_seconds >= 0);
CREATE INDEX results_held ON results (project_id, build_id) INCLUDE (repository, held_seconds)
WHERE held_seconds IS NOT NULL;
COMMENT ON COLUMN results.project_id IS 'The build''s';
COMMENT ON COLUMN results.repository IS 'The build''s, as in specs';
COMMENT ON COLUMN results.held_seconds IS 'From the last claim to the end; null unless it succeeded';
