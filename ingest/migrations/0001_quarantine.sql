-- What could not be stored as a reading: the reason, and the bytes as they came (cut at a cap).
CREATE TABLE quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    arrived_at timestamptz NOT NULL,
    source text NOT NULL,                           -- 'mqtt', 'broker', 'hj212', ...
    device_id integer,                              -- NULL: no such device
    client text NOT NULL DEFAULT '',                -- what the peer called itself
    topic text NOT NULL DEFAULT '',
    reason text NOT NULL,                           -- a stable code, listed in docs/protocol-mqtt.md and docs/protocol-hj212.md
    detail text NOT NULL DEFAULT '',
    payload bytea NOT NULL,
    payload_bytes integer NOT NULL                  -- full length, the payload may be cut
);
CREATE INDEX quarantine_device ON quarantine (device_id, id);

-- Rows of quarantine are capped for each device, these counts are not.
CREATE TABLE quarantine_count (
    device_id integer NOT NULL,                     -- 0: no such device
    reason text NOT NULL,
    count bigint NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (device_id, reason)
);

-- Exact counts, moved in the transaction of what they count.
-- A reading with a metric that its kind knows is one of stored, filled, duplicates, quarantined.
CREATE TABLE ingest_count (
    worker text PRIMARY KEY,
    messages bigint NOT NULL DEFAULT 0,             -- telemetry messages dealt with
    stored bigint NOT NULL DEFAULT 0,               -- new rows
    filled bigint NOT NULL DEFAULT 0,               -- readings that filled an empty channel of a row
    duplicates bigint NOT NULL DEFAULT 0,           -- the same reading again
    quarantined bigint NOT NULL DEFAULT 0,          -- readings, messages and connects that were set aside
    batch bigint NOT NULL DEFAULT 0                 -- last batch committed: answers whether a COMMIT whose reply was lost was done
);
