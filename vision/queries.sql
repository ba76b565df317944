-- episode_start --
-- An episode is named by camera, kind, track and start, so that a start whose commit was not heard of is not doubled.
INSERT INTO episode (camera_id, site_id, kind, track, started_at, last_seen_at, peak_score, votes, zone, box,
                     frame_sha256, crop_sha256, model, heads, history)
VALUES (%(camera_id)s, %(site_id)s, %(kind)s, %(track)s, %(started_at)s, %(last_seen_at)s, %(peak_score)s, %(votes)s,
        %(zone)s, %(box)s, %(frame_sha256)s, %(crop_sha256)s, %(model)s, %(heads)s, %(history)s)
ON CONFLICT (camera_id, kind, track, started_at) DO NOTHING
RETURNING id, frame_sha256, crop_sha256, box, model

-- episode_files --
INSERT INTO episode_evidence (episode_id, role, sha256)
SELECT %(episode_id)s, role, sha256 FROM unnest(%(roles)s::text[], %(digests)s::text[]) AS f (role, sha256)

-- episode_clip --
INSERT INTO episode_evidence (episode_id, role, sha256, first_at, last_at)
SELECT id, 'clip', %(sha256)s, %(first_at)s, %(last_at)s FROM episode
WHERE camera_id = %(camera_id)s AND kind = %(kind)s AND track = %(track)s AND started_at = %(started_at)s
ON CONFLICT (episode_id, role) DO NOTHING
RETURNING episode_id

-- episode_end --
UPDATE episode SET ended_at = %(ended_at)s, last_seen_at = %(last_seen_at)s, peak_score = %(peak_score)s,
    history = %(history)s
WHERE camera_id = %(camera_id)s AND kind = %(kind)s AND track = %(track)s AND started_at = %(started_at)s AND ended_at IS NULL
RETURNING id, frame_sha256, crop_sha256, box, model

-- episode_seen --
UPDATE episode e SET last_seen_at = s.last_seen_at, peak_score = s.peak_score, history = coalesce(s.history, e.history)
FROM unnest(%(cameras)s::integer[], %(kinds)s::text[], %(tracks)s::integer[], %(started)s::timestamptz[],
            %(seen)s::timestamptz[], %(peaks)s::real[], %(histories)s::jsonb[])
    AS s (camera_id, kind, track, started_at, last_seen_at, peak_score, history)
WHERE e.camera_id = s.camera_id AND e.kind = s.kind AND e.track = s.track AND e.started_at = s.started_at AND e.ended_at IS NULL

-- episodes_open --
SELECT camera_id, site_id, kind, track, started_at, last_seen_at, peak_score, zone, box, history
FROM episode WHERE ended_at IS NULL ORDER BY id

-- episodes_last_seen --
-- When each camera last saw an episode of a kind and zone: what a cool-down is counted from.
SELECT camera_id, kind, zone, max(last_seen_at) FROM episode
WHERE started_at > %(since)s GROUP BY camera_id, kind, zone

-- camera_states --
SELECT camera_id, frames_in, frames_analysed, frames_gated FROM camera_state

-- camera_state_write --
-- A camera that was removed meanwhile has no state any more; one that is being removed is waited for.
INSERT INTO camera_state (camera_id, state, reason, since, updated_at, frames_in, frames_analysed, frames_gated, detail)
SELECT s.camera_id, s.state, s.reason, s.since, %(now)s, s.frames_in, s.frames_analysed, s.frames_gated, s.detail
FROM unnest(%(cameras)s::integer[], %(states)s::text[], %(reasons)s::text[], %(since)s::timestamptz[],
            %(frames_in)s::bigint[], %(frames_analysed)s::bigint[], %(frames_gated)s::bigint[], %(details)s::jsonb[])
    AS s (camera_id, state, reason, since, frames_in, frames_analysed, frames_gated, detail)
JOIN camera c ON c.id = s.camera_id ORDER BY c.id FOR KEY SHARE OF c
ON CONFLICT (camera_id) DO UPDATE SET state = excluded.state, reason = excluded.reason, since = excluded.since,
    updated_at = excluded.updated_at, frames_in = excluded.frames_in, frames_analysed = excluded.frames_analysed,
    frames_gated = excluded.frames_gated, detail = excluded.detail

-- camera_uptime_add --
INSERT INTO camera_uptime AS u (camera_id, time, online_s)
SELECT a.camera_id, a.time, a.seconds
FROM unnest(%(cameras)s::integer[], %(times)s::timestamptz[], %(seconds)s::real[]) AS a (camera_id, time, seconds)
JOIN camera c ON c.id = a.camera_id ORDER BY c.id FOR KEY SHARE OF c
ON CONFLICT (camera_id, time) DO UPDATE SET online_s = u.online_s + excluded.online_s

-- camera_uptime_trim --
DELETE FROM camera_uptime WHERE camera_id = ANY (%(cameras)s::integer[]) AND time < %(before)s

-- lease_number_hold --
SELECT pg_advisory_lock(%(space)s::integer, %(holder)s::integer)

-- lease_turn --
-- Workers share out one after another.
SELECT pg_advisory_xact_lock(%(space)s::integer, 0)

-- lease_workers --
SELECT objid::bigint FROM pg_locks
WHERE locktype = 'advisory' AND classid = %(space)s AND objsubid = 2 AND granted AND objid <> 0
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())

-- lease_refresh --
UPDATE camera_lease SET seen_at = clock_timestamp() WHERE holder = %(holder)s

-- leases --
SELECT camera_id, holder, seen_at < clock_timestamp() - make_interval(secs => %(patience_s)s) FROM camera_lease

-- lease_take --
INSERT INTO camera_lease (camera_id, holder, worker, since, seen_at)
SELECT id, %(holder)s, %(worker)s, clock_timestamp(), clock_timestamp()
FROM camera WHERE id = ANY (%(cameras)s) ORDER BY id FOR KEY SHARE
ON CONFLICT (camera_id) DO UPDATE SET holder = excluded.holder, worker = excluded.worker, since = excluded.since,
    seen_at = excluded.seen_at
RETURNING camera_id

-- lease_release --
DELETE FROM camera_lease WHERE holder = %(holder)s AND (%(cameras)s::integer[] IS NULL OR camera_id = ANY (%(cameras)s))

-- check_next --
-- Locked until it is claimed: of several workers one gets it.
SELECT k.camera_id, k.asked_at, c.url, c.options FROM camera_check k JOIN camera c ON c.id = k.camera_id
WHERE k.started_at IS NULL AND k.due_at > %(now)s ORDER BY k.asked_at LIMIT 1 FOR UPDATE OF k SKIP LOCKED

-- check_claim --
UPDATE camera_check SET started_at = %(now)s, worker = %(worker)s, due_at = %(due_at)s WHERE camera_id = %(camera_id)s

-- check_end --
-- One that was asked for anew meanwhile is another one.
UPDATE camera_check SET ended_at = %(now)s, error = %(error)s, report = %(report)s, picture = %(picture)s, blurred = %(blurred)s
WHERE camera_id = %(camera_id)s AND asked_at = %(asked_at)s

-- cameras_moved --
SELECT camera_id, moved_at FROM camera_ptz WHERE camera_id = ANY (%(cameras)s) AND moved_at IS NOT NULL
