-- housekeeping_lock --
-- One keeper at a time works, whichever process of whichever machine gets the lock; it goes with its connection.
SELECT pg_try_advisory_lock(%(key)s)

-- expired_sessions --
DELETE FROM session WHERE expires_at < %(now)s

-- old_quarantine --
-- By age, and beyond the newest of each device: one mad device cannot push out what the others sent.
DELETE FROM quarantine WHERE id IN (
    SELECT id FROM (
        SELECT id, arrived_at, row_number() OVER (PARTITION BY device_id ORDER BY id DESC) AS nth FROM quarantine
    ) ranked WHERE nth > %(per_device)s OR arrived_at < %(before)s
)

-- silent_workers --
-- Rows of processes that ended without leave-taking; those that still beat are never older than seconds.
DELETE FROM worker WHERE beat_at < %(before)s

-- hung_workers --
SELECT pid FROM worker WHERE host = %(host)s AND pid = ANY(%(pids)s::integer[]) AND beat_at < %(before)s
