-- command_put --
INSERT INTO command (device_id, name, arguments, requested_by, cause, requested_at, expires_at)
VALUES (%(device)s, %(name)s, %(arguments)s, %(by)s, %(cause)s, %(now)s, %(expires)s)
RETURNING id

-- command_ring --
SELECT pg_notify(%(channel)s, '')

-- command_waiting --
-- What could be sent: queued, or sent and never delivered. The index on open commands makes this cheap at every turn.
SELECT id, device_id, state = 'sent' AS sent FROM command
WHERE state IN ('queued', 'sent') AND delivered_at IS NULL AND expires_at > %(now)s
ORDER BY id LIMIT 1000

-- command_claim --
-- Of several workers that reach a device, one gets the row; the others pass it over.
UPDATE command c SET state = 'sent', sent_at = %(now)s, sent_by = %(worker)s, reason = ''
FROM (SELECT id FROM command
      WHERE id = ANY (%(ids)s::bigint[]) AND delivered_at IS NULL AND expires_at > %(now)s
        AND (state = 'queued' OR (state = 'sent' AND id = ANY (%(again)s::bigint[])))
      FOR UPDATE SKIP LOCKED) due,
     device d, site s
WHERE c.id = due.id AND d.id = c.device_id AND s.id = d.site_id
RETURNING c.id, c.device_id, s.code AS site, d.code, c.name, c.arguments, c.expires_at

-- command_release --
-- A claim that could not be sent after all. The reason stands while it waits, and stays if it expires waiting.
UPDATE command c SET state = 'queued', sent_at = NULL, sent_by = NULL, reason = u.reason
FROM unnest(%(ids)s::bigint[], %(reasons)s::text[]) AS u (id, reason)
WHERE c.id = u.id AND c.state = 'sent' AND c.sent_by = %(worker)s AND c.delivered_at IS NULL

-- command_delivered --
UPDATE command SET delivered_at = %(now)s WHERE id = ANY (%(ids)s::bigint[]) AND delivered_at IS NULL

-- command_abandoned --
-- The worker that claimed it is gone, and nobody has said that it arrived: it is sent again.
UPDATE command c SET state = 'queued', sent_at = NULL, sent_by = NULL
WHERE c.state = 'sent' AND c.delivered_at IS NULL AND c.expires_at > %(now)s
  AND NOT EXISTS (SELECT FROM worker w
                  WHERE w.name = 'ingest-' || c.sent_by AND w.started_at <= c.sent_at AND w.beat_at > %(alive)s)

-- command_settle --
-- A late reply is noted and does not bring an expired command back; a reply that comes again changes nothing.
-- Returns the replies that belong to a command of their device.
WITH said AS (
    SELECT DISTINCT ON (id) id, device, ok, detail, at
    FROM unnest(%(ids)s::bigint[], %(devices)s::int[], %(oks)s::boolean[], %(details)s::text[], %(ats)s::bigint[])
        WITH ORDINALITY AS u (id, device, ok, detail, at, place)
    ORDER BY id, place
), settled AS (
    UPDATE command c SET
        state = CASE WHEN c.state = 'expired' THEN c.state WHEN said.ok THEN 'done' ELSE 'failed' END,
        reason = CASE WHEN c.state = 'expired' THEN 'the reply came late' WHEN said.ok THEN '' ELSE 'the device refused' END,
        replied_at = timestamptz 'epoch' + said.at * interval '1 microsecond',
        delivered_at = coalesce(c.delivered_at, timestamptz 'epoch' + said.at * interval '1 microsecond'),
        reply = said.detail
    FROM said WHERE c.id = said.id AND c.device_id = said.device AND c.replied_at IS NULL
)
SELECT u.id, u.device
FROM unnest(%(ids)s::bigint[], %(devices)s::int[]) AS u (id, device) JOIN command c ON c.id = u.id AND c.device_id = u.device

-- command_expire --
UPDATE command SET state = 'expired', reason = CASE
    WHEN state = 'queued' THEN coalesce(nullif(reason, ''), 'the device was not reached')
    WHEN delivered_at IS NULL THEN 'the device did not take it'
    ELSE 'the device did not reply' END
WHERE state IN ('queued', 'sent') AND expires_at <= %(now)s

-- command_list --
-- Of each device the newest, or the newest older than an id.
SELECT c.id, c.device_id, c.name, c.arguments, c.state, c.reason, c.requested_by,
       coalesce(p.name, '') AS requested_by_name, coalesce(p.name_en, '') AS requested_by_name_en, c.cause,
       c.requested_at, c.expires_at, c.sent_at, c.delivered_at, c.replied_at, c.reply
FROM unnest(%(devices)s::int[]) AS n (device_id)
CROSS JOIN LATERAL (
    SELECT * FROM command
    WHERE device_id = n.device_id AND (%(before)s::bigint IS NULL OR id < %(before)s)
    ORDER BY id DESC LIMIT %(limit)s
) c
LEFT JOIN person p ON p.code = c.requested_by
ORDER BY c.id DESC
