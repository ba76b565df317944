-- newest --
-- Of each kind and scope (0: all sites) the last first day, by the index.
SELECT k.kind, s.site, (SELECT max(first_day) FROM report WHERE kind = k.kind AND coalesce(site_id, 0) = s.site)
FROM unnest(%(kinds)s::text[]) AS k (kind) CROSS JOIN unnest(%(scopes)s::integer[]) AS s (site)

-- put --
INSERT INTO report (kind, site_id, first_day, starts_at, ends_at, figures, made_at)
VALUES (%(kind)s, %(site_id)s, %(first_day)s, %(starts_at)s, %(ends_at)s, %(figures)s, %(now)s)
ON CONFLICT DO NOTHING
RETURNING id

-- by_id --
SELECT id, kind, site_id, first_day, starts_at, ends_at, made_at, figures FROM report WHERE id = ANY (%(ids)s::bigint[])

-- forget --
DELETE FROM report WHERE made_at < %(before)s

-- tell --
INSERT INTO notification (report_id, phase, step, person_id, channel, state, reason, priority, next_attempt_at, created_at)
SELECT %(report_id)s, 'report', 0, person_id, channel, state, reason, 0, %(now)s, %(now)s
FROM unnest(%(people)s::integer[], %(channels)s::text[], %(states)s::text[], %(reasons)s::text[])
    AS t (person_id, channel, state, reason)
ON CONFLICT DO NOTHING

-- alerts --
SELECT site_id, rule_kind AS kind, coalesce(peak_severity, severity) AS severity, count(*) AS count,
       count(*) FILTER (WHERE verdict = 'false_alarm') AS false_alarms
FROM alert
WHERE raised_at >= %(since)s AND raised_at < %(until)s AND exempt IS NULL
  AND (%(site_id)s::int IS NULL OR site_id = %(site_id)s)
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3

-- open_at_end --
SELECT count(*) FROM alert
WHERE raised_at < %(until)s AND (cleared_at IS NULL OR cleared_at >= %(until)s) AND exempt IS NULL
  AND (%(site_id)s::int IS NULL OR site_id = %(site_id)s)

-- exceedances --
-- Of a device alerts of several rules may overlap: their union counts.
WITH held AS (
    SELECT site_id, subject, metric, unit, greatest(started_at, %(since)s) AS since,
           least(coalesce(ended_at, cleared_at, %(until)s), %(until)s) AS until
    FROM alert
    WHERE exempt IS NULL AND verdict IS DISTINCT FROM 'false_alarm' AND metric <> '' AND limit_value IS NOT NULL
      AND rule_kind NOT IN ('offline', 'stuck', 'vision') AND started_at < %(until)s
      AND coalesce(ended_at, cleared_at, %(until)s) > %(since)s AND (%(site_id)s::int IS NULL OR site_id = %(site_id)s)
), spans AS (
    SELECT site_id, subject, metric, unit, range_agg(tstzrange(since, until)) AS held FROM held
    WHERE until > since GROUP BY 1, 2, 3, 4
)
SELECT site_id, metric, unit, count(DISTINCT subject)::int AS devices,
       sum(extract(epoch FROM upper(span) - lower(span)) / 60)::double precision AS minutes
FROM spans CROSS JOIN LATERAL unnest(held) AS span
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3

-- deliveries --
SELECT a.site_id, d.target, count(*) AS total,
       count(*) FILTER (WHERE d.state IN ('accepted', 'validated')) AS accepted,
       count(*) FILTER (WHERE d.state = 'rejected') AS rejected,
       count(*) FILTER (WHERE d.state IN ('config_error', 'uncertain', 'dead')) AS stopped,
       count(*) FILTER (WHERE d.state IN ('pending', 'held')) AS waiting
FROM delivery d JOIN alert a ON a.id = d.alert_id
WHERE d.created_at >= %(since)s AND d.created_at < %(until)s AND d.state <> 'withdrawn'
  AND (%(site_id)s::int IS NULL OR a.site_id = %(site_id)s)
GROUP BY 1, 2 ORDER BY 1, 2

-- orders --
SELECT site_id, count(*) FILTER (WHERE ordered_at >= %(since)s AND ordered_at < %(until)s) AS ordered,
       count(*) FILTER (WHERE state = 'passed' AND closed_at >= %(since)s AND closed_at < %(until)s) AS passed,
       count(*) FILTER (WHERE closed_at IS NULL) AS open,
       count(*) FILTER (WHERE state IN ('ordered', 'rectifying', 'returned') AND deadline_at <= %(now)s) AS overdue
FROM rectification
WHERE (%(site_id)s::int IS NULL OR site_id = %(site_id)s) AND (closed_at IS NULL OR closed_at >= %(since)s)
GROUP BY 1 ORDER BY 1

-- cameras --
-- Seconds online by quarters of an hour, as midnights of all time zones lie on them.
SELECT c.site_id, c.code AS camera, c.name, c.name_en,
       least(coalesce(sum(u.online_s), 0) / extract(epoch FROM %(until)s::timestamptz - %(since)s::timestamptz), 1)
           ::double precision AS share
FROM camera c JOIN site s ON s.id = c.site_id
LEFT JOIN camera_uptime u ON u.camera_id = c.id AND u.time >= %(since)s AND u.time < %(until)s
WHERE c.enabled AND s.enabled AND (%(site_id)s::int IS NULL OR c.site_id = %(site_id)s)
GROUP BY c.id ORDER BY c.site_id, c.code
