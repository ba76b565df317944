-- A remark that is sent again under its key is the same remark.
ALTER TABLE alert_event ADD COLUMN request_key text;
CREATE UNIQUE INDEX alert_event_once ON alert_event (alert_id, actor, request_key) WHERE request_key IS NOT NULL;
