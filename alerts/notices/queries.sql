-- rota_get --
SELECT version, definition, updated_at, updated_by FROM rota WHERE site_id = %(site_id)s

-- rota_put --
INSERT INTO rota (site_id, version, definition, updated_at, updated_by)
VALUES (%(site_id)s, 1, %(definition)s, %(now)s, %(by)s)
ON CONFLICT (site_id) DO NOTHING
RETURNING version

-- rota_update --
UPDATE rota SET version = version + 1, definition = %(definition)s, updated_at = %(now)s, updated_by = %(by)s
WHERE site_id = %(site_id)s AND version = %(version)s
RETURNING version

-- signing_key_put --
INSERT INTO signing_key (purpose, key, created_at) VALUES (%(purpose)s, %(key)s, %(now)s) ON CONFLICT DO NOTHING

-- signing_key_get --
SELECT key FROM signing_key WHERE purpose = %(purpose)s

-- notifications_put --
INSERT INTO notification (alert_id, phase, step, person_id, channel, state, reason, priority, digest, next_attempt_at,
                          created_at)
SELECT %(alert_id)s, %(phase)s, %(step)s, person_id, channel, state, reason, %(priority)s, digest, due_at, %(now)s
FROM unnest(%(people)s::integer[], %(channels)s::text[], %(states)s::text[], %(reasons)s::text[],
            %(digests)s::boolean[], %(due)s::timestamptz[])
    AS t (person_id, channel, state, reason, digest, due_at)
ON CONFLICT DO NOTHING

-- told_lately --
SELECT n.person_id, n.channel, a.severity FROM notification n JOIN alert a ON a.id = n.alert_id
WHERE n.state = 'sent' AND n.phase IN ('raised', 'severity', 'escalated') AND n.person_id = ANY (%(people)s)
  AND n.sent_at > %(now)s - make_interval(secs => %(cool_down_s)s)
  AND a.id <> %(alert_id)s AND a.site_id = %(site_id)s AND a.rule = %(rule)s AND a.subject = %(subject)s

-- owed_an_end --
-- (person, channel) that were told of the alert, may have been or still will be, and whether in a digest.
SELECT person_id, channel, bool_and(digest) FROM notification
WHERE alert_id = %(alert_id)s AND phase IN ('raised', 'severity', 'escalated') AND state IN ('pending', 'sent', 'uncertain')
GROUP BY person_id, channel

-- escalations_put --
INSERT INTO escalation (alert_id, step, due_at, roles)
VALUES (%(alert_id)s, %(step)s, %(due_at)s, %(roles)s) ON CONFLICT DO NOTHING

-- escalation_due --
SELECT alert_id, step, roles FROM escalation
WHERE state = 'waiting' AND due_at <= %(now)s ORDER BY due_at, alert_id, step LIMIT 1
FOR UPDATE SKIP LOCKED

-- escalation_settle --
UPDATE escalation SET state = %(state)s, reason = %(reason)s, settled_at = %(now)s
WHERE alert_id = %(alert_id)s AND step = %(step)s

-- escalation_later --
UPDATE escalation SET due_at = %(due_at)s WHERE alert_id = %(alert_id)s AND step = %(step)s

-- hushed --
SELECT EXISTS (SELECT FROM notification
               WHERE alert_id = %(alert_id)s AND state = 'withheld' AND reason IN ('muted', 'inhibited', 'flapping'))

-- candidates --
-- Red first. An end waits until what was to be told before it has gone out. Pairs in `busy_...` are passed over.
SELECT n.id, n.alert_id, n.rectification_id, n.report_id, n.phase, n.step, n.person_id, n.channel, n.reason, n.attempts, n.priority, n.digest,
       n.in_doubt, n.created_at
FROM notification n
WHERE n.state = 'pending' AND n.next_attempt_at <= %(now)s
  AND (n.leased_by IS NULL OR n.leased_until < %(now)s OR n.leased_by NOT IN (
      SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid = %(space)s AND granted))
  AND (n.phase <> 'cleared' OR NOT EXISTS (
      SELECT FROM notification e WHERE e.alert_id = n.alert_id AND e.phase <> 'cleared'
      AND e.person_id = n.person_id AND e.channel = n.channel AND e.state = 'pending'))
  AND NOT EXISTS (SELECT FROM unnest(%(busy_people)s::integer[], %(busy_channels)s::text[]) AS b (person_id, channel)
                  WHERE b.person_id = n.person_id AND b.channel = n.channel)
ORDER BY n.priority DESC, n.next_attempt_at, n.id LIMIT %(limit)s FOR UPDATE OF n SKIP LOCKED

-- overtaken --
-- Whether the person was told of the same rule and subject since, no less; and when an earlier row of it is due.
SELECT EXISTS (
        SELECT FROM notification n JOIN alert a ON a.id = n.alert_id
        WHERE n.state = 'sent' AND n.phase IN ('raised', 'severity', 'escalated') AND n.person_id = %(person_id)s
          AND n.channel = %(channel)s AND n.sent_at > %(since)s AND n.priority >= %(severity)s AND a.id <> %(alert_id)s
          AND a.site_id = %(site_id)s AND a.rule = %(rule)s AND a.subject = %(subject)s),
    (SELECT min(n.next_attempt_at) FROM notification n JOIN alert a ON a.id = n.alert_id
        WHERE n.state = 'pending' AND n.phase = 'raised' AND n.person_id = %(person_id)s AND n.channel = %(channel)s
          AND n.id < %(id)s AND n.priority >= %(severity)s
          AND a.site_id = %(site_id)s AND a.rule = %(rule)s AND a.subject = %(subject)s)

-- wait --
UPDATE notification SET next_attempt_at = %(until)s, leased_by = NULL, leased_until = NULL WHERE id = %(id)s

-- companions --
-- What else may go out in one message to the same person and channel, red ones not.
SELECT n.id, n.alert_id, n.rectification_id, n.report_id, n.phase, n.step, n.person_id, n.channel, n.reason, n.attempts, n.priority, n.digest,
       n.in_doubt, n.created_at
FROM notification n
WHERE n.state = 'pending' AND n.next_attempt_at <= %(now)s AND n.alert_id IS NOT NULL AND n.person_id = %(person_id)s
  AND n.channel = %(channel)s AND n.priority < 3 AND (n.digest OR NOT %(only_digest)s) AND n.id <> ALL (%(taken)s)
  AND (n.leased_by IS NULL OR n.leased_until < %(now)s OR n.leased_by NOT IN (
      SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid = %(space)s AND granted))
ORDER BY n.id LIMIT 100 FOR UPDATE OF n SKIP LOCKED

-- lease --
UPDATE notification SET leased_by = %(holder)s, leased_until = %(until)s WHERE id = ANY (%(ids)s)

-- put_off --
-- All that would meet the same closed gate, so that it is not looked at one by one.
UPDATE notification SET next_attempt_at = %(until)s, leased_by = NULL, leased_until = NULL
WHERE id = %(id)s
   OR (state = 'pending' AND person_id = %(person_id)s AND channel = %(channel)s AND priority <= %(priority)s
       AND next_attempt_at < %(until)s AND leased_by IS NULL)

-- settle --
UPDATE notification
SET state = %(state)s, error = %(error)s, in_doubt = in_doubt OR %(lost)s, attempts = attempts + 1, message = %(message)s,
    next_attempt_at = %(next_attempt_at)s, sent_at = %(sent_at)s, leased_by = NULL, leased_until = NULL
WHERE id = ANY (%(ids)s) AND state = 'pending'

-- withhold --
UPDATE notification SET state = 'withheld', reason = %(reason)s, leased_by = NULL, leased_until = NULL
WHERE id = %(id)s AND state = 'pending'

-- withhold_end --
-- Who was told of nothing is not told of its end.
UPDATE notification n SET state = 'withheld', reason = 'not_told'
WHERE n.alert_id = %(alert_id)s AND n.phase = 'cleared' AND n.person_id = %(person_id)s AND n.channel = %(channel)s
  AND n.state = 'pending' AND NOT EXISTS (
      SELECT FROM notification e WHERE e.alert_id = n.alert_id AND e.phase <> 'cleared'
      AND e.person_id = n.person_id AND e.channel = n.channel AND e.state IN ('pending', 'sent', 'uncertain'))

-- gates --
SELECT endpoint, calls, failures, paused_until FROM channel_gate WHERE endpoint = ANY (%(endpoints)s)
ORDER BY endpoint FOR UPDATE

-- gates_put --
INSERT INTO channel_gate (endpoint) SELECT unnest(%(endpoints)s::text[]) ORDER BY 1 ON CONFLICT DO NOTHING

-- gate_calls --
UPDATE channel_gate SET calls = %(calls)s WHERE endpoint = %(endpoint)s

-- gate_failed --
UPDATE channel_gate SET failures = failures + 1, reason = %(reason)s,
    paused_until = greatest(coalesce(paused_until, %(now)s),
                            %(now)s + make_interval(secs => least(power(2, least(failures, 6)), 60)),
                            %(now)s + make_interval(secs => %(retry_after_s)s))
WHERE endpoint = %(endpoint)s

-- gate_passed --
UPDATE channel_gate SET failures = 0, reason = '', paused_until = NULL WHERE endpoint = %(endpoint)s AND failures > 0

-- notifications_put_order --
INSERT INTO notification (rectification_id, phase, step, person_id, channel, state, reason, priority, next_attempt_at,
                          created_at)
SELECT %(rectification_id)s, %(phase)s, %(step)s, person_id, channel, state, reason, %(priority)s, %(now)s, %(now)s
FROM unnest(%(people)s::integer[], %(channels)s::text[], %(states)s::text[], %(reasons)s::text[])
    AS t (person_id, channel, state, reason)
ON CONFLICT DO NOTHING
