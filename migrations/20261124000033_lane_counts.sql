-- How many builds are queued, without counting them. Every transaction that adds to the queue or takes from it adds a
-- row with the difference: nobody waits for anybody, and the sum is exact whatever crashes. Rows are put together in
-- the background, so that there are few. It has no index: it is as small as the list of lanes.
CREATE TABLE lane_counts (
    project_id bigint NOT NULL,
    priority   smallint NOT NULL,
    queued     bigint NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
COMMENT ON TABLE lane_counts IS 'Queued builds by project and priority: the sum over all rows';
COMMENT ON COLUMN lane_counts.queued IS 'A difference; negative where builds left the queue';
INSERT INTO lane_counts (project_id, priority, queued)
SELECT project_id, priority, count(*) FROM builds WHERE state = 'queued' GROUP BY project_id, priority;
