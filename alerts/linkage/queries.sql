-- linkage_alerts --
SELECT id, rule, device_id FROM alert
WHERE cleared_at IS NULL AND device_id IS NOT NULL AND verdict IS DISTINCT FROM 'false_alarm'
ORDER BY id

-- linkage_held --
SELECT device_id, linkage, is_on, since, relieved_at, rest_until, paused_until, off_command, command_id, seen_command
FROM linkage_device

-- linkage_hands --
-- The newest command that a person gave to each device.
SELECT DISTINCT ON (device_id) device_id, id, name, requested_by, requested_at FROM command
WHERE device_id = ANY (%(devices)s::int[]) AND requested_by NOT LIKE 'linkage:%%'
ORDER BY device_id, id DESC

-- linkage_outcomes --
SELECT id, state, replied_at FROM command WHERE id = ANY (%(ids)s::bigint[])

-- linkage_hold --
INSERT INTO linkage_device (device_id, linkage, is_on, since, relieved_at, rest_until, paused_until, off_command, command_id, seen_command)
VALUES (%(device_id)s, %(linkage)s, %(is_on)s, %(since)s, %(relieved_at)s, %(rest_until)s, %(paused_until)s, %(off_command)s,
        %(command_id)s, %(seen_command)s)
ON CONFLICT (device_id) DO UPDATE SET
    linkage = excluded.linkage, is_on = excluded.is_on, since = excluded.since, relieved_at = excluded.relieved_at,
    rest_until = excluded.rest_until, paused_until = excluded.paused_until, off_command = excluded.off_command,
    command_id = excluded.command_id, seen_command = excluded.seen_command

-- linkage_note --
INSERT INTO linkage_decision (at, linkage, device_id, decision, reason, alert_id, command_id)
VALUES (%(at)s, %(linkage)s, %(device_id)s, %(decision)s, %(reason)s, %(alert_id)s, %(command_id)s)
