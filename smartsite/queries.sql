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

-- evidence_in_use --
-- What must stay whatever its age: files of episodes that go on, of open alerts, and of those whose deliveries are not
-- through or whose rectification is not; with every episode that joined such an alert, photos of open orders, what
-- inspections need, and documents of sites.
WITH live AS (
    SELECT id, episode_id, frame_sha256, crop_sha256 FROM alert WHERE cleared_at IS NULL
    UNION
    SELECT a.id, a.episode_id, a.frame_sha256, a.crop_sha256 FROM rectification r JOIN alert a ON a.id = r.alert_id
    WHERE r.closed_at IS NULL
    UNION
    SELECT a.id, a.episode_id, a.frame_sha256, a.crop_sha256 FROM delivery d JOIN alert a ON a.id = d.alert_id
    WHERE d.state IN ('held', 'pending', 'config_error', 'uncertain', 'dead')
       OR (d.state = 'accepted' AND d.next_attempt_at IS NOT NULL)
), watched AS (
    SELECT id FROM episode WHERE ended_at IS NULL
    UNION SELECT episode_id FROM live WHERE episode_id IS NOT NULL
    UNION SELECT (v.detail ->> 'episode')::bigint FROM alert_event v JOIN live ON live.id = v.alert_id
    WHERE v.kind = 'joined'
), used AS (
    SELECT f.sha256 FROM episode_evidence f JOIN watched ON watched.id = f.episode_id
    UNION SELECT frame_sha256 FROM live WHERE frame_sha256 IS NOT NULL
    UNION SELECT crop_sha256 FROM live WHERE crop_sha256 IS NOT NULL
    UNION SELECT f.sha256 FROM rectification_photo f JOIN rectification r ON r.id = f.rectification_id
    WHERE r.closed_at IS NULL
    -- Reports of inspections are records and stay; their pictures are in them.
    UNION SELECT report_sha256 FROM inspection WHERE report_sha256 IS NOT NULL
    UNION SELECT unnest(ARRAY[f.sha256, f.plain_sha256])
    FROM inspection_picture f JOIN inspection i ON i.id = f.inspection_id WHERE i.state = 'open'
    UNION SELECT sha256 FROM site_document WHERE released_at IS NULL
)
SELECT sha256 FROM used WHERE {wanted}

-- documents_release --
-- The files of documents that were withdrawn long ago are evidence like any other from now on.
UPDATE site_document SET released_at = %(now)s WHERE released_at IS NULL AND withdrawn_at < %(withdrawn_before)s

-- evidence_old --
-- The frame of a reviewed alert is a case to train with and has a time of its own.
SELECT e.sha256, e.bytes FROM evidence e
WHERE e.removed_at IS NULL AND e.created_at < %(before)s AND e.sha256 NOT IN (SELECT sha256 FROM ({in_use}) u)
  AND (e.created_at < %(cases_before)s OR NOT EXISTS (
      SELECT FROM episode_evidence f JOIN alert a ON a.episode_id = f.episode_id
      WHERE f.sha256 = e.sha256 AND f.role = 'frame' AND a.verdict IS NOT NULL))
ORDER BY e.created_at, e.sha256 LIMIT %(limit)s FOR UPDATE OF e SKIP LOCKED

-- evidence_oldest --
SELECT e.sha256, e.bytes FROM evidence e
WHERE e.removed_at IS NULL AND e.created_at < %(before)s AND e.sha256 NOT IN (SELECT sha256 FROM ({in_use}) u)
ORDER BY e.created_at, e.sha256 LIMIT %(limit)s FOR UPDATE OF e SKIP LOCKED

-- evidence_removed --
UPDATE evidence SET removed_at = %(now)s, removed_for = %(reason)s WHERE sha256 = ANY (%(digests)s)

-- evidence_there --
SELECT sha256 FROM evidence WHERE sha256 = ANY (%(digests)s) AND removed_at IS NULL

-- evidence_known --
SELECT sha256 FROM evidence WHERE sha256 = ANY (%(digests)s)

-- evidence_figures --
SELECT count(*), coalesce(sum(e.bytes), 0)::bigint, min(e.created_at),
       count(*) FILTER (WHERE u.sha256 IS NOT NULL), coalesce(sum(e.bytes) FILTER (WHERE u.sha256 IS NOT NULL), 0)::bigint
FROM evidence e LEFT JOIN ({in_use}) u USING (sha256) WHERE e.removed_at IS NULL

-- reviewed_cases --
-- Alerts of bare heads that a person judged, with the original frame where it is kept and all heads on it. The verdict
-- on another kind of episode says nothing of the head.
SELECT a.id AS alert, p.id AS episode, a.verdict, a.reviewed_at, c.code AS camera, f.sha256, p.box, p.heads, p.model,
       (SELECT v.detail ->> 'seen' FROM alert_event v WHERE v.alert_id = a.id AND v.kind = 'reviewed'
        ORDER BY v.id DESC LIMIT 1) AS seen
FROM alert a JOIN episode p ON p.id = a.episode_id JOIN camera c ON c.id = p.camera_id
JOIN episode_evidence f ON f.episode_id = p.id AND f.role = 'frame'
WHERE p.kind = 'no_helmet' AND a.verdict = ANY (%(verdicts)s) AND (%(since)s::timestamptz IS NULL OR a.reviewed_at >= %(since)s)
ORDER BY a.id

-- notices --
SELECT n.id, n.created_at, n.alert_id, coalesce(r.number, o.kind || ' report of ' || o.first_day) AS other, n.phase, n.step, p.code AS person, n.channel, n.state, n.reason, n.digest,
       n.message, n.attempts, n.next_attempt_at, n.sent_at, n.error
FROM notification n JOIN person p ON p.id = n.person_id LEFT JOIN rectification r ON r.id = n.rectification_id
LEFT JOIN report o ON o.id = n.report_id
WHERE (%(alert)s::bigint IS NULL OR n.alert_id = %(alert)s) AND (%(person)s::text IS NULL OR p.code = %(person)s)
  AND (%(state)s::text IS NULL OR n.state = %(state)s)
ORDER BY n.id DESC LIMIT %(limit)s

-- escalations --
SELECT alert_id, step, due_at, roles FROM escalation
WHERE state = 'waiting' AND (%(alert)s::bigint IS NULL OR alert_id = %(alert)s)
ORDER BY due_at, alert_id, step LIMIT %(limit)s
