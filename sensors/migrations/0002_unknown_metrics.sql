-- Metrics that no profile knows: kept and shown as unknown, never dropped.
-- The tables of the device kinds are made and widened from the profiles by `smartsite migrate` (sensors/tables.py).
CREATE TABLE reading_unknown (
    device_id integer NOT NULL,
    metric text NOT NULL,
    time timestamptz NOT NULL,
    value double precision NOT NULL,
    PRIMARY KEY (device_id, metric, time)
);
