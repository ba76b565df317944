-- Metrics that no profile knows: kept and shown as unknown, never dropped.
-- The tables of the device kinds are made and widened from the profiles by `smartsite migrate` (sensors/tables.py).
CREATE TABLE reading_unknown (
    device_id integer NOT NULL,
    metric text NOT NULL,
    time timestamptz NOT NULL,
    value double precision NOT NULL,
    PRIMARY KEY (device_id, metric, time)
);

-- What a device computed itself over a minute, an hour or a day, by rules of its own: kept beside our roll-ups, never
-- mixed with them. Canonical units; `time` is the start of the period; `total` is a sum (HJ 212: -Cou).
CREATE TABLE device_statistic (
    device_id integer NOT NULL,
    period text NOT NULL CHECK (period IN ('minute', 'hour', 'day')),
    metric text NOT NULL,
    time timestamptz NOT NULL,
    mean double precision,
    minimum double precision,
    maximum double precision,
    total double precision,
    quality "char",                                 -- a letter of HJ 212; NULL: N, normal
    PRIMARY KEY (device_id, period, metric, time)
);
