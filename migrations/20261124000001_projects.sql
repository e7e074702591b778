-- Who owns builds. A project comes into being with its first build or context.
CREATE TABLE projects (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    max_running integer CHECK (max_running >= 0),
    weight      integer NOT NULL DEFAULT 1 CHECK (weight > 0),
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE projects IS 'Owners of builds, with their share of the slots';
COMMENT ON COLUMN projects.name IS 'As requests write it; also a Kubernetes label value';
COMMENT ON COLUMN projects.max_running IS 'Slots that the project may hold at once; null: the service''s default';
COMMENT ON COLUMN projects.weight IS 'Fair share: the project with the least held slots / weight goes first';
