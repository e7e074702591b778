-- Which builds came of triggers. Apart from the builds and their specs, which most often came of none. No foreign keys:
-- it is written with the build and removed with it, and outlives the trigger and the delivery.
CREATE TABLE triggered_builds (
    build_id    uuid PRIMARY KEY,
    trigger_id  uuid NOT NULL,
    rule        text NOT NULL,
    git_ref     text NOT NULL,
    commit_id   text,
    delivery_id uuid
);
COMMENT ON TABLE triggered_builds IS 'Builds that came of triggers';
COMMENT ON COLUMN triggered_builds.rule IS 'The rule''s name then';
COMMENT ON COLUMN triggered_builds.git_ref IS 'The full name';
COMMENT ON COLUMN triggered_builds.commit_id IS 'Null where the caller did not know it';
COMMENT ON COLUMN triggered_builds.delivery_id IS 'Null where somebody asked for a ref by hand';
-- A push is built once: looked up under a lock on these values.
CREATE INDEX triggered_builds_of_commit ON triggered_builds (trigger_id, rule, git_ref, commit_id);
CREATE INDEX triggered_builds_by_trigger ON triggered_builds (trigger_id, build_id);
