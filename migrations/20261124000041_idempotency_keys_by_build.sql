-- Keys go by their age, and with their builds. The index is written at its right end only, and only for requests that
-- come with a key.
CREATE INDEX idempotency_keys_by_build ON idempotency_keys (build_id);
