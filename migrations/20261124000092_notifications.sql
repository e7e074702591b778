-- The outbox: what endpoints and git hosts are to be told, and what came of it. The body is written when it is sent:
-- all that is in it follows from the build and the type, and does not change any more.
CREATE TABLE notifications (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target      text NOT NULL,
    endpoint_id uuid,
    build_id    uuid,
    type        text NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    state       text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'failed')),
    next_try_at timestamptz NOT NULL DEFAULT now(),
    claim       uuid,
    tries       integer NOT NULL DEFAULT 0,
    round       integer NOT NULL DEFAULT 0,
    finished_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CHECK ((state = 'waiting') = (finished_at IS NULL)),
    CHECK (claim IS NULL OR state = 'waiting')
) WITH (fillfactor = 80);
COMMENT ON TABLE notifications IS 'What is to be told, and what came of it';
COMMENT ON COLUMN notifications.id IS 'Grows within a build in the order of its states, whose row is locked meanwhile';
COMMENT ON COLUMN notifications.target IS 'Whose order is kept and whose tries at once are bounded: the endpoint, or the git host';
COMMENT ON COLUMN notifications.endpoint_id IS 'Null of a commit''s status';
COMMENT ON COLUMN notifications.build_id IS 'Null of a test';
COMMENT ON COLUMN notifications.at IS 'When what it tells of happened';
COMMENT ON COLUMN notifications.next_try_at IS 'Not tried before; while it is claimed, when the claim ends by itself';
COMMENT ON COLUMN notifications.claim IS 'Proof of the claim: only its holder may record what came of the try';
COMMENT ON COLUMN notifications.tries IS 'Tries so far';
COMMENT ON COLUMN notifications.round IS 'Those since somebody asked for it once more: what the pauses go by';
-- Each state is told once, whatever writes it twice.
CREATE UNIQUE INDEX notifications_by_build ON notifications (build_id, target, type);
CREATE INDEX notifications_waiting ON notifications (target, next_try_at, id) WHERE state = 'waiting';
CREATE INDEX notifications_claimed ON notifications (target) WHERE claim IS NOT NULL;
CREATE INDEX notifications_by_endpoint ON notifications (endpoint_id, id) WHERE endpoint_id IS NOT NULL;

CREATE TABLE notification_tries (
    notification_id bigint NOT NULL,
    number          integer NOT NULL,
    at              timestamptz NOT NULL DEFAULT now(),
    duration_ms     integer NOT NULL,
    status          integer,
    error           text,
    answer          text,
    PRIMARY KEY (notification_id, number)
);
COMMENT ON TABLE notification_tries IS 'Every try of every notification';
COMMENT ON COLUMN notification_tries.at IS 'When its outcome was recorded';
COMMENT ON COLUMN notification_tries.status IS 'HTTP''s; null where there was no answer';
COMMENT ON COLUMN notification_tries.error IS 'Why it did not count as taken';
COMMENT ON COLUMN notification_tries.answer IS 'The first bytes of the answer''s body';
