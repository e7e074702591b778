-- What holds a slot has one index, the one with the floor, and nothing else is answered by it.
--
-- By the planner's statistics hardly anything ever holds a slot: so the index seems to be short, and any index whose
-- condition follows from a statement's (`state = 'launching'` is enough for `state IN (...)`) may be walked from end to
-- end instead of looking one build up by its id. Under an old snapshot that leads through all builds that have ended
-- since. A CASE follows from nothing but itself. And each build was written to two indexes, twice.
DROP INDEX builds_active;
DROP INDEX builds_held;
CREATE INDEX builds_held ON builds (turn)
    WHERE CASE WHEN state IN ('launching', 'running', 'cancelling') THEN true ELSE false END;

CREATE OR REPLACE VIEW held_slots AS
SELECT id, project_id, state, turn FROM builds
WHERE CASE WHEN state IN ('launching', 'running', 'cancelling') THEN true ELSE false END AND turn >= (
    SELECT pg_sequence_last_value('held_floor')
)
UNION ALL
SELECT id, project_id, state, turn FROM builds
WHERE CASE WHEN state IN ('launching', 'running', 'cancelling') THEN true ELSE false END AND turn IS NULL;
