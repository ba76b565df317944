-- count_open --
INSERT INTO ingest_count (worker) VALUES (%(worker)s) ON CONFLICT DO NOTHING

-- count_batch --
SELECT batch FROM ingest_count WHERE worker = %(worker)s

-- count_move --
INSERT INTO ingest_count (worker, messages, stored, filled, duplicates, quarantined, batch)
VALUES (%(worker)s, %(messages)s, %(stored)s, %(filled)s, %(duplicates)s, %(quarantined)s, %(batch)s)
ON CONFLICT (worker) DO UPDATE SET
    messages = ingest_count.messages + excluded.messages,
    stored = ingest_count.stored + excluded.stored,
    filled = ingest_count.filled + excluded.filled,
    duplicates = ingest_count.duplicates + excluded.duplicates,
    quarantined = ingest_count.quarantined + excluded.quarantined,
    batch = excluded.batch

-- unknown_insert --
-- Ordered, so that two workers that write the same keys wait for each other and never in a circle.
INSERT INTO reading_unknown (device_id, metric, time, value)
SELECT DISTINCT ON (d, m, t) d, m, timestamptz 'epoch' + t * interval '1 microsecond', v
FROM unnest(%(device)s::int[], %(metric)s::text[], %(time)s::bigint[], %(value)s::float8[]) WITH ORDINALITY AS u (d, m, t, v, n)
ORDER BY d, m, t, n
ON CONFLICT DO NOTHING

-- statistics_insert --
-- In the order of the key, as unknown_insert; a device that computes a period again does not rewrite it.
INSERT INTO device_statistic (device_id, period, metric, time, mean, minimum, maximum, total, quality)
SELECT DISTINCT ON (d, p, m, t)
       d, p, m, timestamptz 'epoch' + t * interval '1 microsecond', mean, minimum, maximum, total, quality
FROM unnest(%(device)s::int[], %(period)s::text[], %(metric)s::text[], %(time)s::bigint[], %(mean)s::float8[],
            %(minimum)s::float8[], %(maximum)s::float8[], %(total)s::float8[], %(quality)s::"char"[])
    WITH ORDINALITY AS u (d, p, m, t, mean, minimum, maximum, total, quality, n)
ORDER BY d, p, m, t, n
ON CONFLICT DO NOTHING

-- quarantine_insert --
-- Binary parameters: as text, each byte of a payload would be looked at twice in Python.
INSERT INTO quarantine (arrived_at, source, device_id, client, topic, reason, detail, payload, payload_bytes)
SELECT timestamptz 'epoch' + arrived * interval '1 microsecond', source, device, client, topic, reason, detail, payload, bytes
FROM unnest(%(arrived)b::bigint[], %(source)b::text[], %(device)b::int[], %(client)b::text[], %(topic)b::text[],
            %(reason)b::text[], %(detail)b::text[], %(payload)b::bytea[], %(bytes)b::int[])
    WITH ORDINALITY AS q (arrived, source, device, client, topic, reason, detail, payload, bytes, place)
ORDER BY place

-- quarantine_count --
INSERT INTO quarantine_count (device_id, reason, count, last_at)
SELECT device, reason, count, timestamptz 'epoch' + last * interval '1 microsecond'
FROM unnest(%(device)s::int[], %(reason)s::text[], %(count)s::bigint[], %(last)s::bigint[]) AS c (device, reason, count, last)
ORDER BY device, reason
ON CONFLICT (device_id, reason) DO UPDATE SET
    count = quarantine_count.count + excluded.count, last_at = greatest(quarantine_count.last_at, excluded.last_at)

-- quarantine_trim --
-- The newest rows of each device stay.
DELETE FROM quarantine q USING unnest(%(devices)s::int[]) AS d (device)
WHERE q.device_id = d.device
  AND q.id <= (SELECT id FROM quarantine WHERE device_id = d.device ORDER BY id DESC OFFSET %(keep)s LIMIT 1)

-- quarantine_trim_strangers --
DELETE FROM quarantine
WHERE device_id IS NULL
  AND id <= (SELECT id FROM quarantine WHERE device_id IS NULL ORDER BY id DESC OFFSET %(keep)s LIMIT 1)

-- seen_readings --
INSERT INTO device_seen AS s (device_id, last_time, last_seen_at)
SELECT device, timestamptz 'epoch' + time * interval '1 microsecond', timestamptz 'epoch' + arrived * interval '1 microsecond'
FROM unnest(%(device)s::int[], %(time)s::bigint[], %(arrived)s::bigint[]) AS u (device, time, arrived)
WHERE EXISTS (SELECT FROM device WHERE id = u.device)
ORDER BY device
ON CONFLICT (device_id) DO UPDATE SET
    last_time = greatest(s.last_time, excluded.last_time), last_seen_at = greatest(s.last_seen_at, excluded.last_seen_at)

-- seen_lock --
-- Rows of device_seen and device_sequence are written by every worker, twice in one transaction: one worker at a time.
SELECT pg_advisory_xact_lock(hashtextextended('smartsite device_seen', 0))

-- seen_connected --
-- Returns the devices whose state changed. A device that has sent no reading yet has been seen by its connection.
-- `held`: said of a connection to this worker itself. That such a connection ended counts only while no other worker
-- has the device; what is older than what was said last does not count.
INSERT INTO device_seen AS s (device_id, last_seen_at, connected, connected_by, connected_at)
SELECT device, at, connected, CASE WHEN held THEN %(worker)s END, at
FROM (
    SELECT device, timestamptz 'epoch' + micros * interval '1 microsecond' AS at, connected, held
    FROM unnest(%(device)s::int[], %(at)s::bigint[], %(connected)s::boolean[], %(held)s::boolean[])
        AS u (device, micros, connected, held)
) said
WHERE EXISTS (SELECT FROM device WHERE id = said.device)
ORDER BY device
ON CONFLICT (device_id) DO UPDATE SET
    connected = excluded.connected,
    connected_by = CASE
        WHEN excluded.connected_by IS NULL THEN s.connected_by
        WHEN excluded.connected THEN excluded.connected_by
    END,
    connected_at = excluded.connected_at
WHERE (
        s.connected IS DISTINCT FROM excluded.connected
        OR excluded.connected AND excluded.connected_by IS DISTINCT FROM s.connected_by AND excluded.connected_by IS NOT NULL
    )
    AND (excluded.connected OR excluded.connected_by IS NULL OR coalesce(s.connected_by, excluded.connected_by) = excluded.connected_by)
    AND coalesce(excluded.connected_at >= s.connected_at, true)
RETURNING device_id

-- seen_forget --
-- What a worker held is not known while it does not run; nor what was held by one that is gone.
UPDATE device_seen SET connected = NULL, connected_by = NULL
WHERE connected_by = %(worker)s
   OR connected_by IS NOT NULL AND NOT EXISTS (SELECT FROM worker WHERE name = 'ingest-' || connected_by)

-- sequence_read --
SELECT device_id, received, late, repeated, restarts, lost, (extract(epoch FROM gap_at) * 1000000)::bigint, runs::text
FROM device_sequence WHERE device_id = ANY (%(device)s::int[])

-- sequence_write --
INSERT INTO device_sequence AS s (device_id, since, received, missing, late, repeated, restarts, lost, gap_at, runs)
SELECT device, timestamptz 'epoch' + since * interval '1 microsecond', received, missing, late, repeated, restarts, lost,
       timestamptz 'epoch' + gap_at * interval '1 microsecond', runs::jsonb
FROM unnest(%(device)s::int[], %(since)s::bigint[], %(received)s::bigint[], %(missing)s::bigint[], %(late)s::bigint[],
            %(repeated)s::bigint[], %(restarts)s::bigint[], %(lost)s::bigint[], %(gap_at)s::bigint[], %(runs)s::text[])
    AS u (device, since, received, missing, late, repeated, restarts, lost, gap_at, runs)
WHERE EXISTS (SELECT FROM device WHERE id = u.device)
ORDER BY device
ON CONFLICT (device_id) DO UPDATE SET
    received = excluded.received, missing = excluded.missing, late = excluded.late, repeated = excluded.repeated,
    restarts = excluded.restarts, lost = excluded.lost, gap_at = excluded.gap_at, runs = excluded.runs
