-- marks --
SELECT (SELECT coalesce(max(id), 0) FROM alert) AS alert,
       (SELECT coalesce(max(id), 0) FROM episode) AS episode,
       (SELECT coalesce(sum(frames_analysed), 0)::bigint FROM camera_state) AS frames,
       (SELECT coalesce(sum(stored), 0)::bigint FROM ingest_count) AS stored,
       (SELECT coalesce(sum(duplicates), 0)::bigint FROM ingest_count) AS duplicates,
       (SELECT coalesce(sum(quarantined), 0)::bigint FROM ingest_count) AS quarantined,
       (SELECT coalesce(max(id), 0) FROM command) AS command,
       (SELECT coalesce(max(id), 0) FROM linkage_decision) AS decision

-- open_violations --
SELECT a.rule, s.code || '/' || d.code
FROM alert a JOIN device d ON d.id = a.device_id JOIN site s ON s.id = a.site_id
WHERE a.cleared_at IS NULL AND a.rule_kind = 'threshold'

-- devices --
SELECT s.code || '/' || d.code, d.id, d.kind FROM device d JOIN site s ON s.id = d.site_id

-- alerts --
SELECT a.id, a.rule, a.rule_kind, a.subject, a.started_at, a.raised_at, a.ended_at, a.cleared_at, a.verdict,
       s.code AS site, s.vision_policy, s.code || '/' || d.code AS device, a.episode_id
FROM alert a JOIN site s ON s.id = a.site_id LEFT JOIN device d ON d.id = a.device_id
WHERE a.id > %(alert)s ORDER BY a.id

-- deliveries --
SELECT d.alert_id, d.target, d.phase, d.amendment, d.idempotency_key, d.state, d.accepted_at, d.reason
FROM delivery d WHERE d.alert_id > %(alert)s ORDER BY d.id

-- notifications --
SELECT n.alert_id, n.phase, n.person_id, n.channel, n.state, n.reason, n.sent_at, n.message
FROM notification n WHERE n.alert_id > %(alert)s ORDER BY n.id

-- episodes --
-- With whether the engine has dealt with it: an alert of its own, or one that it joined.
SELECT e.id, s.code AS site,
       EXISTS (SELECT FROM alert a WHERE a.episode_id = e.id)
       OR EXISTS (SELECT FROM alert_event v WHERE v.kind = 'joined' AND (v.detail ->> 'episode')::bigint = e.id) AS told
FROM episode e JOIN site s ON s.id = e.site_id WHERE e.id > %(episode)s ORDER BY e.id

-- commands --
SELECT c.id, s.code || '/' || d.code AS device, c.name, c.state, c.reason, c.requested_by, c.requested_at, c.expires_at,
       c.sent_at, c.replied_at
FROM command c JOIN device d ON d.id = c.device_id JOIN site s ON s.id = d.site_id
WHERE c.id > %(command)s ORDER BY c.id

-- decisions --
SELECT l.id, l.linkage, s.code || '/' || d.code AS device, l.decision, l.alert_id, l.command_id
FROM linkage_decision l JOIN device d ON d.id = l.device_id JOIN site s ON s.id = d.site_id
WHERE l.id > %(decision)s ORDER BY l.id

-- unsettled --
-- What still moves: deliveries that wait for a call or a review, messages that wait to be sent. One that is gathered for
-- the next digest lies still until then.
SELECT (SELECT count(*) FROM delivery WHERE alert_id > %(alert)s AND state IN ('held', 'pending')),
       (SELECT count(*) FROM notification WHERE alert_id > %(alert)s AND state = 'pending'
          AND NOT (digest AND attempts = 0 AND next_attempt_at > now()))
