-- What the workers know together of a regulator: whether it answers, how fast it may be called, how far its clock is off.
CREATE TABLE target_state (
    target text PRIMARY KEY,
    failures integer NOT NULL DEFAULT 0,            -- calls in a row that it did not answer, or answered with a failure
    opened_at timestamptz,                          -- the circuit is open since then; NULL: closed
    paused_until timestamptz,                       -- no call before; with an open circuit one call at a time after it
    reason text NOT NULL DEFAULT '',                -- of the last failure
    tokens double precision,                        -- calls that the rate allows, at tokens_at; NULL: never called
    tokens_at timestamptz,
    skew_s double precision,                        -- its clock minus ours
    skew_at timestamptz
);
-- Up-links by HJ 212: data of a station up to here are acknowledged.
CREATE TABLE uplink_cursor (
    uplink text NOT NULL,
    device_id integer NOT NULL REFERENCES device ON DELETE CASCADE,
    command text NOT NULL,                          -- 2051 minute data, 2061 hour data
    through timestamptz NOT NULL,                   -- end of the last period that is done with
    PRIMARY KEY (uplink, device_id, command)
);
CREATE INDEX delivery_stopped ON delivery (id) WHERE state IN ('config_error', 'uncertain', 'dead');
CREATE INDEX delivery_target_pending ON delivery (target, id) WHERE state = 'pending';
