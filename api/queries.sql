-- person_by_login --
-- Sites are those that the log-in may see; people of all sites carry none.
SELECT p.id, p.code, p.name, p.name_en, p.role, p.language, p.all_sites, p.password_hash,
       ARRAY(SELECT ps.site_id FROM person_site ps JOIN site s ON s.id = ps.site_id
             WHERE ps.person_id = p.id AND s.enabled ORDER BY 1) AS sites
FROM person p WHERE p.login = %(login)s AND p.enabled AND p.password_hash IS NOT NULL

-- person_entering --
-- Whoever comes from a provider needs no password here.
SELECT p.id, p.code, p.name, p.name_en, p.role, p.language, p.all_sites, p.enabled,
       ARRAY(SELECT ps.site_id FROM person_site ps JOIN site s ON s.id = ps.site_id
             WHERE ps.person_id = p.id AND s.enabled ORDER BY 1) AS sites
FROM person p WHERE p.id = %(id)s

-- person_linked --
SELECT person_id FROM person_link WHERE issuer = %(issuer)s AND subject = %(subject)s

-- person_to_link --
SELECT p.id, EXISTS (SELECT FROM person_link l WHERE l.person_id = p.id AND l.issuer = %(issuer)s) AS linked
FROM person p WHERE p.login = %(login)s

-- person_link_put --
INSERT INTO person_link (issuer, subject, person_id, linked_at)
VALUES (%(issuer)s, %(subject)s, %(person_id)s, %(now)s)

-- person_links_delete --
DELETE FROM person_link WHERE person_id = %(id)s RETURNING issuer, subject

-- person_role_put --
UPDATE person SET role = %(role)s WHERE id = %(id)s

-- person_of_code --
SELECT id FROM person WHERE code = %(code)s

-- oidc_begin --
INSERT INTO oidc_attempt (state_sha256, browser_sha256, nonce, code_verifier, redirect_uri, destination, expires_at)
VALUES (%(state_sha256)s, %(browser_sha256)s, %(nonce)s, %(code_verifier)s, %(redirect_uri)s, %(destination)s,
        %(expires_at)s)

-- oidc_forget_old --
DELETE FROM oidc_attempt WHERE expires_at <= %(now)s

-- oidc_take --
-- Deleted in any case: what comes back is looked at once.
DELETE FROM oidc_attempt WHERE state_sha256 = %(state_sha256)s AND browser_sha256 = %(browser_sha256)s
RETURNING nonce, code_verifier, redirect_uri, destination, expires_at

-- session_person --
SELECT p.id, p.code, p.name, p.name_en, p.role, p.language, p.all_sites, s.csrf, s.expires_at,
       p.password_hash IS NOT NULL AS has_password,
       ARRAY(SELECT ps.site_id FROM person_site ps JOIN site t ON t.id = ps.site_id
             WHERE ps.person_id = p.id AND t.enabled ORDER BY 1) AS sites
FROM session s JOIN person p ON p.id = s.person_id
WHERE s.token_sha256 = %(token_sha256)s AND s.expires_at > %(now)s AND p.enabled

-- session_insert --
INSERT INTO session (token_sha256, person_id, csrf, created_at, expires_at, client)
VALUES (%(token_sha256)s, %(person_id)s, %(csrf)s, %(now)s, %(expires_at)s, %(client)s)

-- session_delete --
DELETE FROM session WHERE token_sha256 = %(token_sha256)s

-- token_person --
-- A site counts that both the person and the token may see.
SELECT p.id, p.code, p.name, p.name_en, p.role, p.language, t.expires_at, t.id AS token_id, t.rights AS granted, t.last_used_at,
       p.all_sites AND t.sites IS NULL AS all_sites,
       ARRAY(SELECT s.id FROM site s WHERE s.enabled AND (t.sites IS NULL OR s.id = ANY (t.sites))
             AND (p.all_sites AND t.sites IS NOT NULL
                  OR EXISTS (SELECT FROM person_site ps WHERE ps.person_id = p.id AND ps.site_id = s.id))
             ORDER BY 1) AS sites
FROM api_token t JOIN person p ON p.id = t.person_id
WHERE t.token_sha256 = %(token_sha256)s AND t.revoked_at IS NULL AND t.expires_at > %(now)s AND p.enabled

-- token_used --
UPDATE api_token SET last_used_at = %(now)s WHERE id = %(id)s

-- tokens --
-- Unscoped: tokens belong to people; %(owner)s is NULL for those who administer people.
SELECT t.id, t.name, p.code AS owner, p.name AS owner_name, p.name_en AS owner_name_en, t.rights, t.sites, t.created_at,
       t.expires_at, t.revoked_at, t.last_used_at, t.token_sha256
FROM api_token t JOIN person p ON p.id = t.person_id
WHERE (%(owner)s::int IS NULL OR t.person_id = %(owner)s) AND (%(id)s::int IS NULL OR t.id = %(id)s)
  AND (%(before)s::bigint IS NULL OR t.id < %(before)s)
ORDER BY t.id DESC LIMIT %(limit)s

-- token_insert --
INSERT INTO api_token (person_id, name, token_sha256, rights, sites, created_at, expires_at)
VALUES (%(person_id)s, %(name)s, %(token_sha256)s, %(rights)s, %(sites)s, %(now)s, %(expires_at)s)
RETURNING id

-- token_revoke --
UPDATE api_token SET revoked_at = %(now)s, revoked_by = %(by)s WHERE id = %(id)s AND revoked_at IS NULL

-- failures --
-- Of this log-in from this address, of this address in all, of this log-in from anywhere, and the newest.
SELECT count(*) FILTER (WHERE login = %(login)s AND address = %(address)s) AS by_pair,
       count(*) FILTER (WHERE address = %(address)s) AS by_address,
       count(*) FILTER (WHERE login = %(login)s) AS by_login, max(at) AS newest
FROM login_failure WHERE (address = %(address)s OR login = %(login)s) AND at > %(since)s

-- failure_insert --
INSERT INTO login_failure (at, login, address) VALUES (%(now)s, %(login)s, %(address)s)

-- failure_forget_old --
DELETE FROM login_failure WHERE at <= %(since)s

-- failure_forget --
DELETE FROM login_failure WHERE login = %(login)s AND address = %(address)s

-- audit_head --
SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1

-- accounts --
-- Unscoped: people belong to no site. Locked: failures of the log-in that still count.
SELECT p.id, p.code, p.name, p.name_en, p.role, u.code AS unit, p.phone, p.language, p.login, p.password_hash IS NOT NULL AS has_password,
       p.all_sites, p.enabled, EXISTS (SELECT FROM person_link l WHERE l.person_id = p.id) AS linked,
       ARRAY(SELECT s.code FROM person_site ps JOIN site s ON s.id = ps.site_id WHERE ps.person_id = p.id ORDER BY 1) AS sites,
       (SELECT count(*) FROM login_failure f WHERE f.login = p.login AND f.at > %(since)s)::int AS failures
FROM person p LEFT JOIN unit u ON u.id = p.unit_id
WHERE %(code)s::text IS NULL OR p.code = %(code)s
ORDER BY p.enabled DESC, p.code

-- administrators --
SELECT count(*) AS n FROM person
WHERE enabled AND all_sites AND role = 'leader' AND login IS NOT NULL AND password_hash IS NOT NULL

-- failure_forget_login --
DELETE FROM login_failure WHERE login = %(login)s

-- sessions_of_person_delete --
DELETE FROM session WHERE person_id = %(id)s

-- own_password --
SELECT login, password_hash FROM person WHERE id = %(id)s AND enabled AND login IS NOT NULL

-- own_password_put --
UPDATE person SET password_hash = %(new)s WHERE id = %(id)s AND password_hash = %(old)s RETURNING id

-- sessions_others_delete --
DELETE FROM session WHERE person_id = %(id)s AND token_sha256 <> %(token_sha256)s RETURNING token_sha256

-- audit_page --
SELECT a.id, a.at, a.actor, p.name AS actor_name, p.name_en AS actor_name_en, a.action, a.object, a.detail
FROM audit a LEFT JOIN person p ON p.code = a.actor
WHERE (%(actor)s::text IS NULL OR a.actor = %(actor)s) AND (%(action)s::text IS NULL OR starts_with(a.action, %(action)s))
  AND (%(before)s::bigint IS NULL OR a.id < %(before)s)
ORDER BY a.id DESC LIMIT %(limit)s

-- audit_hash --
SELECT hash FROM audit WHERE id = %(id)s

-- audit_append --
INSERT INTO audit (id, at, actor, action, object, detail, previous_hash, hash)
VALUES (%(id)s, %(at)s, %(actor)s, %(action)s, %(object)s, %(detail)s, %(previous_hash)s, %(hash)s)

-- audit_all --
SELECT id, at, actor, action, object, detail, previous_hash, hash FROM audit ORDER BY id

-- sites --
-- Every statement below is scoped: %(sites)s holds the site ids that the asking person may see, NULL where all.
SELECT id, code, name, name_en, address, latitude, longitude, time_zone, stage
FROM site
WHERE enabled AND (%(sites)s::int[] IS NULL OR id = ANY (%(sites)s)) AND (%(site_id)s::int IS NULL OR id = %(site_id)s)
ORDER BY code

-- site_units --
SELECT su.site_id, su.role, u.name, u.name_en
FROM site_unit su JOIN unit u ON u.id = su.unit_id
WHERE (%(sites)s::int[] IS NULL OR su.site_id = ANY (%(sites)s)) AND (%(site_id)s::int IS NULL OR su.site_id = %(site_id)s)
ORDER BY su.site_id, su.role, u.code

-- site_open_alerts --
-- A reviewer's "false alarm" takes the colour off a site before the rule lets go.
SELECT site_id, severity, count(*) AS n
FROM alert
WHERE cleared_at IS NULL AND verdict IS DISTINCT FROM 'false_alarm' AND exempt IS NULL
  AND (%(sites)s::int[] IS NULL OR site_id = ANY (%(sites)s)) AND (%(site_id)s::int IS NULL OR site_id = %(site_id)s)
GROUP BY site_id, severity

-- devices --
SELECT d.id, d.site_id, t.code AS site, d.code, d.kind, d.name, d.name_en, d.tags, d.interval_s, s.last_time, s.last_seen_at, s.connected,
       (SELECT min(started_at) FROM worker WHERE room = 'ingest' AND beat_at > %(alive_since)s) AS listening_since,
       EXISTS (SELECT FROM device_statistic x WHERE x.device_id = d.id) AS computes,
       q.received, q.missing, q.late, q.repeated, q.restarts, q.since, q.gap_at,
       EXISTS (SELECT FROM alert a WHERE a.device_id = d.id AND a.rule_kind = 'offline' AND a.cleared_at IS NULL) AS missed
FROM device d JOIN site t ON t.id = d.site_id LEFT JOIN device_seen s ON s.device_id = d.id
LEFT JOIN device_sequence q ON q.device_id = d.id
WHERE d.enabled AND t.enabled
  AND (%(sites)s::int[] IS NULL OR d.site_id = ANY (%(sites)s)) AND (%(site_id)s::int IS NULL OR d.site_id = %(site_id)s)
  AND (%(device_id)s::int IS NULL OR d.id = %(device_id)s)
ORDER BY t.code, d.code

-- cameras --
SELECT c.id, c.site_id, c.code, c.name, c.name_en, c.zone, s.state, s.reason, s.since, s.updated_at,
       (s.detail ->> 'fps')::double precision AS fps, s.frames_in, s.frames_analysed, s.frames_gated, s.detail
FROM camera c JOIN site t ON t.id = c.site_id LEFT JOIN camera_state s ON s.camera_id = c.id
WHERE c.enabled AND t.enabled
  AND (%(sites)s::int[] IS NULL OR c.site_id = ANY (%(sites)s)) AND (%(site_id)s::int IS NULL OR c.site_id = %(site_id)s)
  AND (%(camera_id)s::int IS NULL OR c.id = %(camera_id)s)
ORDER BY t.code, c.code

-- evidence --
-- Where one use of a file is an original, the file is one.
SELECT e.media_type, e.removed_at, e.removed_for, u.site_id, u.original
FROM evidence e CROSS JOIN LATERAL (
    SELECT a.site_id, true AS original FROM alert a WHERE a.frame_sha256 = e.sha256 OR a.crop_sha256 = e.sha256
    UNION ALL
    SELECT p.site_id, f.role NOT IN ('frame_shown', 'crop_shown')
    FROM episode_evidence f JOIN episode p ON p.id = f.episode_id WHERE f.sha256 = e.sha256
    UNION ALL
    SELECT r.site_id, false
    FROM rectification_photo f JOIN rectification r ON r.id = f.rectification_id WHERE f.sha256 = e.sha256
    UNION ALL
    SELECT i.site_id, true
    FROM inspection_picture f JOIN inspection i ON i.id = f.inspection_id
    WHERE (f.sha256 = e.sha256 AND f.rectification_id IS NULL) OR (f.plain_sha256 = e.sha256 AND f.plain_sha256 <> f.sha256)
) u
WHERE e.sha256 = %(sha256)s AND (%(sites)s::int[] IS NULL OR u.site_id = ANY (%(sites)s))
ORDER BY u.original DESC, u.site_id LIMIT 1

-- alert_sightings --
-- The episode that raised the alert, then those that joined it.
SELECT p.id, p.kind, p.started_at, p.last_seen_at, p.ended_at, p.zone, p.peak_score, p.votes, p.history, p.model,
       (SELECT jsonb_agg(jsonb_build_object(
                   'role', f.role, 'sha256', f.sha256, 'media_type', e.media_type, 'bytes', e.bytes,
                   'removed_for', e.removed_for,
                   'first_at', (extract(epoch FROM f.first_at) * 1000)::bigint,
                   'last_at', (extract(epoch FROM f.last_at) * 1000)::bigint)
                   ORDER BY array_position(ARRAY['frame_shown', 'crop_shown', 'frame', 'crop', 'clip'], f.role))
        FROM episode_evidence f JOIN evidence e USING (sha256) WHERE f.episode_id = p.id) AS files
FROM alert a JOIN episode p ON p.id = a.episode_id OR p.id IN (
    SELECT (v.detail ->> 'episode')::bigint FROM alert_event v WHERE v.alert_id = a.id AND v.kind = 'joined')
WHERE a.id = %(id)s AND (%(sites)s::int[] IS NULL OR a.site_id = ANY (%(sites)s))
ORDER BY p.id LIMIT 50

-- workers --
-- Unscoped: processes belong to no site.
SELECT name, room, host, pid, started_at, beat_at FROM worker ORDER BY room, name

-- counts --
-- Unscoped: for people who see all sites.
SELECT coalesce(sum(messages), 0)::bigint AS messages, coalesce(sum(stored), 0)::bigint AS stored,
       coalesce(sum(filled), 0)::bigint AS filled, coalesce(sum(duplicates), 0)::bigint AS duplicates,
       coalesce(sum(quarantined), 0)::bigint AS quarantined,
       (SELECT count(*) FROM alert WHERE exempt IS NULL) AS alerts_total,
       (SELECT count(*) FROM alert WHERE cleared_at IS NULL AND exempt IS NULL) AS alerts_open,
       (SELECT count(*) FROM delivery WHERE state IN ('accepted', 'validated')) AS deliveries_accepted,
       (SELECT count(*) FROM delivery WHERE state = 'pending') AS deliveries_pending,
       (SELECT count(*) FROM delivery WHERE state = 'held') AS deliveries_held,
       (SELECT count(*) FROM delivery WHERE state IN ('rejected', 'config_error', 'dead', 'uncertain')) AS deliveries_failed,
       (SELECT count(*) FROM notification WHERE state = 'sent') AS notifications_sent,
       (SELECT count(*) FROM notification WHERE state = 'pending') AS notifications_pending,
       (SELECT count(*) FROM episode) AS episodes,
       (SELECT coalesce(sum(frames_analysed), 0)::bigint FROM camera_state) AS frames_analysed
FROM ingest_count

-- quarantine --
-- What no device sent belongs to no site and is for people who see all.
SELECT q.id, q.arrived_at, q.source, q.device_id, s.code || '/' || d.code AS device, q.client, q.topic, q.reason, q.detail,
       q.payload, q.payload_bytes
FROM quarantine q LEFT JOIN device d ON d.id = q.device_id LEFT JOIN site s ON s.id = d.site_id
WHERE (%(sites)s::int[] IS NULL OR d.site_id = ANY (%(sites)s)) AND (%(before)s::bigint IS NULL OR q.id < %(before)s)
ORDER BY q.id DESC LIMIT %(limit)s

-- assignees --
-- People who may see the site, by name.
SELECT p.code, p.name, p.name_en, p.role FROM person p
WHERE p.enabled AND (p.all_sites OR EXISTS (SELECT FROM person_site s WHERE s.person_id = p.id AND s.site_id = %(site_id)s))
  AND (%(sites)s::int[] IS NULL OR %(site_id)s = ANY (%(sites)s))
ORDER BY p.name, p.code

-- mutes --
SELECT m.id, m.site_id, m.device_id, m.camera_id, m.rule, m.starts_at, m.ends_at, m.reason,
       m.made_by, coalesce(p.name, m.made_by) AS made_by_name, coalesce(p.name_en, '') AS made_by_name_en,
       m.ended_by, coalesce(e.name, m.ended_by) AS ended_by_name, coalesce(e.name_en, '') AS ended_by_name_en
FROM mute m LEFT JOIN person p ON p.code = m.made_by LEFT JOIN person e ON e.code = m.ended_by
WHERE (%(sites)s::int[] IS NULL OR m.site_id IS NULL OR m.site_id = ANY (%(sites)s))
  AND (%(site_id)s::int IS NULL OR coalesce(m.site_id, %(site_id)s) = %(site_id)s)
  AND (num_nonnulls(%(device_id)s::int, %(camera_id)s::int) = 0
       OR (num_nonnulls(m.device_id, m.camera_id) = 0
           AND (m.site_id IS NULL OR m.site_id IN (SELECT site_id FROM device WHERE id = %(device_id)s
                                               UNION ALL SELECT site_id FROM camera WHERE id = %(camera_id)s)))
       OR m.device_id = %(device_id)s OR m.camera_id = %(camera_id)s)
  AND (%(states)s::text[] IS NULL OR CASE WHEN m.ends_at <= %(now)s THEN 'over' WHEN m.starts_at > %(now)s THEN 'coming'
                                          ELSE 'active' END = ANY (%(states)s))
  AND (%(before)s::bigint IS NULL OR m.id < %(before)s)
ORDER BY m.id DESC LIMIT %(limit)s

-- mute_aim --
SELECT d.site_id FROM device d JOIN site s ON s.id = d.site_id
WHERE d.id = %(device_id)s AND d.enabled AND s.enabled AND (%(sites)s::int[] IS NULL OR d.site_id = ANY (%(sites)s))
UNION ALL
SELECT c.site_id FROM camera c JOIN site s ON s.id = c.site_id
WHERE c.id = %(camera_id)s AND c.enabled AND s.enabled AND (%(sites)s::int[] IS NULL OR c.site_id = ANY (%(sites)s))

-- mute --
SELECT m.id, m.site_id, m.device_id, m.camera_id, m.rule, m.starts_at, m.ends_at, m.reason,
       m.made_by, coalesce(p.name, m.made_by) AS made_by_name, coalesce(p.name_en, '') AS made_by_name_en,
       m.ended_by, coalesce(e.name, m.ended_by) AS ended_by_name, coalesce(e.name_en, '') AS ended_by_name_en
FROM mute m LEFT JOIN person p ON p.code = m.made_by LEFT JOIN person e ON e.code = m.ended_by
WHERE m.id = %(id)s AND (%(sites)s::int[] IS NULL OR m.site_id = ANY (%(sites)s)) FOR UPDATE OF m

-- mute_insert --
-- Unscoped: the route has looked whether the site may be seen.
INSERT INTO mute (site_id, device_id, camera_id, rule, starts_at, ends_at, reason, made_by)
VALUES (%(site_id)s, %(device_id)s, %(camera_id)s, %(rule)s, %(starts_at)s, %(ends_at)s, %(reason)s, %(made_by)s)
RETURNING id

-- mute_end --
-- Unscoped: the route has read the mute within the scope. One that has not begun is over before it does.
UPDATE mute SET ends_at = greatest(%(now)s, starts_at + interval '1 microsecond'), ended_by = %(by)s WHERE id = %(id)s

-- permits --
SELECT id, site_id, kind, reference, starts_at, ends_at, source, NOT enabled AS withdrawn FROM permit
WHERE site_id = %(site_id)s AND (%(sites)s::int[] IS NULL OR site_id = ANY (%(sites)s))
  AND (%(before)s::int IS NULL OR (starts_at, id) < (SELECT starts_at, id FROM permit WHERE id = %(before)s))
ORDER BY starts_at DESC, id DESC LIMIT %(limit)s

-- permit --
SELECT id, site_id, kind, reference, starts_at, ends_at, source, NOT enabled AS withdrawn FROM permit
WHERE id = %(id)s AND (%(sites)s::int[] IS NULL OR site_id = ANY (%(sites)s)) FOR UPDATE

-- permit_insert --
-- Unscoped: the route has looked whether the site may be seen.
INSERT INTO permit (site_id, kind, reference, starts_at, ends_at, source)
VALUES (%(site_id)s, %(kind)s, %(reference)s, %(starts_at)s, %(ends_at)s, %(source)s)
RETURNING id, site_id, kind, reference, starts_at, ends_at, source, NOT enabled AS withdrawn

-- permit_withdraw --
-- Unscoped: the route has read the permit within the scope.
UPDATE permit SET enabled = false WHERE id = %(id)s

-- documents --
-- List, one of them and what it is after a change alike; days are those of the site's clock.
SELECT d.id, d.site_id, d.kind, d.kind_text, d.title, d.file_name, d.media_type, d.bytes, d.sha256, d.valid_until,
       d.note, d.version, d.uploaded_at, d.uploaded_by, p.name AS uploaded_by_name, p.name_en AS uploaded_by_name_en,
       d.changed_at, d.changed_by, d.withdrawn_at, d.withdrawn_by, w.name AS withdrawn_by_name,
       w.name_en AS withdrawn_by_name_en, d.withdrawn_reason, e.removed_at IS NULL AS file_kept,
       d.valid_until - (%(now)s AT TIME ZONE s.time_zone)::date AS days_left
FROM site_document d JOIN site s ON s.id = d.site_id JOIN evidence e USING (sha256)
LEFT JOIN person p ON p.code = d.uploaded_by LEFT JOIN person w ON w.code = d.withdrawn_by
WHERE d.site_id = %(site_id)s AND (%(sites)s::int[] IS NULL OR d.site_id = ANY (%(sites)s))
  AND (%(id)s::bigint IS NULL OR d.id = %(id)s) AND (%(kind)s::text IS NULL OR d.kind = %(kind)s)
  AND (%(withdrawn)s::bool IS NULL OR (d.withdrawn_at IS NOT NULL) = %(withdrawn)s)
  AND (%(due_days)s::int IS NULL OR d.valid_until <= (%(now)s AT TIME ZONE s.time_zone)::date + %(due_days)s::int)
  AND (%(before)s::bigint IS NULL OR d.id < %(before)s)
ORDER BY d.id DESC LIMIT %(limit)s

-- documents_due --
SELECT count(*) AS n FROM site_document d JOIN site s ON s.id = d.site_id
WHERE d.site_id = %(site_id)s AND (%(sites)s::int[] IS NULL OR d.site_id = ANY (%(sites)s)) AND d.withdrawn_at IS NULL
  AND d.valid_until <= (%(now)s AT TIME ZONE s.time_zone)::date + %(due_days)s::int

-- document_site --
SELECT id FROM site WHERE id = %(site_id)s AND (%(sites)s::int[] IS NULL OR id = ANY (%(sites)s))

-- document_site_lock --
-- Unscoped: the route has looked whether the site may be seen. Uploads to one site take turns, so that its sum holds.
SELECT id FROM site WHERE id = %(site_id)s FOR NO KEY UPDATE

-- document_room --
-- Unscoped: the route has looked whether the site may be seen. Bytes of the files that are kept for the site.
SELECT coalesce(sum(d.bytes), 0)::bigint AS bytes FROM site_document d WHERE d.site_id = %(site_id)s AND d.released_at IS NULL

-- document_asked --
-- Unscoped: a person's own upload under a key.
SELECT id, site_id, request_digest FROM site_document WHERE uploaded_by = %(by)s AND request_key = %(key)s

-- document_insert --
INSERT INTO site_document (site_id, kind, kind_text, title, file_name, media_type, bytes, sha256, valid_until, note,
                           uploaded_at, uploaded_by, request_key, request_digest)
VALUES (%(site_id)s, %(kind)s, %(kind_text)s, %(title)s, %(file_name)s, %(media_type)s, %(bytes)s, %(sha256)s,
        %(valid_until)s, %(note)s, %(now)s, %(by)s, %(key)s, %(digest)s)
ON CONFLICT (uploaded_by, request_key) DO NOTHING RETURNING id

-- document_lock --
SELECT id FROM site_document
WHERE id = %(id)s AND site_id = %(site_id)s AND (%(sites)s::int[] IS NULL OR site_id = ANY (%(sites)s)) FOR UPDATE

-- document_change --
-- Unscoped: the route has read the document within the scope.
UPDATE site_document SET kind = %(kind)s, kind_text = %(kind_text)s, title = %(title)s, valid_until = %(valid_until)s,
       note = %(note)s, version = version + 1, changed_at = %(now)s, changed_by = %(by)s
WHERE id = %(id)s

-- document_withdraw --
-- Unscoped: the route has read the document within the scope.
UPDATE site_document SET version = version + 1, withdrawn_at = %(now)s, withdrawn_by = %(by)s, withdrawn_reason = %(reason)s
WHERE id = %(id)s

-- log_streams --
-- Unscoped: streams carry all sites.
SELECT count(*) AS n FROM log_stream

-- alerts --
-- Page, single alert and live push alike. deliveries: not accepted yet, accepted by the regulator, in need of a person.
SELECT a.*, s.name AS site_name, s.name_en AS site_name_en,
       coalesce(d.code, c.code) AS subject_code, coalesce(d.name, c.name) AS subject_name,
       coalesce(d.name_en, c.name_en) AS subject_name_en, p.code AS assignee, p.name AS assignee_name,
       p.name_en AS assignee_name_en, v.pending, v.accepted, v.failed,
       (SELECT f.sha256 FROM episode_evidence f JOIN evidence e USING (sha256)
        WHERE f.episode_id = a.episode_id AND f.role = 'frame_shown' AND e.removed_at IS NULL) AS frame_shown_sha256,
       (SELECT f.sha256 FROM episode_evidence f JOIN evidence e USING (sha256)
        WHERE f.episode_id = a.episode_id AND f.role = 'crop_shown' AND e.removed_at IS NULL) AS crop_shown_sha256
FROM alert_with_rule a
JOIN site s ON s.id = a.site_id
LEFT JOIN device d ON d.id = a.device_id
LEFT JOIN camera c ON c.id = a.camera_id
LEFT JOIN person p ON p.id = a.assigned_to
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state IN ('held', 'pending')) AS pending,
           count(*) FILTER (WHERE state IN ('accepted', 'validated')) AS accepted,
           count(*) FILTER (WHERE state IN ('rejected', 'config_error', 'dead', 'uncertain')) AS failed
    FROM delivery WHERE alert_id = a.id
) v
WHERE (%(sites)s::int[] IS NULL OR a.site_id = ANY (%(sites)s))
  AND (%(ids)s::bigint[] IS NULL OR a.id = ANY (%(ids)s))
  AND (%(site_id)s::int IS NULL OR a.site_id = %(site_id)s)
  AND (%(severities)s::text[] IS NULL OR a.severity = ANY (%(severities)s))
  AND (NOT %(open)s OR a.cleared_at IS NULL)
  AND (%(person_id)s::int IS NULL OR a.assigned_to = %(person_id)s OR EXISTS (
      SELECT FROM notification n
      WHERE n.alert_id = a.id AND n.person_id = %(person_id)s AND n.state IN ('pending', 'sent', 'uncertain', 'failed')))
  AND (%(exempt)s::boolean IS NULL OR (a.exempt IS NOT NULL) = %(exempt)s)
  AND (%(before_at)s::timestamptz IS NULL OR (a.raised_at, a.id) < (%(before_at)s, %(before_id)s::bigint))
ORDER BY a.raised_at DESC, a.id DESC LIMIT %(limit)s

-- alert_site --
SELECT site_id FROM alert WHERE id = %(id)s AND (%(sites)s::int[] IS NULL OR site_id = ANY (%(sites)s))

-- alert_events --
SELECT e.id, e.at, e.kind, e.actor, p.name AS actor_name, p.name_en AS actor_name_en, q.name AS assignee_name,
       q.name_en AS assignee_name_en, e.detail
FROM alert_event e JOIN alert a ON a.id = e.alert_id LEFT JOIN person p ON p.code = e.actor
LEFT JOIN person q ON e.kind = 'assigned' AND q.code = e.detail ->> 'person'
WHERE e.alert_id = %(id)s AND (%(sites)s::int[] IS NULL OR a.site_id = ANY (%(sites)s)) ORDER BY e.id

-- alert_deliveries --
SELECT v.id, v.target, v.phase, v.amendment, v.state, v.reason, v.attempts, v.receipt, v.created_at, v.accepted_at, v.validated_at,
       t.off_since AS target_off_since
FROM delivery v JOIN alert a ON a.id = v.alert_id LEFT JOIN target_state t ON t.target = v.target
WHERE v.alert_id = %(id)s AND (%(sites)s::int[] IS NULL OR a.site_id = ANY (%(sites)s)) ORDER BY v.id

-- deliveries --
SELECT v.id, v.alert_id, a.site_id, a.rule, v.target, v.phase, v.amendment, v.state, v.reason, v.attempts, v.receipt,
       v.created_at, v.accepted_at, v.validated_at, t.off_since AS target_off_since
FROM delivery v JOIN alert a ON a.id = v.alert_id LEFT JOIN target_state t ON t.target = v.target
WHERE (%(sites)s::int[] IS NULL OR a.site_id = ANY (%(sites)s)) AND (%(id)s::bigint IS NULL OR v.id = %(id)s)
  AND (%(states)s::text[] IS NULL OR v.state = ANY (%(states)s)) AND (%(target)s::text IS NULL OR v.target = %(target)s)
  AND (%(before)s::bigint IS NULL OR v.id < %(before)s)
ORDER BY v.id DESC LIMIT %(limit)s

-- delivery_attempts --
SELECT t.at, t.kind, t.status, t.outcome, t.error, t.request, t.response, t.duration_ms
FROM delivery_attempt t JOIN delivery v ON v.id = t.delivery_id JOIN alert a ON a.id = v.alert_id
WHERE t.delivery_id = %(id)s AND (%(sites)s::int[] IS NULL OR a.site_id = ANY (%(sites)s)) ORDER BY t.id

-- alert_notifications --
SELECT n.id, p.code AS person, p.name AS person_name, p.name_en AS person_name_en, n.channel, n.phase, n.state, n.reason, n.error,
       n.attempts, n.created_at, n.sent_at
FROM notification n JOIN alert a ON a.id = n.alert_id JOIN person p ON p.id = n.person_id
WHERE n.alert_id = %(id)s AND (%(sites)s::int[] IS NULL OR a.site_id = ANY (%(sites)s)) ORDER BY n.id

-- vision_workers --
-- Unscoped: the caller has looked the camera up within its scope.
SELECT host, detail ->> 'live_host' AS live_host, (detail ->> 'live_port')::int AS live_port
FROM worker WHERE room = 'vision' AND detail ? 'live_port' AND beat_at > %(since)s ORDER BY beat_at DESC

-- device_clock --
SELECT d.clock_offset_ms, s.time_zone, n.last_time, n.last_seen_at
FROM device d JOIN site s ON s.id = d.site_id LEFT JOIN device_seen n ON n.device_id = d.id
WHERE d.id = %(device_id)s AND s.enabled AND (%(sites)s::int[] IS NULL OR d.site_id = ANY (%(sites)s))

-- device_in_future --
-- The newest messages that lay too far in the future, if nothing was stored since.
SELECT q.arrived_at, q.detail
FROM quarantine q JOIN device d ON d.id = q.device_id LEFT JOIN device_seen n ON n.device_id = d.id
WHERE q.device_id = %(device_id)s AND q.reason = 'in_future' AND (%(sites)s::int[] IS NULL OR d.site_id = ANY (%(sites)s))
  AND (n.last_time IS NULL OR q.arrived_at > n.last_seen_at)
ORDER BY q.id DESC LIMIT 21

-- device_codes --
SELECT d.site_id, s.code AS site, d.code, d.kind, s.time_zone
FROM device d JOIN site s ON s.id = d.site_id
WHERE d.id = %(device_id)s AND d.enabled AND s.enabled AND (%(sites)s::int[] IS NULL OR d.site_id = ANY (%(sites)s))

-- notifications --
SELECT n.id, n.alert_id, n.rectification_id, n.report_id, coalesce(a.site_id, r.site_id, o.site_id) AS site_id,
       coalesce(a.rule, r.number, o.kind || ' ' || o.first_day) AS about,
       p.code AS person, p.name AS person_name, p.name_en AS person_name_en, n.channel, n.phase, n.step, n.state, n.reason, n.digest, n.message,
       n.attempts, n.created_at, n.next_attempt_at, n.sent_at, n.error
FROM notification n
LEFT JOIN alert a ON a.id = n.alert_id
LEFT JOIN rectification r ON r.id = n.rectification_id
LEFT JOIN report o ON o.id = n.report_id
JOIN person p ON p.id = n.person_id
WHERE (%(sites)s::int[] IS NULL OR coalesce(a.site_id, r.site_id, o.site_id) = ANY (%(sites)s))
  AND (%(states)s::text[] IS NULL OR n.state = ANY (%(states)s))
  AND (%(alert_id)s::bigint IS NULL OR n.alert_id = %(alert_id)s) AND (%(person)s::text IS NULL OR p.code = %(person)s)
  AND (%(before)s::bigint IS NULL OR n.id < %(before)s)
ORDER BY n.id DESC LIMIT %(limit)s

-- rectifications --
SELECT r.*, s.name AS site_name, s.name_en AS site_name_en, p.code AS person_code, p.name AS person_name,
       p.name_en AS person_name_en, u.code AS unit_code, u.name AS unit_name, u.name_en AS unit_name_en,
       coalesce(o.name, r.ordered_by) AS ordered_by_name, coalesce(o.name_en, '') AS ordered_by_name_en,
       r.state IN ('ordered', 'rectifying', 'returned') AND r.deadline_at <= %(now)s AS overdue
FROM rectification r
JOIN site s ON s.id = r.site_id
JOIN person p ON p.id = r.person_id
LEFT JOIN unit u ON u.id = r.unit_id
LEFT JOIN person o ON o.code = r.ordered_by
WHERE (%(sites)s::int[] IS NULL OR r.site_id = ANY (%(sites)s))
  AND (%(id)s::bigint IS NULL OR r.id = %(id)s)
  AND (%(states)s::text[] IS NULL OR r.state = ANY (%(states)s))
  AND (%(site_id)s::int IS NULL OR r.site_id = %(site_id)s)
  AND (NOT %(overdue)s OR (r.state IN ('ordered', 'rectifying', 'returned') AND r.deadline_at <= %(now)s))
  AND (%(person_id)s::int IS NULL OR r.person_id = %(person_id)s)
  AND (%(before)s::bigint IS NULL OR r.id < %(before)s)
ORDER BY r.id DESC LIMIT %(limit)s

-- rectification_events --
SELECT e.id, e.at, e.version, e.kind, e.actor, p.name AS actor_name, p.name_en AS actor_name_en, e.detail
FROM rectification_event e JOIN rectification r ON r.id = e.rectification_id LEFT JOIN person p ON p.code = e.actor
WHERE e.rectification_id = %(id)s AND (%(sites)s::int[] IS NULL OR r.site_id = ANY (%(sites)s)) ORDER BY e.id

-- rectification_photos --
SELECT f.sha256, f.uploaded_at, f.uploaded_by, f.event_id
FROM rectification_photo f JOIN rectification r ON r.id = f.rectification_id
WHERE f.rectification_id = %(id)s AND (%(sites)s::int[] IS NULL OR r.site_id = ANY (%(sites)s))
ORDER BY f.uploaded_at, f.sha256

-- person_and_unit --
-- Whether they have a part in the site, the desk decides.
SELECT (SELECT id FROM person WHERE code = %(person)s) AS person_id,
       (SELECT id FROM unit WHERE code = %(unit)s) AS unit_id

-- site_people --
SELECT p.code, p.name, p.name_en, p.role, u.code AS unit
FROM person p LEFT JOIN unit u ON u.id = p.unit_id
WHERE p.enabled AND (%(sites)s::int[] IS NULL OR %(site_id)s = ANY (%(sites)s))
  AND (p.all_sites OR EXISTS (SELECT FROM person_site l WHERE l.person_id = p.id AND l.site_id = %(site_id)s))
ORDER BY p.role, p.code

-- site_companies --
SELECT u.code, u.name, u.name_en, l.role
FROM site_unit l JOIN unit u ON u.id = l.unit_id
WHERE l.site_id = %(site_id)s AND (%(sites)s::int[] IS NULL OR l.site_id = ANY (%(sites)s)) ORDER BY l.role, u.code

-- inspections --
SELECT i.*, s.name AS site_name, s.name_en AS site_name_en, p.name AS begun_by_name, p.name_en AS begun_by_name_en,
       c.items, c.judged, c.failed, (SELECT count(*) FROM inspection_finding f WHERE f.inspection_id = i.id) AS findings
FROM inspection i
JOIN site s ON s.id = i.site_id
LEFT JOIN person p ON p.code = i.begun_by
CROSS JOIN LATERAL (
    SELECT count(*) AS items, count(*) FILTER (WHERE result <> 'open') AS judged, count(*) FILTER (WHERE result = 'fail') AS failed
    FROM inspection_item t WHERE t.inspection_id = i.id
) c
WHERE (%(sites)s::int[] IS NULL OR i.site_id = ANY (%(sites)s))
  AND (%(id)s::bigint IS NULL OR i.id = %(id)s)
  AND (%(state)s::text IS NULL OR i.state = %(state)s)
  AND (%(site_id)s::int IS NULL OR i.site_id = %(site_id)s)
  AND (%(before)s::bigint IS NULL OR i.id < %(before)s)
ORDER BY i.id DESC LIMIT %(limit)s

-- reports --
-- Those of all sites have no site: only an unlimited scope finds them.
SELECT id, kind, site_id, first_day, starts_at, ends_at, made_at, figures FROM report
WHERE (%(sites)s::int[] IS NULL OR site_id = ANY (%(sites)s))
  AND (%(id)s::bigint IS NULL OR id = %(id)s)
  AND (%(kind)s::text IS NULL OR kind = %(kind)s)
  AND (%(site_id)s::int IS NULL OR site_id = %(site_id)s)
  AND (%(before)s::bigint IS NULL OR id < %(before)s)
ORDER BY id DESC LIMIT %(limit)s

-- registry_sites --
SELECT s.id, s.code, s.name, s.name_en, s.address, s.region_code, s.latitude, s.longitude, s.time_zone, s.stage, s.stage_since,
       s.area_m2, s.project_code, s.permit_number, s.supervision_number, s.vision_policy, s.vision_auto_score, s.enabled,
       coalesce((SELECT jsonb_agg(jsonb_build_object('unit', u.code, 'role', su.role) ORDER BY u.code, su.role)
                 FROM site_unit su JOIN unit u ON u.id = su.unit_id WHERE su.site_id = s.id), '[]') AS units
FROM site s
WHERE (%(sites)s::int[] IS NULL OR s.id = ANY (%(sites)s)) AND (%(code)s::text IS NULL OR s.code = %(code)s)
ORDER BY s.enabled DESC, s.code

-- registry_devices --
SELECT d.id, s.code AS site, d.code, d.kind, d.name, d.name_en, d.secret_hash IS NOT NULL AS has_secret, d.record_number,
       d.factory, d.latitude, d.longitude, d.clock_offset_ms, d.interval_s, d.tags, g.code AS gateway, d.mn, d.enabled
FROM device d JOIN site s ON s.id = d.site_id LEFT JOIN device g ON g.id = d.gateway_id
WHERE (%(sites)s::int[] IS NULL OR s.id = ANY (%(sites)s)) AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(code)s::text IS NULL OR d.code = %(code)s)
  AND (%(after)s::text IS NULL
       OR (s.code, d.code) > (split_part(%(after)s, '/', 1), split_part(%(after)s, '/', 2)))
ORDER BY s.code, d.code LIMIT %(limit)s

-- registry_secret_put --
UPDATE device SET secret_hash = %(hash)s WHERE id = %(id)s

-- registry_cameras --
SELECT c.id, s.code AS site, c.code, c.name, c.name_en, c.url, c.zone, c.options, c.latitude, c.longitude, c.enabled
FROM camera c JOIN site s ON s.id = c.site_id
WHERE (%(sites)s::int[] IS NULL OR s.id = ANY (%(sites)s)) AND (%(site)s::text IS NULL OR s.code = %(site)s)
  AND (%(code)s::text IS NULL OR c.code = %(code)s)
ORDER BY s.code, c.code

-- camera_check --
SELECT c.id, c.site_id, k.asked_at, k.asked_by, coalesce(p.name, k.asked_by) AS asked_by_name,
       coalesce(p.name_en, '') AS asked_by_name_en, k.due_at, k.worker, k.started_at, k.ended_at, coalesce(k.error, '') AS error,
       k.report, k.picture IS NOT NULL AS has_picture
FROM camera c JOIN site s ON s.id = c.site_id LEFT JOIN camera_check k ON k.camera_id = c.id
LEFT JOIN person p ON p.code = k.asked_by
WHERE (%(sites)s::int[] IS NULL OR s.id = ANY (%(sites)s)) AND s.code = %(site)s AND c.code = %(code)s

-- camera_check_picture --
SELECT k.picture, k.blurred FROM camera_check k JOIN camera c ON c.id = k.camera_id
WHERE (%(sites)s::int[] IS NULL OR c.site_id = ANY (%(sites)s)) AND k.camera_id = %(id)s

-- camera_check_ask --
-- Unscoped: the camera was found for the person before. One that is waiting or under way stays.
INSERT INTO camera_check AS k (camera_id, asked_at, asked_by, due_at) VALUES (%(id)s, %(now)s, %(by)s, %(due_at)s)
ON CONFLICT (camera_id) DO UPDATE SET asked_at = excluded.asked_at, asked_by = excluded.asked_by, due_at = excluded.due_at,
    worker = NULL, started_at = NULL, ended_at = NULL, error = '', report = NULL, picture = NULL, blurred = NULL
WHERE k.ended_at IS NOT NULL OR k.due_at <= excluded.asked_at
RETURNING k.camera_id

-- target_check --
SELECT k.asked_at, k.asked_by, coalesce(p.name, k.asked_by) AS asked_by_name, coalesce(p.name_en, '') AS asked_by_name_en,
       k.due_at, k.worker, k.started_at, k.ended_at, k.report
FROM target_check k LEFT JOIN person p ON p.code = k.asked_by WHERE k.target = %(target)s

-- target_check_ask --
-- One that is waiting or under way stays.
INSERT INTO target_check AS k (target, asked_at, asked_by, due_at) VALUES (%(target)s, %(now)s, %(by)s, %(due_at)s)
ON CONFLICT (target) DO UPDATE SET asked_at = excluded.asked_at, asked_by = excluded.asked_by, due_at = excluded.due_at,
    worker = NULL, started_at = NULL, ended_at = NULL, report = NULL
WHERE k.ended_at IS NOT NULL OR k.due_at <= excluded.asked_at
RETURNING k.target

-- rules_judged --
-- Unscoped: rules belong to no site, and the right to them is for who sees all.
SELECT f.rule, f.version, v.sha256, v.in_force_at FROM rule_in_force f JOIN rule_version v USING (rule, version)

-- rule_versions --
-- Unscoped, as above.
SELECT version, in_force_at AS since, definition FROM rule_version WHERE rule = %(rule)s ORDER BY version DESC LIMIT 100

-- rule_revisions --
-- Unscoped, as above.
SELECT w.revision, w.text, w.reason, w.written_by, coalesce(p.name, w.written_by) AS written_by_name,
       coalesce(p.name_en, '') AS written_by_name_en, w.written_at
FROM rule_written w LEFT JOIN person p ON p.code = w.written_by
WHERE w.rule = %(rule)s ORDER BY w.revision DESC LIMIT 100

-- site_of_code --
-- Unscoped: for rights over what belongs to no site.
SELECT id FROM site WHERE code = %(code)s

-- rule_trial --
-- Unscoped, as above.
SELECT asked_at, due_at, rules, site, starts_at, ends_at, started_at, progress, ended_at, error, report FROM rule_trial
WHERE asked_by = %(by)s

-- rule_trial_ask --
-- In place of the person's trial before, wherever that is.
INSERT INTO rule_trial (asked_by, asked_at, text, rules, site, starts_at, ends_at, due_at)
VALUES (%(by)s, %(now)s, %(text)s, %(rules)s, %(site)s, %(starts_at)s, %(ends_at)s, %(due_at)s)
ON CONFLICT (asked_by) DO UPDATE SET asked_at = excluded.asked_at, text = excluded.text, rules = excluded.rules,
    site = excluded.site, starts_at = excluded.starts_at, ends_at = excluded.ends_at, due_at = excluded.due_at,
    worker = NULL, started_at = NULL, progress = 0, ended_at = NULL, error = '', report = NULL

-- rule_trial_drop --
DELETE FROM rule_trial WHERE asked_by = %(by)s

-- ptz_camera --
SELECT c.id, c.site_id, c.code, c.url, c.options FROM camera c JOIN site s ON s.id = c.site_id
WHERE c.enabled AND s.enabled AND (%(sites)s::int[] IS NULL OR c.site_id = ANY (%(sites)s)) AND c.id = %(camera_id)s

-- ptz_held --
-- Unscoped: the camera was found for the person before.
SELECT p.camera_id, p.seat, p.holder, p.role, p.since, p.expires_at, q.name, q.name_en
FROM camera_ptz p LEFT JOIN person q ON q.code = p.holder WHERE p.camera_id = %(camera_id)s

-- ptz_row --
INSERT INTO camera_ptz (camera_id) VALUES (%(camera_id)s) ON CONFLICT DO NOTHING

-- ptz_lock --
SELECT moving FROM camera_ptz WHERE camera_id = %(camera_id)s FOR UPDATE

-- ptz_take --
UPDATE camera_ptz SET seat = %(seat)s, holder = %(holder)s, role = %(role)s, since = %(now)s, expires_at = %(expires_at)s
WHERE camera_id = %(camera_id)s

-- ptz_renew --
UPDATE camera_ptz SET expires_at = %(expires_at)s, moving = moving OR %(moving)s,
    moved_at = CASE WHEN %(moving)s THEN %(now)s ELSE moved_at END
WHERE camera_id = %(camera_id)s AND seat = %(seat)s

-- ptz_stopped --
UPDATE camera_ptz SET moving = false, moved_at = %(now)s WHERE camera_id = %(camera_id)s AND seat = %(seat)s

-- ptz_release --
UPDATE camera_ptz SET seat = NULL, expires_at = NULL WHERE camera_id = %(camera_id)s AND seat = %(seat)s

-- ptz_moved --
INSERT INTO camera_ptz (camera_id, moved_at) VALUES (%(camera_id)s, %(now)s)
ON CONFLICT (camera_id) DO UPDATE SET moved_at = excluded.moved_at

-- ptz_left --
-- Unscoped: cameras that a process left moving, whosever they are.
SELECT p.camera_id, p.seat, p.holder, p.moved_at, c.id, c.site_id, c.url, c.options
FROM camera_ptz p JOIN camera c ON c.id = p.camera_id
WHERE p.moving AND (p.seat IS NULL OR p.expires_at <= %(now)s) AND p.moved_at > %(since)s

-- ptz_left_stopped --
UPDATE camera_ptz SET moving = false, seat = NULL, expires_at = NULL
WHERE camera_id = %(camera_id)s AND seat IS NOT DISTINCT FROM %(seat)s AND moved_at = %(moved_at)s
RETURNING camera_id
