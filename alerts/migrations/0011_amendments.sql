-- An amendment is one of a delivery, by target and phase; the alert itself has no such number.
DROP VIEW alert_with_rule;
ALTER TABLE alert DROP COLUMN amendment;

CREATE VIEW alert_with_rule AS
SELECT a.id, a.rule, a.rule_version, a.rule_kind,
       coalesce(v.definition ->> 'name', a.rule) AS rule_name,
       coalesce(v.definition ->> 'name_en', a.rule) AS rule_name_en,
       ARRAY(SELECT jsonb_array_elements_text(v.definition -> 'targets')) AS targets,
       coalesce((v.definition ->> 'cool_down_s')::double precision, 0) AS cool_down_s,
       a.subject, a.site_id, a.device_id, a.camera_id, a.metric, a.unit, a.severity,
       a.started_at, a.raised_at, a.ended_at, a.cleared_at, a.cleared_by,
       a.acknowledged_at, a.acknowledged_by, a.verdict, a.reviewed_at, a.reviewed_by,
       a.first_value, a.last_value, a.max_value, a.limit_value, a.quality,
       a.episode_id, a.frame_sha256, a.crop_sha256, a.exempt,
       coalesce(a.peak_severity, a.severity) AS peak_severity, a.severity_by, a.assigned_to, a.assigned_at
FROM alert a LEFT JOIN rule_version v ON v.rule = a.rule AND v.version = a.rule_version;
