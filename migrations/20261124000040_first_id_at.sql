-- What is old is found by its id, which is a UUIDv7 and sorts by age: the primary keys serve, and no column of times
-- needs an index of its own. An id bears its maker's clock, so that an id is only where to look; whether a row is old
-- is told by its own times, which are the database's.
CREATE FUNCTION first_id_at(at timestamptz) RETURNS uuid LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN (lpad(to_hex(greatest(floor(extract(epoch FROM at) * 1000), 0)::bigint), 12, '0') || repeat('0', 20))::uuid;
COMMENT ON FUNCTION first_id_at IS 'The lowest id that can have been made at this moment';
