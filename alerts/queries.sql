-- alert_lock --
SELECT id FROM alert WHERE id = %(alert_id)s FOR UPDATE

-- alert_by_id --
SELECT * FROM alert_with_rule WHERE id = %(alert_id)s

-- alerts_by_id --
SELECT * FROM alert_with_rule WHERE id = ANY (%(alert_ids)s::bigint[])

-- alerts_open --
SELECT * FROM alert_with_rule WHERE cleared_at IS NULL ORDER BY id

