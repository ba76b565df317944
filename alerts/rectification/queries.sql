-- order_lock --
SELECT id FROM rectification WHERE id = %(id)s FOR UPDATE

-- orders --
SELECT id, number, site_id, source, alert_id, level, title, description, location, requirement, unit_id, person_id, state,
       version, rounds, ordered_at, ordered_by, term_from, deadline_at, submitted_at, submitted_by, closed_at, listed_at,
       stop_work_at, stop_work_scope
FROM rectification WHERE id = ANY (%(ids)s::bigint[])

-- order_put --
-- Numbers of a site and year run without a gap: whoever orders first on a site holds the site's row until commit.
WITH site AS (SELECT id, code FROM site WHERE id = %(site_id)s FOR UPDATE),
numbered AS (
    SELECT count(*) + 1 AS next FROM rectification r
    WHERE r.site_id = %(site_id)s AND r.number LIKE (SELECT code FROM site) || '-' || %(year)s || '-%%'
)
INSERT INTO rectification (number, site_id, source, alert_id, level, title, description, location, requirement, unit_id,
                           person_id, state, ordered_at, ordered_by, term_from, deadline_at)
SELECT site.code || '-' || %(year)s || '-' || lpad(numbered.next::text, 4, '0'), site.id, %(source)s, %(alert_id)s, %(level)s,
       %(title)s, %(description)s, %(location)s, %(requirement)s, %(unit_id)s, %(person_id)s, 'ordered', %(now)s, %(by)s,
       %(now)s, %(deadline_at)s
FROM site, numbered
RETURNING id

-- order_of_alert --
SELECT id, number FROM rectification WHERE alert_id = %(alert_id)s AND state <> 'withdrawn'

-- order_step --
UPDATE rectification SET version = version + 1, state = %(state)s, rounds = %(rounds)s, term_from = %(term_from)s,
    deadline_at = %(deadline_at)s, submitted_at = %(submitted_at)s, submitted_by = %(submitted_by)s,
    closed_at = %(closed_at)s, listed_at = %(listed_at)s, stop_work_at = %(stop_work_at)s,
    stop_work_scope = %(stop_work_scope)s, unit_id = %(unit_id)s, person_id = %(person_id)s
WHERE id = %(id)s

-- event_put --
INSERT INTO rectification_event (rectification_id, at, version, kind, actor, detail)
VALUES (%(id)s, %(now)s, %(version)s, %(kind)s, %(actor)s, %(detail)s) RETURNING id

-- order_pictures --
INSERT INTO rectification_photo (rectification_id, sha256, uploaded_at, uploaded_by, event_id)
SELECT %(id)s, sha256, %(now)s, %(by)s, (SELECT min(id) FROM rectification_event WHERE rectification_id = %(id)s)
FROM unnest(%(pictures)s::text[]) AS sha256

-- request_put --
-- Of two at the same time the second waits until the first is committed.
INSERT INTO rectification_request (actor, key, digest, at) VALUES (%(actor)s, %(key)s, %(digest)s, %(now)s)
ON CONFLICT DO NOTHING RETURNING key

-- request_get --
SELECT digest, rectification_id FROM rectification_request WHERE actor = %(actor)s AND key = %(key)s

-- request_done --
UPDATE rectification_request SET rectification_id = %(id)s WHERE actor = %(actor)s AND key = %(key)s

-- old_requests --
DELETE FROM rectification_request WHERE at < %(before)s

-- photo_put --
INSERT INTO rectification_photo (rectification_id, sha256, uploaded_at, uploaded_by)
VALUES (%(id)s, %(sha256)s, %(now)s, %(by)s) ON CONFLICT DO NOTHING

-- photo_count --
SELECT count(*) FROM rectification_photo WHERE rectification_id = %(id)s

-- photos_use --
-- Each shows one step; a photo of an earlier step is evidence of that one.
UPDATE rectification_photo SET event_id = %(event_id)s
WHERE rectification_id = %(id)s AND sha256 = ANY (%(photos)s) AND event_id IS NULL
RETURNING sha256

-- reminder_put --
INSERT INTO rectification_reminder (rectification_id, share, due_at, roles)
VALUES (%(id)s, %(share)s, %(due_at)s, %(roles)s)

-- reminders_cancel --
UPDATE rectification_reminder SET state = 'cancelled', reason = %(reason)s, settled_at = %(now)s
WHERE rectification_id = %(id)s AND state = 'waiting'

-- reminder_due --
SELECT id, rectification_id, share, roles FROM rectification_reminder
WHERE state = 'waiting' AND due_at <= %(now)s ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED

-- reminder_later --
-- Whether another reminder of the order is due as well: after a pause one is enough.
SELECT FROM rectification_reminder
WHERE rectification_id = %(id)s AND state = 'waiting' AND due_at <= %(now)s AND share > %(share)s LIMIT 1

-- reminder_settle --
UPDATE rectification_reminder SET state = %(state)s, reason = %(reason)s, settled_at = %(now)s WHERE id = %(reminder)s

-- statistics_by_site --
SELECT s.id AS key, s.name, s.name_en, t.* FROM site s CROSS JOIN LATERAL (
    SELECT count(*) AS ordered, {columns} FROM rectification r
    WHERE r.site_id = s.id AND r.ordered_at >= %(since)s AND r.ordered_at < %(until)s
) t
WHERE t.ordered > 0 AND (%(sites)s::int[] IS NULL OR s.id = ANY (%(sites)s)) ORDER BY s.code

-- statistics_by_unit --
SELECT u.id AS key, coalesce(u.name, '') AS name, coalesce(u.name_en, '') AS name_en, count(*) AS ordered, {columns}
FROM rectification r LEFT JOIN unit u ON u.id = r.unit_id
WHERE r.ordered_at >= %(since)s AND r.ordered_at < %(until)s
  AND (%(sites)s::int[] IS NULL OR r.site_id = ANY (%(sites)s))
GROUP BY u.id, u.name, u.name_en ORDER BY u.id

-- statistics_columns --
count(*) FILTER (WHERE r.state = 'passed') AS passed,
count(*) FILTER (WHERE r.state = 'withdrawn') AS withdrawn,
count(*) FILTER (WHERE r.closed_at IS NULL) AS open,
count(*) FILTER (WHERE r.state IN ('ordered', 'rectifying', 'returned') AND r.deadline_at <= %(now)s) AS overdue,
count(*) FILTER (WHERE CASE WHEN r.state IN ('ordered', 'rectifying', 'returned') THEN r.deadline_at <= %(now)s
                            WHEN r.state IN ('submitted', 'passed') THEN r.submitted_at > r.deadline_at END) AS late,
jsonb_build_object('ordered', count(*) FILTER (WHERE r.state = 'ordered'),
                   'rectifying', count(*) FILTER (WHERE r.state = 'rectifying'),
                   'submitted', count(*) FILTER (WHERE r.state = 'submitted'),
                   'returned', count(*) FILTER (WHERE r.state = 'returned'),
                   'passed', count(*) FILTER (WHERE r.state = 'passed'),
                   'withdrawn', count(*) FILTER (WHERE r.state = 'withdrawn')) AS states,
count(*) FILTER (WHERE r.state = 'passed' AND r.submitted_at <= r.deadline_at) AS passed_in_time,
count(*) FILTER (WHERE r.rounds > 1) AS returned,
count(*) FILTER (WHERE r.level = 'serious') AS serious,
count(*) FILTER (WHERE r.listed_at IS NOT NULL) AS listed,
count(*) FILTER (WHERE r.stop_work_at IS NOT NULL) AS stopped,
avg(extract(epoch FROM r.closed_at - r.ordered_at)) FILTER (WHERE r.state = 'passed') / 3600 AS mean_hours
