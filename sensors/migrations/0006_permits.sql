-- What exempts a site from rules for a time: night-work permits, sandstorm days. Withdrawn ones stay, not enabled.
CREATE TABLE permit (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id integer NOT NULL REFERENCES site,
    kind text NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_]{0,63}$'),     -- night_work, sandstorm, ...
    reference text NOT NULL CHECK (reference <> ''),                -- number of the permit or of the warning
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,                                   -- exclusive
    source text NOT NULL DEFAULT '',                                -- who issued it
    enabled boolean NOT NULL DEFAULT true,                          -- false: withdrawn
    UNIQUE (site_id, reference),
    CHECK (starts_at < ends_at)
);

CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON permit FOR EACH STATEMENT EXECUTE FUNCTION registry_changed();
