-- What could not be stored as a reading: the reason, and the bytes as they came (cut at a cap).
CREATE TABLE quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    arrived_at timestamptz NOT NULL,
    source text NOT NULL,                           -- 'mqtt', 'broker', ...
    device_id integer,                              -- NULL: no such device
    client text NOT NULL DEFAULT '',                -- what the peer called itself
    topic text NOT NULL DEFAULT '',
    reason text NOT NULL,                           -- a stable code: unknown_device, malformed, too_old, in_future, not_finite, conflict, ...
    detail text NOT NULL DEFAULT '',
    payload bytea NOT NULL,
    payload_bytes integer NOT NULL                  -- full length, the payload may be cut
);
CREATE INDEX quarantine_device ON quarantine (device_id, id);

-- Exact counts, moved in the transaction of the rows they count. Rows of quarantine are capped, its count is not.
CREATE TABLE ingest_count (
    worker text PRIMARY KEY,
    messages bigint NOT NULL DEFAULT 0,             -- telemetry messages dealt with
    stored bigint NOT NULL DEFAULT 0,               -- new rows
    filled bigint NOT NULL DEFAULT 0,               -- rows in which an empty channel was filled
    duplicates bigint NOT NULL DEFAULT 0,           -- the same row again
    quarantined bigint NOT NULL DEFAULT 0
);
