-- Who counts the slots that are held begins above the builds that have given theirs back. Under an old snapshot their
-- index entries stay, as long as it lives, and each claim would look at all that have ended since.
--
-- Claims are made one at a time, under a lock, and number what they take: so what holds a slot is never below the least
-- number of those that held one at any moment before.
CREATE SEQUENCE claim_turns;
ALTER TABLE builds ADD COLUMN turn bigint;
COMMENT ON COLUMN builds.turn IS 'Grows from claim to claim; null in the queue, and of what an older release claimed';
CREATE INDEX builds_held ON builds (turn) WHERE state IN ('launching', 'running', 'cancelling');

-- A sequence, since it leaves no dead rows behind either. Nothing that holds a slot has a number below its value; it is
-- raised behind the claims' backs.
CREATE SEQUENCE held_floor MINVALUE 0;
SELECT setval('held_floor', 0);

CREATE VIEW held_slots AS
SELECT id, project_id, state FROM builds
WHERE state IN ('launching', 'running', 'cancelling') AND turn >= (
    SELECT pg_sequence_last_value('held_floor')
)
UNION ALL
SELECT id, project_id, state FROM builds
WHERE state IN ('launching', 'running', 'cancelling') AND turn IS NULL;
COMMENT ON VIEW held_slots IS 'The builds that hold a slot';
