-- Where claims look: one row for each project and priority that has, or lately had, queued builds. Without it a claim
-- would have to find the projects by walking the queue's index over all entries that died at the head of each.
CREATE TABLE lanes (
    project_id  bigint NOT NULL,
    priority    smallint NOT NULL,
    floor       timestamptz NOT NULL,
    empty_since timestamptz,
    PRIMARY KEY (project_id, priority)
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0,
    vacuum_index_cleanup = on
);
COMMENT ON TABLE lanes IS 'Projects and priorities that may have queued builds';
COMMENT ON COLUMN lanes.floor IS 'No queued build of the lane has an earlier run_at, as far as is known: claims begin '
    'their scan here, above what earlier claims left dead. Set back by a periodic sweep should one turn up late';
COMMENT ON COLUMN lanes.empty_since IS 'When no queued build was found; the row is removed some time after, and '
    'creation of a build clears the mark';
