-- alert_lock --
SELECT id FROM alert WHERE id = %(alert_id)s FOR UPDATE

-- alert_by_id --
SELECT * FROM alert_with_rule WHERE id = %(alert_id)s

-- alerts_by_id --
SELECT * FROM alert_with_rule WHERE id = ANY (%(alert_ids)s::bigint[])

-- alerts_open --
SELECT * FROM alert_with_rule WHERE cleared_at IS NULL ORDER BY id

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

