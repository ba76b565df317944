-- alert_lock --
SELECT id FROM alert WHERE id = %(alert_id)s FOR UPDATE

-- alert_by_id --
SELECT * FROM alert_with_rule WHERE id = %(alert_id)s

-- alerts_by_id --
SELECT * FROM alert_with_rule WHERE id = ANY (%(alert_ids)s::bigint[])

-- alerts_open --
SELECT * FROM alert_with_rule WHERE cleared_at IS NULL ORDER BY id

-- alert_put --
-- Nothing where the violation is told already, or where an alert of this rule and subject is still open.
INSERT INTO alert (rule, rule_version, rule_kind, subject, site_id, device_id, camera_id, metric, unit, severity,
                   started_at, raised_at, first_value, last_value, max_value, limit_value, quality,
                   episode_id, frame_sha256, crop_sha256, exempt)
VALUES (%(rule)s, %(rule_version)s, %(rule_kind)s, %(subject)s, %(site_id)s, %(device_id)s, %(camera_id)s, %(metric)s,
        %(unit)s, %(severity)s, %(started_at)s, %(now)s, %(first_value)s, %(last_value)s, %(max_value)s,
        %(limit_value)s, %(quality)s, %(episode_id)s, %(frame_sha256)s, %(crop_sha256)s, %(exempt)s)
ON CONFLICT DO NOTHING
RETURNING id

-- alert_find_open --
SELECT id FROM alert WHERE rule = %(rule)s AND subject = %(subject)s AND cleared_at IS NULL FOR UPDATE

-- alert_clear --
UPDATE alert SET cleared_at = %(now)s, cleared_by = %(actor)s, ended_at = coalesce(%(ended_at)s, ended_at),
                 last_value = coalesce(%(last_value)s, last_value), max_value = coalesce(%(max_value)s, max_value)
WHERE id = %(alert_id)s AND cleared_at IS NULL

-- alert_severity --
-- What a person has set stays until the rule says worse.
UPDATE alert SET severity = %(severity)s, peak_severity = %(peak)s, severity_by = %(by)s,
                 limit_value = coalesce(%(limit_value)s, limit_value),
                 last_value = coalesce(%(last_value)s, last_value), max_value = coalesce(%(max_value)s, max_value)
WHERE id = %(alert_id)s

-- alert_join --
UPDATE alert SET max_value = coalesce(%(max_value)s, max_value), last_value = coalesce(%(last_value)s, last_value)
WHERE id = %(alert_id)s

-- alert_progress --
UPDATE alert a SET last_value = p.last, max_value = p.worst
FROM unnest(%(rules)s::text[], %(subjects)s::text[], %(last)s::double precision[], %(worst)s::double precision[])
    AS p (rule, subject, last, worst)
WHERE a.rule = p.rule AND a.subject = p.subject AND a.cleared_at IS NULL
RETURNING a.id, a.site_id

-- alert_assign --
UPDATE alert SET assigned_to = (SELECT id FROM person WHERE code = %(person)s), assigned_at = %(now)s
WHERE id = %(alert_id)s

-- hush_hold --
-- Notices of the raise that no worker is at.
UPDATE notification SET state = 'withheld', reason = %(reason)s
WHERE alert_id = ANY (%(alert_ids)s::bigint[]) AND state = 'pending' AND phase IN ('raised', 'severity') AND leased_by IS NULL

-- hush_release --
UPDATE notification n SET state = 'pending', reason = 'first_raise', next_attempt_at = %(now)s
FROM alert a
WHERE a.id = n.alert_id AND n.alert_id = ANY (%(alert_ids)s::bigint[]) AND n.state = 'withheld' AND n.reason = %(reason)s
  AND a.cleared_at IS NULL AND a.acknowledged_at IS NULL
  -- Of a raise and a rise that were both held one message is enough.
  AND (n.phase = 'raised' OR NOT EXISTS (
      SELECT FROM notification r WHERE r.alert_id = n.alert_id AND r.person_id = n.person_id AND r.channel = n.channel
      AND r.phase = 'raised' AND r.state = 'withheld' AND r.reason = %(reason)s))

-- hush_muted --
SELECT DISTINCT a.id, a.rule, a.site_id, a.subject FROM notification n JOIN alert a ON a.id = n.alert_id
WHERE n.state = 'withheld' AND n.reason = 'muted' AND a.cleared_at IS NULL AND a.acknowledged_at IS NULL

-- hush_raises --
SELECT count(*) FROM alert
WHERE rule = %(rule)s AND subject = %(subject)s AND raised_at > %(since)s AND exempt IS NULL

-- hush_open_rules --
-- Open alerts that may explain another: those at a gateway only what reports through it, or of no known gateway.
SELECT DISTINCT c.rule FROM alert c
WHERE c.site_id = %(site_id)s AND c.cleared_at IS NULL AND c.exempt IS NULL AND c.id <> %(alert_id)s
  AND NOT EXISTS (SELECT FROM alert a JOIN device d ON d.id = a.device_id
                  WHERE a.id = %(alert_id)s AND d.gateway_id <> c.device_id
                  AND EXISTS (SELECT FROM device o WHERE o.gateway_id = c.device_id))

-- hush_explainable --
-- Open alerts that this one may explain, as above.
SELECT a.id, ARRAY(SELECT jsonb_array_elements_text(v.definition -> 'inhibited_by')) AS inhibited_by
FROM alert a JOIN rule_version v ON v.rule = a.rule AND v.version = a.rule_version
WHERE a.site_id = %(site_id)s AND a.cleared_at IS NULL AND a.exempt IS NULL AND a.id <> %(alert_id)s
  AND v.definition ? 'inhibited_by'
  AND NOT EXISTS (SELECT FROM alert c JOIN device d ON d.id = a.device_id
                  WHERE c.id = %(alert_id)s AND d.gateway_id <> c.device_id
                  AND EXISTS (SELECT FROM device o WHERE o.gateway_id = c.device_id))

-- mutes_active --
SELECT site_id, rule, coalesce('device:' || device_id, 'camera:' || camera_id) FROM mute WHERE starts_at <= %(now)s AND ends_at > %(now)s

-- alert_acknowledge --
UPDATE alert SET acknowledged_at = %(now)s, acknowledged_by = %(actor)s WHERE id = %(alert_id)s

-- alert_review --
UPDATE alert SET verdict = %(verdict)s, reviewed_at = %(now)s, reviewed_by = %(actor)s WHERE id = %(alert_id)s

-- alert_event_put --
-- No row where this person's request was written before.
INSERT INTO alert_event (alert_id, at, kind, actor, detail, request_key)
VALUES (%(alert_id)s, %(now)s, %(kind)s, %(actor)s, %(detail)s, %(key)s)
ON CONFLICT (alert_id, actor, request_key) WHERE request_key IS NOT NULL DO NOTHING RETURNING id

-- alert_event_said --
-- What a person has said already, with an acknowledgement or alone.
SELECT FROM alert_event
WHERE alert_id = %(alert_id)s AND actor = %(actor)s AND kind IN ('acknowledged', 'commented')
  AND detail ->> 'comment' = %(comment)s LIMIT 1

-- alert_event_asked --
SELECT kind, detail FROM alert_event WHERE alert_id = %(alert_id)s AND actor = %(actor)s AND request_key = %(key)s

-- alerts_closed --
-- Of these alerts the subjects at which no alert of their rule is open any more.
SELECT DISTINCT rule, subject FROM alert a
WHERE id = ANY (%(alert_ids)s::bigint[])
  AND NOT EXISTS (SELECT FROM alert o WHERE o.rule = a.rule AND o.subject = a.subject AND o.cleared_at IS NULL)

-- team_present --
-- Held once a session, however often it is asked for.
SELECT pg_try_advisory_lock_shared(%(space)s::integer, %(number)s::integer)
WHERE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
                  AND classid = %(space)s AND objid = %(number)s AND granted)

-- team_count --
SELECT count(DISTINCT objid) FROM pg_locks
WHERE locktype = 'advisory' AND classid = %(space)s AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- team_whole --
SELECT pg_try_advisory_lock_shared(%(key)s)

-- team_let_whole_go --
SELECT pg_advisory_unlock_shared(%(key)s)

-- team_shards --
SELECT shard, pg_try_advisory_lock(%(space)s::integer, shard) FROM unnest(%(shards)s::integer[]) AS shard

-- team_let_go --
SELECT pg_advisory_unlock(%(space)s::integer, shard) FROM unnest(%(shards)s::integer[]) AS shard

-- snapshot_put --
INSERT INTO engine_snapshot (engine, taken_at, state) VALUES (%(engine)s, %(now)s, %(state)s)
ON CONFLICT (engine) DO UPDATE SET taken_at = excluded.taken_at, state = excluded.state

-- snapshots --
-- The oldest first: where sites changed hands, what the last to judge them knew is taken over last.
SELECT engine, state FROM engine_snapshot ORDER BY taken_at, engine

-- snapshots_forget --
-- When every lane of today's division has stored its state, those of another division are of no more use.
-- Returns how many of those are still there.
WITH gone AS (
    DELETE FROM engine_snapshot WHERE engine <> ALL (%(engines)s::text[])
      AND (SELECT count(*) FROM engine_snapshot WHERE engine = ANY (%(engines)s::text[])) = cardinality(%(engines)s::text[])
    RETURNING engine
)
SELECT (SELECT count(*) FROM engine_snapshot WHERE engine <> ALL (%(engines)s::text[])) - (SELECT count(*) FROM gone)

-- rules_lock --
SELECT pg_advisory_xact_lock(%(key)s)

-- devices_heard --
SELECT device_id, last_seen_at FROM device_seen

-- ingest_workers --
SELECT name, started_at, beat_at, detail->>'group', (detail->>'watermark')::bigint FROM worker WHERE room = 'ingest'

-- rule_version_put --
-- The newest version where its definition is the same, otherwise the next number.
WITH newest AS (
    SELECT version, sha256 FROM rule_version WHERE rule = %(rule)s ORDER BY version DESC LIMIT 1
), added AS (
    INSERT INTO rule_version (rule, version, definition, sha256, in_force_at)
    SELECT %(rule)s, coalesce((SELECT version FROM newest), 0) + 1, %(definition)s, %(sha256)s, %(now)s
    WHERE NOT EXISTS (SELECT FROM newest WHERE sha256 = %(sha256)s)
    RETURNING version
)
SELECT version FROM added UNION ALL SELECT version FROM newest WHERE sha256 = %(sha256)s

-- rules_written --
SELECT rule, revision, text FROM (
    SELECT DISTINCT ON (rule) rule, revision, text FROM rule_written ORDER BY rule, revision DESC
) newest WHERE text IS NOT NULL ORDER BY rule

-- rules_written_lock --
-- Readers go on.
LOCK TABLE rule_written IN EXCLUSIVE MODE

-- rule_write --
INSERT INTO rule_written (rule, revision, text, reason, written_by, written_at)
SELECT %(rule)s, coalesce(max(revision), 0) + 1, %(text)s::text, %(reason)s, %(by)s, %(now)s FROM rule_written WHERE rule = %(rule)s
RETURNING revision

-- rules_in_force_of --
SELECT v.definition FROM rule_in_force f JOIN rule_version v USING (rule, version) WHERE f.rule = ANY (%(rules)s) ORDER BY f.rule

-- rule_trial_claim --
UPDATE rule_trial SET started_at = %(now)s, worker = %(worker)s, due_at = %(due_at)s
WHERE asked_by = (
    SELECT asked_by FROM rule_trial WHERE started_at IS NULL AND due_at > %(now)s ORDER BY asked_at LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING asked_by, asked_at, rules, text, site, starts_at, ends_at

-- rule_trial_sign --
-- One that was given up, or asked for anew, is no more.
UPDATE rule_trial SET progress = %(progress)s, due_at = %(due_at)s, ended_at = %(ended_at)s, error = %(error)s, report = %(report)s
WHERE asked_by = %(asked_by)s AND asked_at = %(asked_at)s AND ended_at IS NULL

-- rules_in_force_put --
WITH gone AS (DELETE FROM rule_in_force WHERE rule <> ALL (%(rules)s::text[]))
INSERT INTO rule_in_force (rule, version) SELECT * FROM unnest(%(rules)s::text[], %(versions)s::integer[])
ON CONFLICT (rule) DO UPDATE SET version = excluded.version

-- rules_in_force --
SELECT v.definition FROM rule_in_force f JOIN rule_version v USING (rule, version) ORDER BY f.rule

-- evidence_hold --
-- Until the commit that names them nobody removes these files.
SELECT sha256 FROM evidence WHERE sha256 = ANY (%(digests)s) ORDER BY sha256 FOR SHARE

-- evidence_media_types --
SELECT sha256, media_type FROM evidence WHERE sha256 = ANY (%(digests)s)

-- delivery_put --
INSERT INTO delivery (alert_id, target, phase, amendment, idempotency_key, state, reason, payload,
                      pending_since, next_attempt_at, created_at)
VALUES (%(alert_id)s, %(target)s, %(phase)s, %(amendment)s, %(idempotency_key)s, %(state)s, %(reason)s, %(payload)s,
        %(now)s, %(now)s, %(now)s)
ON CONFLICT DO NOTHING

-- delivery_raises --
-- By target what became of the raise itself, and the number of its last amendment.
SELECT DISTINCT ON (target) target, state, max(amendment) OVER (PARTITION BY target) FROM delivery
WHERE alert_id = %(alert_id)s AND phase = 'raise' ORDER BY target, amendment

-- delivery_release --
UPDATE delivery SET state = 'pending', reason = '', pending_since = %(now)s, next_attempt_at = %(now)s
WHERE alert_id = %(alert_id)s AND state = 'held'

-- delivery_withdraw --
-- What no worker has touched yet; what may have arrived is never silently withdrawn.
UPDATE delivery SET state = 'withdrawn', reason = 'reviewed as a false alarm'
WHERE alert_id = %(alert_id)s AND (state IN ('held', 'config_error')
    OR (state = 'pending' AND attempts = 0 AND leased_by IS NULL AND in_doubt_since IS NULL))

-- delivery_stopped --
SELECT id, alert_id, target, phase, state, reason, created_at FROM delivery
WHERE state IN ('config_error', 'uncertain', 'dead') ORDER BY id

-- delivery_lock --
SELECT alert_id, target, state, payload FROM delivery WHERE id = %(id)s FOR UPDATE

-- delivery_resend --
UPDATE delivery SET state = %(state)s, reason = %(reason)s, payload = %(payload)s, pending_since = %(now)s,
                    next_attempt_at = %(now)s, leased_by = NULL, leased_until = NULL, in_doubt_since = NULL
WHERE id = %(id)s

-- delivery_confirm --
UPDATE delivery SET state = 'accepted', reason = %(reason)s, accepted_at = coalesce(accepted_at, %(now)s),
                    next_attempt_at = NULL, in_doubt_since = NULL, leased_by = NULL, leased_until = NULL
WHERE id = %(id)s

-- deliveries_accepted --
SELECT id, alert_id, phase, idempotency_key AS key, state, receipt, accepted_at FROM delivery
WHERE target = %(target)s AND state IN ('accepted', 'validated', 'rejected')
  AND accepted_at >= %(since)s AND accepted_at < %(until)s ORDER BY id

-- deliveries_named --
SELECT id, alert_id, phase, idempotency_key AS key, state, receipt, accepted_at FROM delivery
WHERE target = %(target)s AND idempotency_key = ANY (%(keys)s)

-- outbox_ring --
NOTIFY smartsite_outbox

-- lease_hold --
SELECT pg_advisory_lock(%(space)s::integer, %(holder)s::integer)

-- delivery_doubt_orphans --
-- A receiver without keys, and a worker that died between marking and recording: a person must look.
UPDATE delivery SET state = 'uncertain', reason = 'the worker ended before the reply came', leased_by = NULL, leased_until = NULL
WHERE target = %(target)s AND state = 'pending' AND in_doubt_since IS NOT NULL AND leased_by IS NOT NULL
  AND (leased_until < %(now)s OR leased_by NOT IN (
      SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid = %(space)s AND granted))

-- delivery_claim --
-- `due` is the condition of being due, `first` what is ordered by before that time.
WITH due AS (
    SELECT d.id, d.leased_by IS NOT NULL AS orphaned, d.in_doubt_since AS doubted_since
    FROM delivery d
    WHERE d.target = %(target)s AND d.state IN ('pending', 'accepted')
      AND {due}
      AND (d.leased_by IS NULL OR d.leased_until < %(now)s OR d.leased_by NOT IN (
          SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid = %(space)s AND granted))
      AND (d.state = 'accepted' OR NOT EXISTS (
          SELECT FROM delivery e WHERE e.alert_id = d.alert_id AND e.target = d.target AND e.id < d.id
          AND e.state IN ('held', 'pending', 'uncertain', 'config_error', 'dead')))
      AND (NOT %(ordered)s OR d.state = 'accepted' OR NOT EXISTS (
          -- Of those before it, one that waits for a person holds up its own alert only.
          SELECT FROM delivery e WHERE e.target = d.target AND e.id < d.id AND e.state = 'pending' AND NOT EXISTS (
              SELECT FROM delivery f WHERE f.alert_id = e.alert_id AND f.target = e.target AND f.id < e.id
              AND f.state IN ('held', 'uncertain', 'config_error', 'dead'))))
    ORDER BY {first} d.next_attempt_at, d.id LIMIT %(limit)s FOR UPDATE OF d SKIP LOCKED
)
UPDATE delivery d
SET leased_by = %(holder)s, leased_until = %(until)s,
    in_doubt_since = CASE WHEN d.state = 'pending' AND %(keyless)s THEN coalesce(d.in_doubt_since, %(now)s)
                          ELSE d.in_doubt_since END
FROM due WHERE d.id = due.id
RETURNING d.id, d.alert_id, d.target, d.phase, d.idempotency_key, d.payload, d.state, d.reason, d.attempts,
          d.pending_since, d.accepted_at, d.receipt, due.orphaned, due.doubted_since

-- target_make --
INSERT INTO target_state (target) VALUES (%(target)s) ON CONFLICT DO NOTHING

-- target_read --
SELECT failures, opened_at, paused_until, reason, tokens, tokens_at, off_since FROM target_state WHERE target = %(target)s

-- target_lock --
SELECT failures, opened_at, paused_until, reason, tokens, tokens_at, off_since FROM target_state WHERE target = %(target)s
FOR UPDATE

-- target_put --
-- The switch is a person's: target_switch alone moves it.
UPDATE target_state SET failures = %(failures)s, opened_at = %(opened_at)s, paused_until = %(paused_until)s,
                        reason = %(reason)s, tokens = %(tokens)s, tokens_at = %(tokens_at)s,
                        failed_at = CASE WHEN %(failures)s > failures THEN %(now)s ELSE failed_at END,
                        failed_reason = CASE WHEN %(failures)s > failures THEN %(reason)s ELSE failed_reason END
WHERE target = %(target)s

-- target_skew_put --
INSERT INTO target_state (target, skew_s, skew_at) VALUES (%(target)s, %(skew_s)s, %(now)s)
ON CONFLICT (target) DO UPDATE SET skew_s = excluded.skew_s, skew_at = excluded.skew_at

-- targets_seen --
SELECT t.target, t.failures, t.opened_at, t.paused_until, t.reason, t.skew_s, t.skew_at, t.off_since, t.switched_by,
       coalesce(p.name, t.switched_by) AS switched_by_name, coalesce(p.name_en, '') AS switched_by_name_en, t.switch_reason,
       t.failed_at, t.failed_reason
FROM target_state t LEFT JOIN person p ON p.code = t.switched_by ORDER BY t.target

-- targets_counted --
-- What waits for each of the targets, what stopped, and when it last took something.
SELECT t.name AS target, (SELECT max(accepted_at) FROM delivery WHERE target = t.name AND accepted_at IS NOT NULL) AS accepted_at,
       p.pending, p.oldest, s.stopped
FROM unnest(%(targets)s::text[]) AS t (name),
     LATERAL (SELECT count(*) AS pending, min(pending_since) AS oldest FROM delivery WHERE target = t.name AND state = 'pending') p,
     LATERAL (SELECT count(*) AS stopped FROM delivery
              WHERE target = t.name AND state IN ('config_error', 'uncertain', 'dead')) s

-- target_switch --
UPDATE target_state SET off_since = %(off_since)s, switched_by = %(by)s, switch_reason = %(reason)s WHERE target = %(target)s

-- delivery_shift --
-- The target was switched off: that time counts neither as failing nor as waiting, and what waited is due.
UPDATE delivery SET pending_since = pending_since + (%(now)s - greatest(pending_since, %(off_since)s)), next_attempt_at = %(now)s
WHERE target = %(target)s AND state = 'pending' AND leased_by IS NULL

-- target_check_next --
SELECT target, asked_at FROM target_check
WHERE started_at IS NULL AND due_at > %(now)s AND target = ANY (%(targets)s)
ORDER BY asked_at LIMIT 1 FOR UPDATE SKIP LOCKED

-- target_check_claim --
UPDATE target_check SET started_at = %(now)s, worker = %(worker)s, due_at = %(due_at)s WHERE target = %(target)s

-- target_check_end --
-- One that was asked for anew meanwhile is another one.
UPDATE target_check SET ended_at = %(now)s, report = %(report)s WHERE target = %(target)s AND asked_at = %(asked_at)s

-- delivery_hasten --
-- The regulator is back: what waited for it out of turn waits no longer.
UPDATE delivery SET next_attempt_at = %(now)s
WHERE target = %(target)s AND state = 'pending' AND next_attempt_at > %(now)s AND leased_by IS NULL

-- delivery_attempt_put --
INSERT INTO delivery_attempt (delivery_id, at, kind, status, outcome, error, request, response, duration_ms)
VALUES (%(delivery_id)s, %(at)s, %(kind)s, %(status)s, %(outcome)s, %(error)s, %(request)s, %(response)s, %(duration_ms)s)

-- delivery_settle --
UPDATE delivery
SET state = %(state)s, reason = %(reason)s, next_attempt_at = %(next_attempt_at)s,
    attempts = attempts + %(sent)s::integer, in_doubt_since = %(in_doubt_since)s,
    receipt = coalesce(%(receipt)s, receipt), accepted_at = coalesce(accepted_at, %(accepted_at)s),
    validated_at = %(validated_at)s, leased_by = NULL, leased_until = NULL
WHERE id = %(id)s AND (leased_by = %(holder)s
    OR (%(sent)s = 1 AND %(state)s = 'accepted' AND state IN ('pending', 'uncertain')))
RETURNING alert_id, (SELECT site_id FROM alert WHERE alert.id = delivery.alert_id)

-- delivery_orphan_note --
INSERT INTO delivery_attempt (delivery_id, at, kind, outcome, error)
SELECT id, %(now)s, CASE state WHEN 'accepted' THEN 'poll' ELSE 'send' END, 'no_reply',
       'an earlier worker ended before it recorded a reply'
FROM delivery WHERE id = %(id)s

-- uplink_lock --
SELECT pg_try_advisory_lock(%(space)s::integer, hashtext(%(uplink)s))

-- uplink_newest --
SELECT time, {columns} FROM {table} WHERE device_id = %(device)s AND time > %(after)s ORDER BY time DESC LIMIT 1

-- uplink_through --
-- All that arrived until then is in the roll-ups.
SELECT through FROM rollup_pass

-- uplink_periods --
SELECT date_bin(%(width)s::interval, time, timestamptz '2000-01-01 00:00+00') AS time, {columns}
FROM {rollup}
WHERE device_id = %(device)s AND time >= %(since)s AND time < %(until)s
GROUP BY 1 ORDER BY 1 LIMIT %(limit)s

-- uplink_cursors --
SELECT device_id, command, through FROM uplink_cursor WHERE uplink = %(uplink)s

-- uplink_cursor_put --
INSERT INTO uplink_cursor (uplink, device_id, command, through)
VALUES (%(uplink)s, %(device)s, %(command)s, %(through)s)
ON CONFLICT (uplink, device_id, command) DO UPDATE SET through = excluded.through
