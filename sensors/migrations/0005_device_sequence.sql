-- What the running numbers of devices (`seq` of telemetry) say of messages that never came. Devices that send none have
-- no row. Written by ingest about once a second, by the rules of ingest/numbering.py.
CREATE TABLE device_sequence (
    device_id integer PRIMARY KEY REFERENCES device ON DELETE CASCADE,
    since timestamptz NOT NULL,                     -- event time of the first numbered reading
    received bigint NOT NULL,                       -- numbered readings that were taken, repeated ones included
    missing bigint NOT NULL,                        -- numbers that were passed over and have not come since
    late bigint NOT NULL,                           -- of those received, came after a higher number and closed a gap
    repeated bigint NOT NULL,                       -- of those received, numbers that had come before
    restarts bigint NOT NULL,                       -- times that the numbering began anew
    lost bigint NOT NULL,                           -- of those missing, too far back to be known when they come
    gap_at timestamptz,                             -- event time of the reading after the newest gap
    runs jsonb NOT NULL                             -- the newest runs of numbers with their gaps, see Run
);
