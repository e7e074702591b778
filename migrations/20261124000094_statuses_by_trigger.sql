-- The token of a commit's status is the trigger's as it is when the host is told, and no copy: a new one counts at once,
-- and what was turned off, moved or removed is told no more. No foreign key: a target outlives its trigger harmlessly.
ALTER TABLE commit_statuses
    DROP COLUMN credential_context,
    DROP COLUMN credential,
    ADD COLUMN trigger_id uuid NOT NULL;
COMMENT ON COLUMN commit_statuses.trigger_id IS 'Whose token it is told with, as long as that has this address';
