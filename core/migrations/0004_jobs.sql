-- The last run of every periodic job, written by the process that holds the schedule's lock.
CREATE TABLE job_run (
    job text PRIMARY KEY,
    schedule text NOT NULL,
    holder text NOT NULL,                           -- host:pid
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('ok', 'failed')),
    result text NOT NULL DEFAULT '',                -- what it did, in a few words
    error text NOT NULL DEFAULT '',
    next_run_at timestamptz,
    every_s double precision NOT NULL DEFAULT 0,
    runs bigint NOT NULL DEFAULT 1,                 -- runs on record: idle runs of frequent jobs are not
    failures bigint NOT NULL DEFAULT 0
);
