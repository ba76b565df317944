-- housekeeping_lock --
-- One keeper at a time works, whichever process of whichever machine gets the lock; it goes with its connection.
SELECT pg_try_advisory_lock(%(key)s)

-- expired_sessions --
DELETE FROM session WHERE expires_at < %(now)s

-- old_quarantine --
-- By age; ingest itself keeps no more than the newest of each device.
DELETE FROM quarantine WHERE arrived_at < %(before)s

-- silent_workers --
-- Rows of processes that ended without leave-taking; those that still beat are never older than seconds.
DELETE FROM worker WHERE beat_at < %(before)s

-- hung_workers --
SELECT pid FROM worker WHERE host = %(host)s AND pid = ANY(%(pids)s::integer[]) AND beat_at < %(before)s

-- sequences --
-- How many devices number their readings; with it those that have gaps of late, the widest first.
SELECT total.numbered, gap.device, gap.missing, gap.since
FROM (SELECT count(*) AS numbered FROM device_sequence) AS total
LEFT JOIN LATERAL (
    SELECT s.code || '/' || d.code AS device, q.missing, q.since
    FROM device_sequence q JOIN device d ON d.id = q.device_id JOIN site s ON s.id = d.site_id
    WHERE q.missing > 0 AND q.gap_at > %(after)s AND d.enabled AND s.enabled
) AS gap ON true
ORDER BY gap.missing DESC, gap.device

-- export_site --
SELECT 1 FROM site WHERE code = %(site)s

-- export_device --
SELECT 1 FROM device d JOIN site s ON s.id = d.site_id
WHERE d.code = %(device)s AND d.kind = %(kind)s AND (%(site)s::text IS NULL OR s.code = %(site)s)
