-- What only dispatchers know, for those who answer how the queue moves: the slots that there are, and whether the
-- cluster takes launches.
CREATE TABLE dispatchers (
    id                uuid PRIMARY KEY,
    seen_at           timestamptz NOT NULL DEFAULT now(),
    slots             integer NOT NULL CHECK (slots >= 0),
    slots_per_project integer NOT NULL CHECK (slots_per_project >= 0),
    answers           boolean NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE dispatchers IS 'Processes that claim builds; each says every few seconds that it is there';
COMMENT ON COLUMN dispatchers.slots IS 'Over all replicas and projects, as that process is set';
COMMENT ON COLUMN dispatchers.slots_per_project IS 'Of a project that has no limit of its own';
COMMENT ON COLUMN dispatchers.answers IS 'Whether the cluster took the last launch, or is there again';
