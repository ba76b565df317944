CREATE TABLE session (
    token_sha256 text PRIMARY KEY,
    person_id integer NOT NULL REFERENCES person ON DELETE CASCADE,
    csrf text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    client text NOT NULL DEFAULT ''
);
CREATE INDEX session_expires ON session (expires_at);

-- Every action, as a hash chain: hash = SHA-256(previous hash + canonical JSON of the row).
CREATE TABLE audit (
    id bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    previous_hash text NOT NULL,
    hash text NOT NULL
);
