-- What called triggers, and what came of it. Written by the transaction that makes the builds. No foreign key to
-- triggers: it would write a lock into the trigger's row for every delivery.
CREATE TABLE deliveries (
    id           uuid PRIMARY KEY,
    trigger_id   uuid NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now(),
    host_id      text,
    event        text NOT NULL,
    verdict      text NOT NULL CHECK (verdict IN ('built', 'duplicate', 'skipped', 'refused')),
    reason       text,
    consequences jsonb NOT NULL DEFAULT '[]',
    headers      jsonb NOT NULL,
    body         bytea,
    replay_of    uuid,
    duplicate_of uuid
);
COMMENT ON TABLE deliveries IS 'What called triggers, and what came of it';
COMMENT ON COLUMN deliveries.id IS 'UUIDv7: sorts by age';
COMMENT ON COLUMN deliveries.host_id IS 'The git host''s own id of it, the same when it is sent again';
COMMENT ON COLUMN deliveries.event IS 'As the git host calls it; empty where it was not read';
COMMENT ON COLUMN deliveries.verdict IS 'built: builds were made. duplicate: all of it came before. skipped: nothing to '
    'build. refused: not believed, or not wanted';
COMMENT ON COLUMN deliveries.consequences IS 'What came of each ref and rule: domain::delivery::Consequence';
COMMENT ON COLUMN deliveries.headers IS 'Those that tell something, and no secret';
COMMENT ON COLUMN deliveries.body IS 'Every byte of it; null where it was not believed';
COMMENT ON COLUMN deliveries.replay_of IS 'The delivery that somebody had repeated. No foreign key: it may be removed';
COMMENT ON COLUMN deliveries.duplicate_of IS 'The delivery with the same host''s id that came first';

-- One delivery of the host counts once, whoever gets it: what was refused takes no id from what is genuine, and a
-- duplicate and a replay take none from the first.
CREATE UNIQUE INDEX deliveries_once ON deliveries (trigger_id, host_id)
    WHERE verdict <> 'refused' AND duplicate_of IS NULL AND replay_of IS NULL;
CREATE INDEX deliveries_by_trigger ON deliveries (trigger_id, id);
