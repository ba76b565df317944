-- Files of the content-addressed evidence store; the file itself lies in the store under its SHA-256.
CREATE TABLE evidence (
    sha256 text PRIMARY KEY CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    media_type text NOT NULL,
    bytes bigint NOT NULL CHECK (bytes >= 0),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row a running process, kept fresh by a heartbeat.
CREATE TABLE worker (
    name text PRIMARY KEY,
    room text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    started_at timestamptz NOT NULL,
    beat_at timestamptz NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
