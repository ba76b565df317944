-- linkage_alerts --
SELECT id, rule, device_id FROM alert
WHERE cleared_at IS NULL AND device_id IS NOT NULL AND verdict IS DISTINCT FROM 'false_alarm' AND exempt IS NULL
ORDER BY id

-- linkage_held --
SELECT device_id, linkage, is_on, since, relieved_at, rest_until, paused_until, off_command, command_id, seen_command,
       withheld_alert
FROM linkage_device

-- linkage_hands --
-- The newest command that a person gave to each device.
SELECT DISTINCT ON (device_id) device_id, id, name, requested_by, requested_at FROM command
WHERE device_id = ANY (%(devices)s::int[]) AND requested_by NOT LIKE 'linkage:%%'
ORDER BY device_id, id DESC

-- linkage_outcomes --
SELECT id, state, replied_at FROM command WHERE id = ANY (%(ids)s::bigint[])

-- linkage_hold --
INSERT INTO linkage_device (device_id, linkage, is_on, since, relieved_at, rest_until, paused_until, off_command, command_id, seen_command,
                            withheld_alert)
VALUES (%(device_id)s, %(linkage)s, %(is_on)s, %(since)s, %(relieved_at)s, %(rest_until)s, %(paused_until)s, %(off_command)s,
        %(command_id)s, %(seen_command)s, %(withheld_alert)s)
ON CONFLICT (device_id) DO UPDATE SET
    linkage = excluded.linkage, is_on = excluded.is_on, since = excluded.since, relieved_at = excluded.relieved_at,
    rest_until = excluded.rest_until, paused_until = excluded.paused_until, off_command = excluded.off_command,
    command_id = excluded.command_id, seen_command = excluded.seen_command,
    withheld_alert = excluded.withheld_alert

-- linkage_note --
INSERT INTO linkage_decision (at, linkage, device_id, decision, reason, code, facts, alert_id, command_id)
VALUES (%(at)s, %(linkage)s, %(device_id)s, %(decision)s, %(reason)s, %(code)s, %(facts)s, %(alert_id)s, %(command_id)s)

-- linkage_overrides --
SELECT device_id, by, at, until FROM linkage_override WHERE device_id = ANY (%(devices)s::int[])

-- linkage_take_over --
INSERT INTO linkage_override (device_id, by, at, until) VALUES (%(device)s, %(by)s, %(at)s, %(until)s)
ON CONFLICT (device_id) DO UPDATE SET by = excluded.by, at = excluded.at, until = excluded.until

-- linkage_standing --
SELECT n.device_id, h.linkage, h.is_on, h.since, h.rest_until, h.paused_until, o.by AS override_by, o.until AS override_until,
       p.name AS override_by_name, p.name_en AS override_by_name_en
FROM unnest(%(devices)s::int[]) AS n (device_id)
LEFT JOIN linkage_device h ON h.device_id = n.device_id
LEFT JOIN linkage_override o ON o.device_id = n.device_id AND o.until > %(now)s
LEFT JOIN person p ON p.code = o.by

-- linkage_decisions --
-- With what asked for it, and the person that its reason speaks of.
SELECT l.id, l.at, l.linkage, l.device_id, l.decision, l.reason, l.code, l.facts, l.alert_id, l.command_id,
       a.rule_name, a.rule_name_en, p.name AS by_name, p.name_en AS by_name_en
FROM linkage_decision l
LEFT JOIN alert_with_rule a ON a.id = l.alert_id
LEFT JOIN person p ON p.code = l.facts ->> 'by'
WHERE l.device_id = ANY (%(devices)s::int[])
ORDER BY l.id DESC LIMIT %(limit)s
